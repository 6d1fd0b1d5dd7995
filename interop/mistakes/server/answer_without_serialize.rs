use roomful::{Server, Socket};

struct Point {
    x: f32,
}

fn main() {
    let io = Server::new();
    io.on("where", async |_: Socket| Point { x: 1.0 });
}
