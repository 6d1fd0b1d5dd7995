//! How many instructions the protocol takes. Run by `make bench-instructions`.
//!
//! Only the body of a function is counted: its arguments are made before, and what it gives back is
//! dropped after. The body must hold no closure and no `async` block: callgrind switches counting
//! at the function's name, which theirs begin with, so they would switch it off.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(missing_docs, unused_qualifications, reason = "of what the macros write")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use gungraun::Callgrind;
use gungraun::prelude::*;
use roomful_proto::engine::dialer::Input;
use roomful_proto::engine::payload::{self, Payload};
use roomful_proto::engine::{Data, Dial, Dialer, Packet, Revision, Transport};
use roomful_proto::socket::manager::{self, Ask, Emission, Frames, Key, Manager, ManagerSettings};
use roomful_proto::socket::text::Header;
use roomful_proto::socket::{self, Event};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::{Decoder, Message, Role};
use roomful_proto::{
    AckId, ArgError, EncodeError, FromArg, Letter, Limits, Moment, Parcel, Violation,
};

const TEXT_EVENT: &str = r#"2["message","hello there",42]"#;
const BINARY_EVENT: &str = r#"51-["file","a.png",{"_placeholder":true,"num":0}]"#;

type Received = (Bytes, Box<[Bytes]>, Limits);

fn received(text: &str, attachments: usize) -> Received {
    let attachments = vec![Bytes::from_static(&[7; 64]); attachments].into();
    (Bytes::copy_from_slice(text.as_bytes()), attachments, Limits::default())
}

fn parse((text, attachments, limits): Received) -> Result<socket::Packet, Violation> {
    Header::decode(text, &limits)?.finish(attachments, &limits)
}

fn parsed(text: &str) -> Event {
    match parse(received(text, 0)) {
        Ok(socket::Packet::Event(event)) => event,
        other => panic!("not an event: {other:?}"),
    }
}

// A packet to the name of its event and its arguments, those still as JSON.
#[library_benchmark(setup = received)]
#[bench::text(TEXT_EVENT, 0)]
#[bench::binary(BINARY_EVENT, 1)]
fn event_parse(received: Received) -> Result<socket::Packet, Violation> {
    parse(black_box(received))
}

fn read(event: &Event) -> Result<(String, u32), ArgError> {
    black_box(event.name());
    let mut cursor = event.args.cursor();
    Ok((String::from_arg(&mut cursor)?, u32::from_arg(&mut cursor)?))
}

// Its name and its arguments as a handler takes them.
#[library_benchmark(setup = parsed)]
#[bench::text(TEXT_EVENT)]
fn event_read(event: Event) -> (Event, Result<(String, u32), ArgError>) {
    let args = read(black_box(&event));
    (event, args)
}

/// The first packet of a thread makes the memory where all are written.
fn written_before<T>(value: T) -> T {
    let bytes = Bytes::from_static(&[7; 256]);
    black_box(Parcel::event("/", None, "first", &("x".repeat(256), bytes)).unwrap());
    value
}

#[library_benchmark(setup = written_before)]
#[bench::small(AckId::new(7).unwrap())]
fn ack_encode(id: AckId) -> Result<Parcel, EncodeError> {
    Parcel::ack(black_box("/"), id, black_box(&("ok", 42)))
}

#[library_benchmark(setup = written_before)]
#[bench::small(())]
fn parcel_text((): ()) -> Result<Parcel, EncodeError> {
    Parcel::event(black_box("/"), None, black_box("message"), black_box(&("hello there", 42)))
}

#[library_benchmark(setup = written_before)]
#[bench::attachment(Bytes::from_static(&[7; 64]))]
fn parcel_binary(bytes: Bytes) -> Result<Parcel, EncodeError> {
    Parcel::event(black_box("/"), None, black_box("file"), black_box(&("a.png", bytes)))
}

/// `count` masked text frames of `len` bytes in one buffer, as one read finds them.
fn frames(count: usize, len: usize) -> (Decoder, Vec<u8>) {
    let mut wire = Vec::new();
    for _ in 0..count {
        frame::write(&mut wire, Opcode::Text, &vec![b'x'; len], Some([0x12, 0x34, 0x56, 0x78]));
    }
    (Decoder::new(Role::Server, 1_000_000, 100), wire)
}

