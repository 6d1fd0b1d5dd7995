use roomful::{Event, Socket};

const SURE: Event<String, bool> = Event::new("sure");

async fn ask(me: Socket) {
    let _: Result<bool, _> = me.call(SURE, 5).await;
}

fn main() {}
