//! Connections that are cut: what is broadcast meanwhile arrives all the same, once and in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomful::{Recovery, Server};
use support::{KEY, WEBSOCKET, start, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::proxy::Proxy;
use crate::support::random::Random;

const CLIENTS: usize = 500;
const EVENTS: u64 = 20_000;
/// Events that are sent without a pause.
const BURST: u64 = 10;
const SEED: u64 = 0x5eed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_clients_that_are_cut_at_random_moments_miss_nothing() {
    let server = start(Server::builder().recovery(Recovery::new()).build()).await;
    let proxy = Proxy::start(server.address).await;
    let joined = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(Listener::default().listen(proxy.address, Arc::clone(&joined)));
    }
    support::until("everybody there", || joined.load(Ordering::SeqCst) == CLIENTS).await;
    let cutting = {
        let proxy = proxy.clone();
        tokio::spawn(async move {
            let mut random = Random::new(SEED);
            loop {
                tokio::time::sleep(Duration::from_micros(random.below(2_000))).await;
                proxy.cut_one(&mut random);
            }
        })
    };
    for first in (0..EVENTS).step_by(BURST as usize) {
        (first..first + BURST).for_each(|n| server.io.emit("e", n));
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    cutting.abort();
    let mut returns = 0;
    while let Some(done) = within(clients.join_next()).await {
        returns += done.unwrap();
    }
    let stats = server.io.stats();
    println!("{} cuts, {returns} returns, {stats:?}", proxy.cuts());
    assert_eq!((stats.recoveries_refused, stats.slow_peers), (0, 0));
    // Some were cut before they saw that they were back.
    assert!(stats.recovered >= returns as u64);
    assert!(returns >= CLIENTS, "{returns} returns prove too little");
}

/// A client that listens to the end, however often it is cut. It knows no more of the protocols than
/// it must, to be fast.
#[derive(Default)]
struct Listener {
    /// The next event that it must hear.
    next: u64,
    pid: Option<String>,
    offset: Option<String>,
    /// How often it has come back.
    returns: usize,
}

impl Listener {
    async fn listen(mut self, address: SocketAddr, joined: Arc<AtomicUsize>) -> usize {
        while self.next < EVENTS {
            self.connection(address, &joined).await;
        }
        self.returns
    }

    /// Listens until the connection is cut or all was heard.
    async fn connection(&mut self, address: SocketAddr, joined: &AtomicUsize) -> Option<()> {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!(
            "GET {WEBSOCKET} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut input = Vec::new();
        let head = loop {
            read(&mut stream, &mut input).await?;
            if let Some(at) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
        };
        input.drain(..head);
        loop {
            let mut rest = &input[..];
            while let Some((payload, next)) = frame(rest) {
                rest = next;
                if let Some(answer) = self.hear(payload, joined) {
                    let frame = support::frame_bytes(
                        roomful_proto::ws::frame::Opcode::Text,
                        answer.as_bytes(),
                    );
                    stream.write_all(&frame).await.ok()?;
                }
            }
            let heard = input.len() - rest.len();
            input.drain(..heard);
            if self.next == EVENTS {
                return Some(());
            }
            read(&mut stream, &mut input).await?;
        }
    }

    /// What is to be answered.
    fn hear(&mut self, packet: &[u8], joined: &AtomicUsize) -> Option<String> {
        let text = std::str::from_utf8(packet).unwrap();
        if let Some(event) = text.strip_prefix("42[\"e\",") {
            let (number, offset) = event.split_once(',').expect("a number and an offset");
            assert_eq!(number.parse(), Ok(self.next), "out of order, missing or twice");
            self.next += 1;
            self.offset = Some(offset.trim_matches(['"', ']']).to_owned());
            return None;
        }
        if let Some(json) = text.strip_prefix("40") {
            let connected: serde_json::Value = serde_json::from_str(json).unwrap();
            let pid = connected["pid"].as_str().unwrap().to_owned();
            match self.pid.replace(pid) {
                None => _ = joined.fetch_add(1, Ordering::SeqCst),
                Some(known) => {
                    assert_eq!(self.pid, Some(known), "a new socket");
                    self.returns += 1;
                }
            }
            return None;
        }
        match (text.as_bytes().first(), &self.pid, &self.offset) {
            (Some(b'0'), None, _) => Some("40".to_owned()),
            (Some(b'0'), Some(pid), None) => Some(format!(r#"40{{"pid":"{pid}"}}"#)),
            (Some(b'0'), Some(pid), Some(offset)) => {
                Some(format!(r#"40{{"pid":"{pid}","offset":"{offset}"}}"#))
            }
            (Some(b'2'), ..) => Some("3".to_owned()),
            _ => panic!("{text}"),
        }
    }
}

/// Reads more; `None` at the end of the stream.
async fn read(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    input.reserve(64 * 1024);
    match stream.read_buf(input).await {
        Ok(1..) => Some(()),
        _ => None,
    }
}

/// The payload of the first frame, if it is whole, and what is behind it.
fn frame(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, len) = match *input.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?]))),
        len => (2, usize::from(len)),
    };
    Some((input.get(header..header + len)?, &input[header + len..]))
}