#[library_benchmark(setup = frames)]
#[bench::small_one(1, 32)]
#[bench::small_sixteen(16, 32)]
#[bench::large_one(1, 65_536)]
fn frame_parse((mut decoder, mut wire): (Decoder, Vec<u8>)) -> (Decoder, Vec<u8>, usize) {
    let mut input = black_box(wire.as_mut_slice());
    let mut bytes = 0;
    while let Ok(Some(Message::Text(text))) = decoder.receive(&mut input) {
        bytes += black_box(text).len();
    }
    (decoder, wire, bytes)
}

fn packets() -> Vec<Packet> {
    let text = Bytes::from_static(TEXT_EVENT.as_bytes());
    vec![Packet::Message(Data::Text(text)); 16]
}

fn encode(packets: &[Packet]) -> Vec<u8> {
    let mut body = Vec::new();
    for packet in packets {
        payload::push(&mut body, packet);
    }
    body
}

#[library_benchmark]
#[bench::sixteen(packets())]
fn payload_encode(packets: Vec<Packet>) -> (Vec<Packet>, Vec<u8>) {
    let body = encode(black_box(&packets));
    (packets, body)
}

#[library_benchmark]
#[bench::sixteen(Bytes::from(encode(&packets())))]
fn payload_decode(body: Bytes) -> Result<usize, Violation> {
    let mut count = 0;
    for packet in Payload::new(black_box(body), 100)? {
        black_box(packet?);
        count += 1;
    }
    Ok(count)
}

/// A client that is connected by WebSocket, and has sent and received before.
struct Client {
    dialer: Dialer,
    manager: Manager<()>,
    key: Key,
    out: Vec<u8>,
}

const NOW: Moment = Moment::from_millis(1);
const ACK: Bytes = Bytes::from_static(br#"437["a message of forty-four characters"]"#);

fn client() -> Client {
    let limits = Arc::new(Limits::client());
    let mut dialer = Dialer::new(Dial {
        transports: vec![Transport::WebSocket],
        try_all: false,
        upgrade: false,
        revision: Revision::V4,
        limits,
    });
    let mut manager = Manager::new(Arc::new(ManagerSettings::default()), None, 1);
    let key = manager.socket("/");
    manager.connect(NOW, key);
    dialer.receive(NOW, Input::Opened);
    let open = br#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
    dialer.receive(NOW, Input::Frame(Data::Text(Bytes::from_static(open))));
    while dialer.poll(NOW).is_some() {}
    manager.opened(NOW, Revision::V4, "a");
    while let Some(output) = manager.poll() {
        if let manager::Output::Authorize(attempt) = output {
            manager.authorize(NOW, attempt, None);
        }
    }
    manager.receive(NOW, Data::Text(Bytes::from_static(br#"0{"sid":"b"}"#))).unwrap();
    let mut client = Client { dialer, manager, key, out: Vec::new() };
    // The memory that it keeps is there then.
    called(&mut client);
    client
}

fn called(client: &mut Client) -> Option<manager::Output<()>> {
    let Client { dialer, manager, key, out } = client;
    let id = AckId::new(7)?;
    let letter = Letter::event("/", Some(id), "echo", "a message of forty-four characters").ok()?;
    let ask = Some(Ask { id, waiter: (), timeout: None });
    let frames = Frames::new(letter, None);
    manager.emit(NOW, *key, Emission { frames, ask, volatile: None, compress: true }).ok()?;
    out.clear();
    manager.outgoing().take_frames(Revision::V4, false, None, usize::MAX, key_of_frame, out);
    manager.receive(NOW, dialer.frame(NOW, Data::Text(ACK))?).ok()?;
    let mut last = None;
    while let Some(output) = manager.poll() {
        last = Some(output);
    }
    last
}

const fn key_of_frame() -> [u8; 4] {
    [0x12, 0x34, 0x56, 0x78]
}

// An event that a client emits, to masked frames; and its ack, from the frame to whoever waits for it.
#[library_benchmark(setup = client)]
#[bench::small()]
fn client_call(mut client: Client) -> (Client, Option<manager::Output<()>>) {
    let ack = called(black_box(&mut client));
    (client, ack)
}

library_benchmark_group!(
    name = proto,
    benchmarks = [
        event_parse,
        event_read,
        ack_encode,
        client_call,
        parcel_text,
        parcel_binary,
        frame_parse,
        payload_decode,
        payload_encode
    ]
);

// The caches of a simulated machine are not asked for, and cost time.
main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = proto
);
