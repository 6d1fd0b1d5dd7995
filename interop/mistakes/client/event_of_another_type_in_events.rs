use roomful_client::{Event, Events, Socket};

const SAID: Event<String> = Event::new("said");

fn hear(me: Socket) -> Events<u32> {
    me.events(SAID)
}

fn main() {}
