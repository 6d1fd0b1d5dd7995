use roomful::{Event, Socket};

const SURE: Event<String, bool> = Event::new("sure");

async fn ask(me: Socket) {
    let _: Result<u8, _> = me.call(SURE, "delete it?".to_owned()).await;
}

fn main() {}
