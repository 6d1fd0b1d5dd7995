use roomful_client::{CallError, Socket};

struct Point {
    x: f32,
}

async fn ask(me: Socket) -> Result<Point, CallError> {
    me.call("where", ()).await
}

fn main() {}
