use roomful::{Event, Server, Socket};

const MOVE: Event<(f32, f32)> = Event::new("move");

fn main() {
    let io = Server::new();
    io.on(MOVE, async |_: Socket, x: f32, y: String| println!("{x} {y}"));
}
