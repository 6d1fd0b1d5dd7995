use roomful_client::blocking::Socket;

fn hear(me: Socket) {
    me.on("hi", async |_: Socket, text: String| drop(text));
}

fn main() {}
