use roomful_client::Socket;

fn hear(me: Socket) {
    me.on("hi", |me: Socket| me.emit("hi", 1));
}

fn main() {}
