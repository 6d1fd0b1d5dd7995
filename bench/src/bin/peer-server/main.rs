//! The server of `bench clients`: just enough of Engine.IO 4 and Socket.IO 5 over WebSocket for any
//! client, with bytes that were made beforehand. It has no limits, no time-outs and no pings.
//!
//! - `echo` with an ack and one argument: the ack has that argument;
//! - `pace` with a rate and milliseconds: so many `said` a second, each when it is due, for so long;
//! - `flood` with milliseconds: as many `said` as the connection takes, for so long.
//!
//! Behind the last two comes `done`, with how many `said` there were.

mod events;
mod frames;
#[path = "../../words.rs"]
#[expect(dead_code, reason = "nobody says much here")]
mod words;

use std::error::Error;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, accept_async};

use events::Asked;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A heartbeat is no part of any case: it is announced for later than any of them lasts.
const OPEN: &[u8] = br#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":600000,"pingTimeout":600000,"maxPayload":1000000}"#;
const JOINED: &[u8] = br#"40{"sid":"BBBBBBBBBBBBBBBBBBBB"}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-server PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("ready");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A client that goes without a word is an error too.
            let _ = serve(stream).await;
        });
    }
}

/// Serves one client until it goes.
async fn serve(stream: TcpStream) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
    let mut stream = accept_async(stream).await?;
    let mut out = frames::text(OPEN);
    send(&mut stream, &mut out).await?;
    while let Some(message) = stream.next().await {
        // What has come together is answered together.
        let mut next = Some(message);
        while let Some(message) = next {
            match Asked::of(&message?) {
                Asked::Join => frames::push(&mut out, JOINED),
                Asked::Echo { id, rest } => frames::push_ack(&mut out, id, rest),
                Asked::Said(said) => {
                    send(&mut stream, &mut out).await?;
                    said.send(stream.get_mut()).await?;
                }
                Asked::Leave => return Ok(stream.close(None).await?),
                Asked::Nothing => {}
            }
            next = stream.next().now_or_never().flatten();
        }
        send(&mut stream, &mut out).await?;
    }
    Ok(())
}

/// Writes past the codec, which has nothing to write but the answer to a close.
async fn send(stream: &mut WebSocketStream<TcpStream>, out: &mut Vec<u8>) -> std::io::Result<()> {
    stream.get_mut().write_all(out).await?;
    out.clear();
    Ok(())
}
