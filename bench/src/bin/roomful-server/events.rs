//! What all measured servers do.

use std::env;
use std::error::Error;

use bytes::Bytes;
use roomful::{Compression, MsgPack, Recovery, Server, Socket};

/// The server. The variable `NAMESPACES` is how many namespaces it has beside `/`: `/n0`, `/n1` and so
/// on. `OPTION` is what it is to be beside itself.
pub(crate) fn server() -> Result<Server, Box<dyn Error>> {
    let namespaces = env::var("NAMESPACES").map_or(Ok(0), |count| count.parse())?;
    let builder = Server::builder();
    let io = match env::var("OPTION").as_deref() {
        Err(_) => builder,
        Ok("deflate") => builder.compression(Compression::default()),
        Ok("eio3") => builder.allow_eio3(true),
        Ok("msgpack") => builder.parser(MsgPack),
        Ok("recovery") => builder.recovery(Recovery::new()),
        Ok(other) => {
            return Err(format!("OPTION={other}: deflate, eio3, msgpack or recovery").into());
        }
    };
    let io = io.build();
    io.on("echo", async |_: Socket, text: String| text);
    io.on("blob", async |_: Socket, bytes: Bytes| bytes);
    io.on("size", async |_: Socket, bytes: Bytes| bytes.len());
    io.on("join", async |me: Socket, room: String| me.join(room));
    io.on("leave", async |me: Socket, room: String| me.leave(room));
    io.on("say", async |me: Socket, room: String, text: String| {
        me.everyone().to(room).emit("said", text);
    });
    for number in 0..namespaces {
        io.of(&format!("n{number}")).on("echo", async |_: Socket, text: String| text);
    }
    Ok(io)
}
