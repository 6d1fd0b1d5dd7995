use roomful::Socket;

struct Point {
    x: f32,
}

fn tell(me: Socket) {
    me.emit("move", Point { x: 1.0 });
}

fn main() {}
