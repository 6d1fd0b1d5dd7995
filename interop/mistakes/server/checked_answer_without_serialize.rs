use roomful::Socket;

struct Point {
    x: f32,
}

fn main() {
    roomful::check_handler::<(Socket,), _>(async |_: Socket| Point { x: 1.0 });
}
