use roomful::{Event, Server, Socket};

const ADD: Event<(i64, i64), i64> = Event::new("add");

fn main() {
    let io = Server::new();
    io.on(ADD, async |_: Socket, a: i64, b: i64| format!("{}", a + b));
}
