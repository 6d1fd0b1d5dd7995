use roomful_client::{CallError, Event, Socket};

const ADD: Event<(i64, i64), i64> = Event::new("add");

async fn ask(me: Socket) -> Result<String, CallError> {
    me.call(ADD, (1, 2)).await
}

fn main() {}
