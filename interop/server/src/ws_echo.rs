//! A WebSocket echo server on the frame codec alone, with compression where the client offers it, for
//! the Autobahn suite to judge.

use std::env;
use std::error::Error;
use std::io;

use roomful_proto::deflate::{self, Deflate, Unasked};
use roomful_proto::ws::frame::{self, Header, Opcode};
use roomful_proto::ws::handshake::{self, Request};
use roomful_proto::ws::{CloseCode, Decoder, Message, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The suite sends messages of 16 MiB, in up to 2^18 fragments.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
const FRAGMENTS_MAX: u32 = 1 << 20;
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// All messages are compressed, and those of the suite may be anything.
static DEFLATE: Deflate = Deflate::new(0, 3);
const INFLATE_RATIO_MAX: u32 = u32::MAX;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = env::var("PORT").unwrap_or_else(|_| "0".to_owned()).parse::<u16>()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        drop(tokio::spawn(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("a connection ended: {error}");
            }
        }));
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (accept, extension) = handshake(&mut stream).await?;
    let extensions = extension.map(|answer| format!("Sec-WebSocket-Extensions: {answer}\r\n"));
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{}\r\n",
        extensions.unwrap_or_default()
    );
    stream.write_all(head.as_bytes()).await?;
    echo(&mut stream, extension.is_some()).await?;
    stream.shutdown().await
}

/// What to answer: the proof that it was understood, and the extension.
async fn handshake(stream: &mut TcpStream) -> io::Result<(String, Option<&'static str>)> {
    let mut head = Vec::new();
    // The suite sends nothing before it has the answer, so nothing behind the head is lost.
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let header = |name: &str| {
        let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let accept = handshake::accept(&Request {
        method: head.split(' ').next().unwrap_or_default(),
        connection: header("connection"),
        upgrade: header("upgrade"),
        version: header("sec-websocket-version"),
        key: header("sec-websocket-key"),
    })
    .map_err(|refusal| io::Error::other(format!("{refusal:?}")))?;
    // The suite takes what it has not asked for.
    let agreed = deflate::negotiate(header("sec-websocket-extensions"), Unasked::Taken);
    Ok((accept, agreed.map(|agreed| agreed.answer)))
}

/// Echoes until one end closes.
async fn echo(stream: &mut TcpStream, deflates: bool) -> io::Result<()> {
    let mut decoder = Decoder::new(Role::Server, MESSAGE_BYTES_MAX, FRAGMENTS_MAX);
    if deflates {
        decoder = decoder.inflating(INFLATE_RATIO_MAX);
    }
    let mut small = deflates.then(Vec::new);
    let mut buffer = vec![0; 64 * 1024];
    let mut out = Vec::new();
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        let mut input = &mut buffer[..len];
        let mut open = true;
        while open {
            match decoder.receive(&mut input) {
                Ok(Some(message)) => open = answer(&mut out, message, small.as_mut()),
                Ok(None) => break,
                Err(error) => {
                    close(&mut out, Some(error.code()));
                    open = false;
                }
            }
        }
        stream.write_all(&out).await?;
        out.clear();
        if !open {
            return Ok(());
        }
    }
}

/// Writes the answer to a message; `false` when it was the last. `small` is where messages are
/// compressed, if they are.
fn answer(out: &mut Vec<u8>, message: Message, small: Option<&mut Vec<u8>>) -> bool {
    match message {
        Message::Text(text) => data(out, Opcode::Text, &text, small),
        Message::Binary(bytes) => data(out, Opcode::Binary, &bytes, small),
        Message::Ping(bytes) => frame::write(out, Opcode::Pong, &bytes, None),
        Message::Pong(_) => {}
        Message::Close(code, _) => {
            close(out, code);
            return false;
        }
    }
    true
}

fn data(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], small: Option<&mut Vec<u8>>) {
    if let Some(small) = small
        && DEFLATE.message(payload, small)
    {
        out.extend_from_slice(Header::new(opcode, small.len(), None).compressed().as_bytes());
        out.extend_from_slice(small);
    } else {
        frame::write(out, opcode, payload, None);
    }
}

fn close(out: &mut Vec<u8>, code: Option<CloseCode>) {
    let payload = code.map(|code| code.get().to_be_bytes());
    frame::write(out, Opcode::Close, payload.as_ref().map_or(&[], |bytes| &bytes[..]), None);
}
