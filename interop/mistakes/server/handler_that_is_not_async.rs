use roomful::{Server, Socket};

fn hi(me: Socket) {
    me.emit("hi", 1);
}

fn main() {
    Server::new().on("hi", hi);
}
