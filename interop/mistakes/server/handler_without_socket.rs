use roomful::Server;

fn main() {
    let io = Server::new();
    io.on("message", async |text: String| println!("{text}"));
}
