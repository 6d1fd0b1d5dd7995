use roomful::{Server, Socket};

struct Point {
    x: f32,
}

fn main() {
    let io = Server::new();
    io.on("move", async |_: Socket, to: Point| println!("{}", to.x));
}
