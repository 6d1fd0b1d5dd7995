use roomful::{Args, Socket};

async fn log(_: Socket, rest: Args, last: u32) {
    println!("{rest:?} {last}");
}

fn main() {
    roomful::check_handler::<(Socket, Args, u32), _>(log);
}
