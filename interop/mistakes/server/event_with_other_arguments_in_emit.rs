use roomful::{Event, Socket};

const MOVE: Event<(f32, f32)> = Event::new("move");

fn tell(me: Socket) {
    me.emit(MOVE, "north");
    me.others().emit(MOVE, "north");
}

fn main() {}
