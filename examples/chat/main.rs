//! A tiny chat: everybody's first real-time program. Open `index.html` beside this file.
use roomful::{Origins, Reason, Server, Socket};

#[tokio::main]
async fn main() -> Result<(), roomful::ServeError> {
    let io = Server::builder().origins(Origins::Any).build();
    io.on_connect(async |me: Socket| println!("{} connected", me.id()));
    io.on_disconnect(async |me: Socket, why: Reason| println!("{} left: {why}", me.id()));
    io.on("message", async |me: Socket, text: String| {
        me.emit("message", format!("{} said {text}", &me.id()[..3]));
    });
    io.serve("127.0.0.1:3000").await
}
