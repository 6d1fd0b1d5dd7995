//! Conversations as transcripts, one per file in `vectors/`, against a server in virtual time.
//!
//! What a client or time does, one line each:
//!
//! ```text
//! limit NAME=VALUE     first of all: another limit than the default
//! open TRANSPORT       the session opens; behind it `v3`, or `v3 b64`, for old clients
//! > TEXT   >> HEX      a text frame, a binary frame
//! get   get-gone       a poll begins, is given up
//! post BODY            a body; ␞ is the separator
//! post-hex HEX         a body that is no text
//! post-broken          a body is given up
//! gone   reset         the WebSocket ends in order, or fails
//! probe-open   probe TEXT   probe-hex HEX   probe-gone      the other WebSocket
//! @ TIME               time passes: 100ms or 25s
//! server WHAT          the server does: close, shutdown, abort, hold (bodies), release, emit NAME,
//!                      accept NSP, refuse NSP, leave NSP
//! ```
//!
//! What must come of it, in this order and nothing else, before the next such line:
//!
//! ```text
//! < TEXT   << HEX      a text frame, a binary frame
//! got BODY   got 400   the poll is answered, a second poll is refused
//! got-hex HEX          the poll is answered with a body that is no text
//! posted ok            the body is answered
//! probed TEXT   probe-closed   upgraded
//! broken WHY   close REASON
//! ```
//!
//! `…` in an expectation stands for any text. Lines that begin with `#` and empty ones say why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::{Data, Input, Revision, Transport};
use roomful_proto::{Limits, Parcel, Reason};
use support::{Sent, Server};

#[test]
fn every_transcript_goes_as_it_is_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    assert!(files.len() >= 40, "only {} transcripts", files.len());
    let mut failures = String::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        if let Err(failure) = play(&text) {
            let name = file.file_name().unwrap().to_string_lossy();
            writeln!(failures, "{name}:{failure}\n").unwrap();
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// The runner itself must notice what differs, or the transcripts prove nothing.
#[test]
fn a_wrong_transcript_fails() {
    let good = "open websocket\n< 0{…}\n> 40\n< 40{\"sid\":\"…\"}\n";
    assert_eq!(play(good), Ok(()));
    for wrong in [
        "open websocket\n",
        "open websocket\n< 0{…}\n< 2\n",
        "open websocket\n< 1{…}\n",
        "open websocket\n< 0{…}\n> 40\n",
        "open websocket\n< 0{…}\n> 40\n< 40{\"sid\":\"…\"\n",
    ] {
        assert!(play(wrong).is_err(), "{wrong}");
    }
}

/// Plays one transcript; the error tells the line and what differs.
fn play(text: &str) -> Result<(), String> {
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    let mut limits = Limits::default();
    let mut server = None;
    while let Some((number, line)) = lines.next() {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match &mut server {
            None if verb == "limit" => set_limit(&mut limits, rest),
            None => server = Some(open(line, limits.clone())),
            Some(server) => act(server, verb, rest),
        }
        let Some(server) = &mut server else { continue };
        let found: Vec<String> = server.sent.drain(..).map(|sent| show(&sent)).collect();
        let mut expected = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| is_expectation(line)) {
            expected.push(line);
        }
        let same = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(f, e)| matches(e, f));
        if !same {
            let expected = expected.join("\n  ");
            let found = found.join("\n  ");
            let line = format!("{}: after `{line}`", number + 1);
            return Err(format!("{line}\n expected\n  {expected}\n found\n  {found}"));
        }
    }
    Ok(())
}

fn is_expectation(line: &str) -> bool {
    let verbs = [
        "<",
        "<<",
        "got",
        "got-hex",
        "posted",
        "probed",
        "probe-closed",
        "upgraded",
        "broken",
        "close",
    ];
    verbs.contains(&line.split(' ').next().unwrap_or_default())
}

/// Whether `text` is `pattern` with some text for each `…`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| matches(after, &rest[at..]))
        }),
    }
}

