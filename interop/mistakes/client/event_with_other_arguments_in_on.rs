use roomful_client::{Event, Socket};

const MOVE: Event<(f32, f32)> = Event::new("move");

fn hear(me: Socket) {
    me.on(MOVE, async |_: Socket, direction: String| drop(direction));
}

fn main() {}
