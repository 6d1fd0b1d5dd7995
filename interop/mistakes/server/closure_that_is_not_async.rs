use roomful::{Server, Socket};

fn main() {
    let io = Server::new();
    io.on("hi", |me: Socket| me.emit("hi", 1));
}
