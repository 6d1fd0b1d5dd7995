//! One client that never reads, in a room of a thousand: the others get everything, it is
//! disconnected, and what it made the server hold is bounded. A program of its own with a single
//! test, because it reads the memory of the whole process.
//!
//! The room is sent 50 MiB of events, which each of its members gets, so that 50 GiB go through the
//! loopback device. `SLOW_PEER_BYTES` is another number of bytes; below 10 MiB the kernel may have all
//! of what the one does not read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![cfg(target_os = "linux")]

mod support;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use roomful::{Server, Socket};
use roomful_proto::ws::frame::Opcode;
use support::{WEBSOCKET, frame_bytes, start, until, upgrade_head, within};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const READERS: usize = 999;
const EVENT_BYTES: usize = 64 * 1024;
/// Bytes of events if nobody says how many.
const BYTES: usize = 50 * 1024 * 1024;
/// Events that are sent without waiting for those who read. They fit into every outbox.
const BURST: usize = 8;
const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// Of the one that does not read: the kernel takes what it can before the server holds anything.
const RECEIVE_BUFFER_BYTES: u32 = 4 * 1024;
/// What a member may make the server and its own client here hold beside parcels: the queues in
/// which it has a place, and the state of a stream that was full.
const MEMBER_BYTES: usize = 2 * 1024;
/// What the allocator and the runtime may take meanwhile.
const SLACK_BYTES: usize = 2 * 1024 * 1024;

/// The start of an event: the header of its frame, `42["e","`, and its number in eight digits.
const HEAD_BYTES: usize = 10 + 8 + 8;
/// How long anything here may take. The clients and the server share the cores.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_costs_a_bounded_amount_and_hurts_nobody_in_a_room_of_1_000() {
    let bytes = std::env::var("SLOW_PEER_BYTES").map_or(BYTES, |bytes| bytes.parse().unwrap());
    let events = bytes / EVENT_BYTES;
    // Nobody here answers pings.
    let io = Server::builder()
        .outbox_bytes_max(OUTBOX_BYTES_MAX)
        .ping_interval(Duration::from_secs(3_600))
        .build();
    io.on_connect(async |me: Socket| {
        me.join("room");
    });
    let (gone, mut leaving) = mpsc::unbounded_channel();
    io.on_disconnect(move |me: Socket, reason| {
        let _ = gone.send((me.id().to_owned(), reason.as_str()));
        async {}
    });
    let server = start(io).await;
    let heard: Arc<AtomicUsize> = Arc::default();
    let mut readers = JoinSet::new();
    for n in 0..READERS {
        let stream = join(server.address, None).await;
        readers.spawn(read(stream, events, Arc::clone(&heard)));
        // Joined one after the other: what all of them need at once is no part of this.
        until("joined", || server.len() == n + 1).await;
    }
    let deaf = join(server.address, Some(RECEIVE_BUFFER_BYTES)).await;
    until("all in the room", || server.to("room").local_ids().len() == READERS + 1).await;

    let blob = "x".repeat(EVENT_BYTES);
    let before = resident_bytes();
    let mut most = before;
    let began = Instant::now();
    for first in (0..events).step_by(BURST) {
        let last = events.min(first + BURST);
        for n in first..last {
            server.to("room").emit("e", (format!("{n:08}"), &blob));
            most = most.max(resident_bytes());
        }
        all_heard(&heard, last * READERS).await;
        most = most.max(resident_bytes());
    }
    let took = began.elapsed();
    while let Some(reader) = within(readers.join_next()).await {
        reader.unwrap();
    }

    let grown = most - before;
    let delivered = events * READERS * EVENT_BYTES;
    println!(
        "{events} events, {} MB delivered in {took:.1?}, {} MB/s; {grown} bytes more at most",
        delivered / 1_000_000,
        (delivered as f64 / 1e6 / took.as_secs_f64()) as u64,
    );
    let (_, reason) = within(leaving.recv()).await.unwrap();
    assert_eq!(reason, "forced server close");
    let stats = server.stats();
    assert_eq!((stats.slow_peers, stats.panics, stats.violations), (1, 0, 0), "{stats:?}");

    // The kernel's buffers are not in the memory of a process, and nothing is encoded or copied for
    // a member. So there are: the parcels that the deaf one keeps, which are up to its outbox; those
    // of one burst, which all others share; and what does not depend on the size of the events.
    let burst = BURST * EVENT_BYTES;
    let bound = OUTBOX_BYTES_MAX + burst + (READERS + 1) * MEMBER_BYTES + SLACK_BYTES;
    assert!(grown <= bound, "{grown} bytes more, {bound} at most");
    drop(deaf);
    server.is_empty_again().await;
}

