use roomful_client::Socket;

struct Point {
    x: f32,
}

fn hear(me: Socket) {
    me.on("move", async |_: Socket, point: Point| drop(point.x));
}

fn main() {}
