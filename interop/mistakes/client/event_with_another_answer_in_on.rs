use roomful_client::{Event, Socket};

const NAME: Event<(), String> = Event::new("name");

fn hear(me: Socket) {
    me.on(NAME, async |_: Socket| 7);
}

fn main() {}
