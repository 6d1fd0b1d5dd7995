//! What the victim has to offer: a namespace for each way in which a program may decide, and a handler for
//! each way in which it may take an event.

use std::env;
use std::error::Error;
use std::future::pending;

use bytes::Bytes;
use roomful::{Args, Compression, Hello, MsgPack, Recovery, Refusal, Server, Socket};
use serde::Deserialize;
use serde_json::Value;

/// An auth payload as programs read it.
#[derive(Deserialize)]
struct Credentials {
    #[expect(dead_code, reason = "read and not used")]
    token: Option<String>,
}

/// The server. `OPTION` is what it is to be beside itself.
pub(crate) fn server() -> Result<Server, Box<dyn Error>> {
    let builder = Server::builder();
    let io = match env::var("OPTION").as_deref() {
        Err(_) => builder,
        Ok("deflate") => builder.compression(Compression::default()),
        Ok("eio3") => builder.allow_eio3(true).jsonp(true),
        Ok("msgpack") => builder.parser(MsgPack),
        Ok("recovery") => builder.recovery(Recovery::new()),
        Ok(other) => {
            return Err(format!("OPTION={other}: deflate, eio3, msgpack or recovery").into());
        }
    };
    let io = io.build();
    doors(&io);
    handlers(&io);
    io.of_pattern("/child-{name}");
    Ok(io)
}

/// The namespaces, by how they decide.
fn doors(io: &Server) {
    io.of("/refuses").connect(refuse);
    io.of("/typed").connect(async |hello: Hello| {
        hello.auth::<Credentials>()?;
        Err::<(), _>(Refusal::new("nobody"))
    });
    io.of("/waits").connect(async |_: Hello| -> Result<(), Refusal> { pending().await });
    let values = io.of_pattern("/values-{name}");
    values.connect(async |hello: Hello| {
        let auth: Value = hello.auth()?;
        pending::<()>().await;
        drop(auth);
        Ok::<_, Refusal>(())
    });
    let slow = io.of_pattern("/wait-{name}");
    slow.connect(async |_: Hello| -> Result<(), Refusal> { pending().await });
}

async fn refuse(_: Hello) -> Result<(), Refusal> {
    Err(Refusal::new("nobody"))
}

/// The events of those who were let in.
fn handlers(io: &Server) {
    io.on("echo", async |_: Socket, text: String| text);
    io.on("say", async |_: Socket, _: Args| {});
    io.on("values", async |_: Socket, _: Value| {});
    io.on("blobs", async |_: Socket, _: Vec<Bytes>| {});
    io.on("park", async |_: Socket| pending::<()>().await);
    io.on("ask", async |me: Socket| me.call::<_, _, Value>("question", ()).await.is_ok());
    io.on("big", async |me: Socket, bytes: usize| me.emit("big", "x".repeat(bytes)));
    io.on("pile", async |me: Socket, count: usize, bytes: usize| {
        (0..count).for_each(|_| me.emit("big", "x".repeat(bytes)));
    });
    io.on("join", async |me: Socket, room: String| me.join(room));
    io.on("leave", async |me: Socket, room: String| me.leave(room));
    io.on("tell", async |me: Socket, room: String, text: String| {
        me.everyone().to(room).emit("told", text);
    });
    // What a namespace that can be recovered keeps: so many events, each to one of many rooms.
    io.on("fill", async |me: Socket, count: usize, room: String| {
        for number in 0..count {
            me.everyone().to(format!("{room}{}", number % 999)).emit("filled", number);
        }
        count
    });
}
