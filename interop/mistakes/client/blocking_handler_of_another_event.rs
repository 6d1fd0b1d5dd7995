use roomful_client::{Event, blocking::Socket};

const MOVE: Event<(f32, f32)> = Event::new("move");

fn hear(me: Socket) {
    me.on(MOVE, |_: Socket, direction: String| drop(direction));
}

fn main() {}
