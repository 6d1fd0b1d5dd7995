use roomful_client::Socket;

struct Point {
    x: f32,
}

async fn go(_: Socket, speed: u8, to: Point) {
    println!("{} {speed}", to.x);
}

fn main() {
    roomful_client::check_handler::<(Socket, u8, Point), _>(go);
}