/// Joins `/` and is in the room.
async fn join(address: SocketAddr, receive_buffer: Option<u32>) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    let mut stream = within(socket.connect(address)).await.unwrap();
    stream.write_all(upgrade_head(WEBSOCKET).as_bytes()).await.unwrap();
    until_read(&mut stream, b"\"maxPayload\":1000000}").await;
    stream.write_all(&frame_bytes(Opcode::Text, b"40")).await.unwrap();
    until_read(&mut stream, b"\"}").await;
    stream
}

/// Reads until something ends like this, and nothing behind it.
async fn until_read(stream: &mut TcpStream, end: &[u8]) {
    use tokio::io::AsyncReadExt as _;
    let mut input = Vec::new();
    while !input.ends_with(end) {
        assert_ne!(within(stream.read_buf(&mut input)).await.unwrap(), 0);
    }
}

thread_local! {
    /// What is read is only looked at, so one place for each thread is enough.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; 1024 * 1024]);
}

/// Checks that all events come, in order.
async fn read(mut stream: TcpStream, events: usize, heard: Arc<AtomicUsize>) {
    let mut reader = Reader::default();
    while reader.next < events {
        tokio::time::timeout(PATIENCE, stream.readable()).await.expect("more").unwrap();
        let before = reader.next;
        INPUT.with_borrow_mut(|input| match stream.try_read(input) {
            Ok(0) => panic!("the end"),
            Ok(len) => reader.take(&input[..len]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        });
        heard.fetch_add(reader.next - before, Ordering::Relaxed);
    }
    // Goes in order, so that it is not taken for a client that was lost.
    let _ = stream.shutdown().await;
}

/// How far one client is.
#[derive(Default)]
struct Reader {
    /// The number of the next event.
    next: usize,
    head: Vec<u8>,
    /// Bytes of the event that are still to come, behind its head.
    left: usize,
}

impl Reader {
    fn take(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            if self.left == 0 {
                let (part, rest) = input.split_at(input.len().min(HEAD_BYTES - self.head.len()));
                self.head.extend_from_slice(part);
                input = rest;
                if self.head.len() < HEAD_BYTES {
                    return;
                }
                self.left = self.check_head();
                self.head.clear();
            }
            let (part, rest) = input.split_at(input.len().min(self.left));
            input = rest;
            self.left -= part.len();
            if self.left == 0 && !part.is_empty() {
                assert_eq!(part.last(), Some(&b']'), "the end of the event");
                self.next += 1;
            }
        }
    }

    /// What is left of the event behind its head.
    fn check_head(&self) -> usize {
        let (header, text) = self.head.split_at(10);
        assert_eq!(header[..2], [0x81, 127], "the frame of an event");
        let expected = format!("42[\"e\",\"{:08}", self.next);
        assert_eq!(text, expected.as_bytes(), "out of order, missing or twice");
        let len = u64::from_be_bytes(header[2..].try_into().unwrap());
        usize::try_from(len).unwrap() - text.len()
    }
}

async fn all_heard(heard: &AtomicUsize, count: usize) {
    let began = Instant::now();
    while heard.load(Ordering::Relaxed) < count {
        assert!(began.elapsed() < PATIENCE, "{} of {count}", heard.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Bytes of memory that the process has.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}