fn set_limit(limits: &mut Limits, assignment: &str) {
    let (name, value) = assignment.split_once('=').expect("NAME=VALUE");
    let count = || value.parse().expect("a number");
    match name {
        "attachments_max" => limits.attachments_max = count(),
        "payload_bytes_max" => limits.payload_bytes_max = count() as usize,
        "payload_packets_max" => limits.payload_packets_max = count(),
        "namespaces_max" => limits.namespaces_max = count() as usize,
        "held_events_max" => limits.held_events_max = count() as usize,
        "json_depth_max" => limits.json_depth_max = count(),
        "ping_interval" => limits.ping_interval = duration(value),
        "ping_timeout" => limits.ping_timeout = duration(value),
        "connect_timeout" => limits.connect_timeout = duration(value),
        _ => panic!("no limit {name}"),
    }
}

fn open(line: &str, limits: Limits) -> Server {
    let (transport, dialect) = match line.split(' ').collect::<Vec<_>>()[..] {
        ["open", "polling", ref dialect @ ..] => (Transport::Polling, dialect.join(" ")),
        ["open", "websocket", ref dialect @ ..] => (Transport::WebSocket, dialect.join(" ")),
        _ => panic!("`{line}` before the session is open"),
    };
    let (revision, base64) = match dialect.as_str() {
        "" => (Revision::V4, false),
        "v3" => (Revision::V3, false),
        "v3 b64" => (Revision::V3, true),
        _ => panic!("`{line}` opens nothing"),
    };
    Server::speaking(revision, base64, transport, limits)
}

fn act(server: &mut Server, verb: &str, rest: &str) {
    let text = || Bytes::copy_from_slice(rest.replace('␞', "\u{1e}").as_bytes());
    let input = match verb {
        ">" => Input::Frame(Data::Text(text())),
        ">>" => Input::Frame(Data::Binary(hex(rest))),
        "get" => Input::Poll,
        "get-gone" => Input::PollGone,
        "post" => Input::Body(text()),
        "post-hex" => Input::Body(hex(rest)),
        "post-broken" => Input::BodyBroken,
        "gone" => Input::Gone { in_order: true },
        "reset" => Input::Gone { in_order: false },
        "probe-open" => Input::ProbeOpened,
        "probe" => Input::Probe(Data::Text(text())),
        "probe-hex" => Input::Probe(Data::Binary(hex(rest))),
        "probe-gone" => Input::ProbeGone,
        "@" => return server.pass(duration(rest)),
        "server" => return order(server, rest),
        _ => panic!("no verb {verb}"),
    };
    server.receive(input);
}

fn order(server: &mut Server, what: &str) {
    match what.split_once(' ').unwrap_or((what, "")) {
        ("close", "") => server.close(Reason::ForcedServerClose),
        ("shutdown", "") => server.close(Reason::ServerShuttingDown),
        ("abort", "") => server.abort(Reason::ForcedServerClose),
        ("hold", "") => server.hold(true),
        ("release", "") => server.hold(false),
        ("emit", name) => server.send(Parcel::event("/", None, name, &()).unwrap()),
        ("accept", namespace) => drop(server.decide(namespace, true)),
        ("refuse", namespace) => drop(server.decide(namespace, false)),
        ("leave", namespace) => server.leave(namespace),
        _ => panic!("the server cannot {what}"),
    }
}

fn duration(text: &str) -> Duration {
    let number = |digits: &str| digits.parse().expect("a number");
    match text.strip_suffix("ms") {
        Some(ms) => Duration::from_millis(number(ms)),
        None => Duration::from_secs(number(text.strip_suffix('s').expect("25s or 100ms"))),
    }
}

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ' ')
        .map(|c| c.to_digit(16).expect("hexadecimal") as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn show(sent: &Sent) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace('\u{1e}', "␞");
    match sent {
        Sent::Frame(Data::Text(bytes)) => format!("< {}", text(bytes)),
        Sent::Frame(Data::Binary(bytes)) => format!("<< {}", show_hex(bytes)),
        // So each packet of a binary body begins.
        Sent::Got(body) if matches!(body[0], 0 | 1) => format!("got-hex {}", show_hex(body)),
        Sent::Got(body) => format!("got {}", text(body)),
        Sent::GotRefused => "got 400".to_owned(),
        Sent::Posted => "posted ok".to_owned(),
        Sent::Probed(frame) => format!("probed {}", text(frame)),
        Sent::ProbeClosed => "probe-closed".to_owned(),
        Sent::Upgraded => "upgraded".to_owned(),
        Sent::Broken(why) => format!("broken {why}"),
        Sent::Closed(reason) => format!("close {reason}"),
    }
}

fn show_hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
