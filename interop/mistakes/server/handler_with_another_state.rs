use roomful::{Server, Socket};

struct State;

async fn hi(me: Socket<State>) {
    me.emit("hi", 1);
}

fn main() {
    Server::new().on("hi", hi);
}
