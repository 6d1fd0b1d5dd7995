//! A WebSocket echo server on the frame codec alone, for the Autobahn suite to judge.

use std::env;
use std::error::Error;
use std::io;

use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::handshake::{self, Request};
use roomful_proto::ws::{CloseCode, Decoder, Message, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The suite sends messages of 16 MiB, in up to 2^18 fragments.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
const FRAGMENTS_MAX: u32 = 1 << 20;
const HEAD_BYTES_MAX: usize = 16 * 1024;

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
    let accept = handshake(&mut stream).await?;
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    echo(&mut stream).await?;
    stream.shutdown().await
}

async fn handshake(stream: &mut TcpStream) -> io::Result<String> {
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
    handshake::accept(&Request {
        method: head.split(' ').next().unwrap_or_default(),
        connection: header("connection"),
        upgrade: header("upgrade"),
        version: header("sec-websocket-version"),
        key: header("sec-websocket-key"),
    })
    .map_err(|refusal| io::Error::other(format!("{refusal:?}")))
}

/// Echoes until one end closes.
async fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut decoder = Decoder::new(Role::Server, MESSAGE_BYTES_MAX, FRAGMENTS_MAX);
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
                Ok(Some(message)) => open = answer(&mut out, message),
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

/// Writes the answer to a message; `false` when it was the last.
fn answer(out: &mut Vec<u8>, message: Message) -> bool {
    match message {
        Message::Text(text) => frame::write(out, Opcode::Text, &text, None),
        Message::Binary(bytes) => frame::write(out, Opcode::Binary, &bytes, None),
        Message::Ping(bytes) => frame::write(out, Opcode::Pong, &bytes, None),
        Message::Pong(_) => {}
        Message::Close(code) => {
            close(out, code);
            return false;
        }
    }
    true
}

fn close(out: &mut Vec<u8>, code: Option<CloseCode>) {
    let payload = code.map(|code| code.get().to_be_bytes());
    frame::write(out, Opcode::Close, payload.as_ref().map_or(&[], |bytes| &bytes[..]), None);
}
