use roomful::{Args, Server, Socket};

fn main() {
    let io = Server::new();
    io.on("log", async |_: Socket, rest: Args, last: u32| println!("{rest:?} {last}"));
}
