use roomful::{Server, Socket};

fn main() {
    let io = Server::new();
    let greeting = String::from("hello");
    io.on("hi", async |me: Socket| me.emit("hi", &greeting));
}
