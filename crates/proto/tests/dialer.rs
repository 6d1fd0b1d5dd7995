//! The client's end of a connection, in virtual time: what each input makes it say, and when it comes to
//! its end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::DisconnectReason::{
    self, ForcedClose, ParseError, PingTimeout, TransportClose, TransportError,
};
use roomful_proto::engine::Transport::{Polling, WebSocket};
use roomful_proto::engine::dialer::{Input, Output};
use roomful_proto::engine::{Data, Dial, Dialer, Packet, Revision, Transport};
use roomful_proto::{Limits, Moment, Violation};

/// A client, and how late it is.
struct Client {
    now: Moment,
    dialer: Dialer,
}

impl Client {
    fn dialing(transports: &[Transport], revision: Revision, more: impl Fn(&mut Dial)) -> Self {
        let mut dial = Dial {
            transports: transports.to_vec(),
            try_all: false,
            upgrade: true,
            revision,
            limits: Arc::new(Limits::default()),
        };
        more(&mut dial);
        Self { now: Moment::from_millis(1_000), dialer: Dialer::new(dial) }
    }

    fn new(transports: &[Transport]) -> Self {
        Self::dialing(transports, Revision::V4, |_| {})
    }

    fn said(&mut self) -> Vec<Output> {
        let said: Vec<_> = std::iter::from_fn(|| self.dialer.poll(self.now)).collect();
        let ends = said.iter().position(|output| matches!(output, Output::Closed(_)));
        assert_eq!(ends.is_some(), self.dialer.is_closed() && !said.is_empty());
        assert!(ends.is_none_or(|at| at + 1 == said.len()), "something follows: {said:?}");
        if self.dialer.is_closed() {
            assert_eq!(self.dialer.deadline(), None);
            assert!(!self.dialer.is_writable());
        }
        said
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.dialer.receive(self.now, input);
        self.said()
    }

    fn answer(&mut self, body: &str) -> Vec<Output> {
        self.tell(Input::Answered(Bytes::copy_from_slice(body.as_bytes())))
    }

    fn frame(&mut self, text: &str) -> Vec<Output> {
        self.tell(Input::Frame(data(text)))
    }

    fn flushed(&mut self) -> Vec<Output> {
        self.dialer.flushed();
        self.said()
    }

    fn close(&mut self) -> Vec<Output> {
        self.dialer.close(self.now);
        self.said()
    }

    /// Time passes, with a stop at each deadline.
    fn pass(&mut self, ms: u64) -> Vec<Output> {
        let end = self.now + Duration::from_millis(ms);
        let mut said = Vec::new();
        while let Some(at) = self.dialer.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline lies in the past");
            self.now = at;
            self.dialer.expire(at);
            said.extend(self.said());
            assert_ne!(self.dialer.deadline(), Some(at), "a deadline stays where it is");
        }
        self.now = end;
        said
    }

    /// A session on polling with a poll under way, and no upgrade.
    fn polling(revision: Revision) -> Self {
        let mut client = Self::dialing(&[Polling], revision, |_| {});
        assert_eq!(client.said(), [Output::Get]);
        let open = match revision {
            Revision::V4 => open(""),
            Revision::V3 => v3(&open("")),
        };
        assert_eq!(client.answer(&open), [Output::Open, Output::Get]);
        client
    }

    fn websocket(revision: Revision) -> Self {
        let mut client = Self::dialing(&[WebSocket], revision, |_| {});
        assert_eq!(client.said(), [Output::OpenWebSocket]);
        assert_eq!(client.tell(Input::Opened), []);
        assert_eq!(client.frame(&open("")), [Output::Open]);
        client
    }

    /// A session on polling, a WebSocket beside it that is being opened.
    fn upgrading(revision: Revision) -> Self {
        let mut client = Self::dialing(&[Polling, WebSocket], revision, |_| {});
        assert_eq!(client.said(), [Output::Get]);
        let open = match revision {
            Revision::V4 => open("\"websocket\""),
            Revision::V3 => v3(&open("\"websocket\"")),
        };
        assert_eq!(client.answer(&open), [Output::Open, Output::OpenProbe, Output::Get]);
        client
    }

    /// The same, paused: its probe was answered, and the poll is under way.
    fn pausing() -> Self {
        let mut client = Self::upgrading(Revision::V4);
        assert_eq!(client.tell(Input::ProbeOpened), [probe()]);
        assert!(client.dialer.is_writable());
        assert_eq!(client.tell(Input::Probe(data("3probe"))), []);
        assert!(!client.dialer.is_writable());
        client
    }
}

fn open(upgrades: &str) -> String {
    format!(
        r#"0{{"sid":"a/b","upgrades":[{upgrades}],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000}}"#
    )
}

/// The body of Engine.IO 3 with that packet.
fn v3(packet: &str) -> String {
    format!("{}:{packet}", packet.len())
}

fn data(text: &str) -> Data {
    Data::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn message(text: &str) -> Output {
    Output::Message(data(text))
}

fn probe() -> Output {
    Output::Probe(Packet::Ping("probe".into()))
}

fn pong(text: &'static str) -> Output {
    Output::Send(Packet::Pong(text.into()))
}

fn upgraded() -> [Output; 2] {
    [Output::Probe(Packet::Upgrade), Output::Upgraded]
}

fn ended(reason: DisconnectReason) -> [Output; 2] {
    [Output::HangUp, Output::Closed(reason)]
}

fn broken(violation: Violation) -> [Output; 3] {
    [Output::Broken(violation), Output::HangUp, Output::Closed(TransportError)]
}

mod opening {
    use super::*;

    #[test]
    fn polling_begins_with_a_get_and_keeps_one_under_way() {
        let mut client = Client::polling(Revision::V4);
        let welcome = client.dialer.welcome().unwrap();
        assert_eq!((&*welcome.session, welcome.payload_bytes_max), ("a/b", Some(1_000)));
        assert!(client.dialer.is_writable() && client.dialer.is_open());
        assert_eq!(
            client.answer("4a\u{1e}bAQI="),
            [message("a"), Output::Message(Data::Binary(Bytes::from_static(&[1, 2]))), Output::Get]
        );
        assert_eq!(client.answer("6"), [Output::Get]);
    }

    #[test]
    fn messages_behind_the_open_packet_come_before_the_first_poll() {
        let mut client = Client::new(&[Polling]);
        client.said();
        let body = format!("{}\u{1e}4a", open(""));
        assert_eq!(client.answer(&body), [Output::Open, message("a"), Output::Get]);
    }

    #[test]
    fn a_websocket_waits_for_the_open_packet() {
        let mut client = Client::websocket(Revision::V4);
        assert!(client.dialer.is_writable());
        assert_eq!(client.frame("4a"), [message("a")]);
        let direct = client.dialer.frame(client.now, data("4b"));
        assert_eq!(direct, Some(data("b")), "it needs no queue");
    }

    #[test]
    fn nothing_is_writable_before_the_session_is_open() {
        for transport in [Polling, WebSocket] {
            let mut client = Client::new(&[transport]);
            assert!(!client.dialer.is_writable());
            client.said();
            client.tell(Input::Opened);
            assert!(!client.dialer.is_writable() && !client.dialer.is_open());
            assert_eq!(client.dialer.deadline(), None);
        }
    }

    #[test]
    fn with_no_transport_it_has_ended() {
        assert_eq!(Client::new(&[]).said(), [Output::Closed(TransportError)]);
    }

    #[test]
    fn a_transport_that_fails_is_the_end_or_the_turn_of_the_next() {
        let mut client = Client::new(&[WebSocket, Polling]);
        client.said();
        assert_eq!(client.tell(Input::Gone { in_order: false }), [Output::Closed(TransportError)]);
        let mut client = Client::new(&[Polling, WebSocket]);
        client.said();
        assert_eq!(client.tell(Input::RequestFailed), ended(TransportError));

        let try_all = |transports: &[Transport]| {
            Client::dialing(transports, Revision::V4, |dial| dial.try_all = true)
        };
        let mut client = try_all(&[WebSocket, Polling]);
        client.said();
        let next = client.tell(Input::Gone { in_order: true });
        assert_eq!(next, [Output::NextTransport, Output::Get]);
        // A transport that has failed is not upgraded to.
        assert_eq!(client.answer(&open("\"websocket\"")), [Output::Open, Output::Get]);
        assert_eq!(client.tell(Input::RequestFailed), ended(TransportError), "it was open");

        let mut client = try_all(&[Polling, WebSocket]);
        client.said();
        let next = client.answer("<html>");
        assert_eq!(
            next,
            [Output::Broken(Violation::EnginePacket), Output::NextTransport, Output::OpenWebSocket]
        );
        assert_eq!(client.tell(Input::RequestFailed), [], "of the transport before");
        assert_eq!(client.tell(Input::Gone { in_order: true }), [Output::Closed(TransportClose)]);
    }

    #[test]
    fn another_revision_is_named_and_the_same_on_every_transport() {
        let binary = Bytes::from([&b"\x00\x09\x06\xff"[..], open("").as_bytes()].concat());
        let bodies = [
            (Revision::V4, Bytes::from(v3(&open(""))), Violation::EngineIo3),
            (Revision::V4, binary, Violation::EngineIo3),
            (Revision::V3, Bytes::from(open("")), Violation::EngineIo4),
        ];
        for (revision, body, violation) in bodies {
            let both = [Polling, WebSocket];
            let mut client = Client::dialing(&both, revision, |dial| dial.try_all = true);
            client.said();
            assert_eq!(client.tell(Input::Answered(body)), broken(violation));
        }
        let mut client = Client::websocket(Revision::V3);
        assert_eq!(client.frame("2"), broken(Violation::EngineIo4));
    }

    #[test]
    fn a_broken_handshake_is_named() {
        for packet in ["0", "0{}", "0null", "4a", "6", "1", "2", "3", "5"] {
            let mut client = Client::new(&[Polling]);
            client.said();
            assert_eq!(client.answer(packet), broken(Violation::Handshake), "{packet}");
            let mut client = Client::new(&[WebSocket]);
            client.said();
            assert_eq!(client.frame(packet), broken(Violation::Handshake), "{packet}");
            assert!(client.dialer.welcome().is_none());
        }
        let mut client = Client::new(&[WebSocket]);
        client.said();
        let bytes = Data::Binary(Bytes::from_static(b"0{}"));
        assert_eq!(client.tell(Input::Frame(bytes)), broken(Violation::Handshake));
    }

    #[test]
    fn closing_it_then_is_the_end_at_once() {
        for transport in [Polling, WebSocket] {
            let mut client = Client::new(&[transport]);
            client.said();
            assert_eq!(client.close(), ended(ForcedClose));
        }
    }
}

mod what_a_server_says {
    use super::*;

    #[test]
    fn a_close_packet_is_the_end() {
        let mut client = Client::polling(Revision::V4);
        let said = client.answer("4a\u{1e}1\u{1e}4b");
        assert_eq!(said[0], message("a"));
        assert_eq!(said[1..], ended(TransportClose));
        assert_eq!(Client::websocket(Revision::V4).frame("1"), ended(TransportClose));
    }

    #[test]
    fn packets_out_of_place_are_named_or_mean_nothing() {
        let check = |packet: &str, violation| {
            let mut polling = Client::polling(Revision::V4);
            assert_eq!(polling.answer(packet), broken(violation), "{packet}");
            let mut websocket = Client::websocket(Revision::V4);
            assert_eq!(websocket.frame(packet), broken(violation), "{packet}");
        };
        check(&open(""), Violation::Unexpected);
        check("5", Violation::Unexpected);
        check("", Violation::EnginePacket);
        check("9", Violation::EnginePacket);
        check("b?", Violation::Base64);
        let mut client = Client::websocket(Revision::V4);
        for packet in ["3", "3probe", "6"] {
            assert_eq!(client.frame(packet), [], "{packet}");
        }
    }

    #[test]
    fn a_body_has_a_limit_of_packets() {
        let mut client = Client::dialing(&[Polling], Revision::V4, |dial| {
            Arc::make_mut(&mut dial.limits).payload_packets_max = 2;
        });
        client.said();
        client.answer(&open(""));
        assert_eq!(client.answer("6\u{1e}6"), [Output::Get]);
        assert_eq!(client.answer("6\u{1e}6\u{1e}6"), broken(Violation::PayloadPackets));
    }

    #[test]
    fn the_end_of_its_streams_has_the_official_reasons() {
        let end = |client: &mut Client, input| client.tell(input);
        let mut client = Client::websocket(Revision::V4);
        let gone = Output::Closed(TransportClose);
        assert_eq!(end(&mut client, Input::Gone { in_order: true }), [gone]);
        let mut client = Client::websocket(Revision::V4);
        let gone = Output::Closed(TransportError);
        assert_eq!(end(&mut client, Input::Gone { in_order: false }), [gone]);
        let mut client = Client::polling(Revision::V4);
        assert_eq!(end(&mut client, Input::RequestFailed), ended(TransportError));
        assert_eq!(end(&mut client, Input::RequestFailed), [], "nothing follows");
    }

    #[test]
    fn what_nobody_asked_for_changes_nothing() {
        let mut client = Client::websocket(Revision::V4);
        let inputs = [
            Input::Answered("4a".into()),
            Input::Posted,
            Input::RequestFailed,
            Input::Opened,
            Input::ProbeOpened,
            Input::Probe(data("3probe")),
            Input::ProbeGone,
        ];
        for input in inputs {
            assert_eq!(client.tell(input), []);
        }
        let mut client = Client::polling(Revision::V4);
        client.tell(Input::Posted);
        for input in [Input::Frame(data("4a")), Input::Gone { in_order: true }, Input::ProbeGone] {
            assert_eq!(client.tell(input), []);
        }
    }
}

mod heartbeats {
    use super::*;

    #[test]
    fn a_ping_is_answered_with_its_data_and_silence_is_the_end() {
        let mut client = Client::websocket(Revision::V4);
        for _ in 0..3 {
            assert_eq!(client.pass(44_999), []);
            assert!(!client.dialer.is_expired(client.now));
            assert_eq!(client.frame("2x"), [pong("x")]);
        }
        assert_eq!(client.frame("4a"), [message("a")]);
        client.now = client.now + Duration::from_secs(45);
        assert!(client.dialer.is_expired(client.now), "before anybody looks at the clock");
        assert_eq!(client.pass(0), ended(PingTimeout));
        assert!(!client.dialer.is_expired(client.now));
    }

    #[test]
    fn the_same_on_polling() {
        let mut client = Client::polling(Revision::V4);
        assert_eq!(client.pass(44_999), []);
        assert_eq!(client.answer("2"), [pong(""), Output::Get]);
        let said = client.pass(45_000);
        assert_eq!(said, ended(PingTimeout));
    }

    #[test]
    fn bytes_that_move_are_a_sign_of_life() {
        for revision in [Revision::V3, Revision::V4] {
            let mut client = Client::websocket(revision);
            for _ in 0..20 {
                assert!(!client.pass(19_999).contains(&Output::HangUp), "{revision:?}");
                client.dialer.alive(client.now);
            }
            let said = client.pass(45_000);
            assert!(said.ends_with(&ended(PingTimeout)), "{revision:?}: {said:?}");
        }
    }

    #[test]
    fn a_client_of_engine_io_3_pings() {
        let ping = Output::Send(Packet::Ping(Bytes::new()));
        let mut client = Client::websocket(Revision::V3);
        for _ in 0..3 {
            assert_eq!(client.pass(24_999), []);
            assert_eq!(client.frame("3"), [], "nobody asked for it, and it changes nothing");
            assert_eq!(client.pass(1), [Output::Send(Packet::Ping(Bytes::new()))]);
            assert_eq!(client.pass(19_999), []);
            assert!(!client.dialer.is_expired(client.now));
            assert_eq!(client.frame("3"), []);
        }
        assert_eq!(client.pass(25_000), [ping]);
        client.now = client.now + Duration::from_secs(20);
        assert!(client.dialer.is_expired(client.now));
        assert_eq!(client.pass(0), ended(PingTimeout));
    }

    #[test]
    fn a_client_of_engine_io_3_that_slept_has_expired() {
        let client = Client::websocket(Revision::V3);
        let due = client.now + Duration::from_secs(25);
        assert!(!client.dialer.is_expired(due + Duration::from_millis(19_999)));
        assert!(client.dialer.is_expired(due + Duration::from_secs(20)));
    }
}

mod upgrades {
    use super::*;

    #[test]
    fn the_poll_ends_before_the_websocket_takes_over() {
        let mut client = Client::pausing();
        let mut expected = vec![message("a"), pong("")];
        expected.extend(upgraded());
        assert_eq!(client.answer("4a\u{1e}2"), expected);
        assert_eq!(client.dialer.transport(), WebSocket);
        assert!(client.dialer.is_writable());
        assert_eq!(client.frame("4b"), [message("b")]);
        assert_eq!(client.pass(44_999), [], "it has no deadline of its own any more");
        assert_eq!(client.tell(Input::Gone { in_order: true }), [Output::Closed(TransportClose)]);
    }

    #[test]
    fn a_post_under_way_ends_before_too() {
        let mut client = Client::upgrading(Revision::V3);
        assert_eq!(client.tell(Input::ProbeOpened), [probe()]);
        client.dialer.posting();
        assert!(!client.dialer.is_writable());
        client.tell(Input::Probe(data("3probe")));
        assert_eq!(client.answer("1:6"), [], "no other poll begins");
        assert_eq!(client.tell(Input::Posted), upgraded());
    }

    #[test]
    fn in_which_order_they_end_does_not_matter() {
        let mut client = Client::pausing();
        client.dialer.posting();
        assert_eq!(client.tell(Input::Posted), [], "the poll is under way");
        assert_eq!(client.answer("6"), upgraded());
    }

    #[test]
    fn a_probe_that_fails_leaves_the_polling_as_it_was() {
        let mut client = Client::upgrading(Revision::V4);
        assert_eq!(client.tell(Input::ProbeGone), []);
        assert_eq!(client.answer("4a"), [message("a"), Output::Get]);
        for frame in ["3", "3other", "4probe", "2probe", "1", "", "9"] {
            let mut client = Client::upgrading(Revision::V4);
            client.tell(Input::ProbeOpened);
            assert_eq!(client.tell(Input::Probe(data(frame))), [Output::DropProbe], "{frame}");
            assert_eq!(client.answer("4a"), [message("a"), Output::Get]);
            assert!(client.dialer.is_writable());
            assert_eq!(client.tell(Input::Probe(data("3probe"))), []);
        }
        let mut client = Client::upgrading(Revision::V4);
        assert_eq!(client.tell(Input::Probe(data("3probe"))), [Output::DropProbe], "too early");
    }

    #[test]
    fn polling_that_was_paused_goes_on_where_the_probe_fails() {
        let mut client = Client::pausing();
        client.dialer.posting();
        assert_eq!(client.answer("4a"), [message("a")]);
        assert_eq!(client.tell(Input::ProbeGone), [Output::Get]);
        assert!(!client.dialer.is_writable(), "the body is under way");
        assert_eq!(client.tell(Input::Posted), []);
        assert!(client.dialer.is_writable());

        let mut client = Client::pausing();
        assert_eq!(client.tell(Input::Probe(data("4x"))), [Output::DropProbe]);
        assert_eq!(client.answer("6"), [Output::Get]);
    }

    #[test]
    fn it_has_a_time_limit_in_each_stage() {
        let opening = Client::upgrading(Revision::V4);
        let mut probing = Client::upgrading(Revision::V4);
        probing.tell(Input::ProbeOpened);
        let pausing = Client::pausing();
        for mut client in [opening, probing, pausing] {
            assert_eq!(client.pass(9_999), []);
            assert_eq!(client.pass(1), [Output::DropProbe]);
            assert!(client.dialer.is_writable());
            assert_eq!(client.answer("6"), [Output::Get]);
        }
    }

    #[test]
    fn nobody_upgrades_who_does_not_want_to_or_cannot() {
        let offer = open("\"websocket\"");
        let mut unwilling =
            Client::dialing(&[Polling, WebSocket], Revision::V4, |dial| dial.upgrade = false);
        let mut alone = Client::new(&[Polling]);
        for client in [&mut unwilling, &mut alone] {
            client.said();
            assert_eq!(client.answer(&offer), [Output::Open, Output::Get]);
        }
        let mut refused = Client::new(&[Polling, WebSocket]);
        refused.said();
        assert_eq!(refused.answer(&open("\"webtransport\"")), [Output::Open, Output::Get]);
    }

    #[test]
    fn the_end_of_the_session_takes_the_probe_along() {
        let mut client = Client::pausing();
        let said = client.tell(Input::RequestFailed);
        assert_eq!(said[0], Output::DropProbe);
        assert_eq!(said[1..], ended(TransportError));
    }
}

mod closing {
    use super::*;

    #[test]
    fn on_polling_the_close_packet_goes_behind_what_waits() {
        let mut client = Client::polling(Revision::V4);
        assert_eq!(client.close(), []);
        assert!(client.dialer.is_writable() && !client.dialer.is_open());
        // What waits leaves in two bodies.
        for _ in 0..2 {
            client.dialer.posting();
            assert_eq!(client.flushed(), [], "the body is under way");
            assert_eq!(client.answer("4late"), [Output::Get]);
            assert_eq!(client.tell(Input::Posted), []);
        }
        assert_eq!(client.flushed(), [Output::Send(Packet::Close)]);
        assert_eq!(client.flushed(), [], "once");
        assert!(client.dialer.is_writable());
        client.dialer.posting();
        assert_eq!(client.answer("2\u{1e}6"), [], "nothing goes behind it, and no poll follows");
        assert_eq!(client.tell(Input::Posted), ended(ForcedClose));
    }

    #[test]
    fn whatever_ends_a_session_that_is_closing_it_was_closed() {
        let inputs = [Input::Answered("1".into()), Input::RequestFailed];
        for input in inputs {
            let mut client = Client::polling(Revision::V4);
            client.close();
            assert_eq!(client.tell(input), ended(ForcedClose));
        }
        let mut client = Client::websocket(Revision::V4);
        client.close();
        assert_eq!(client.tell(Input::Gone { in_order: false }), [Output::Closed(ForcedClose)]);
    }

    #[test]
    fn a_websocket_is_closed_when_all_has_left() {
        let mut client = Client::websocket(Revision::V4);
        assert_eq!(client.flushed(), [], "nobody closes");
        assert_eq!(client.close(), []);
        assert_eq!(client.frame("4late"), []);
        assert_eq!(client.frame("2"), [pong("")]);
        assert_eq!(client.flushed(), ended(ForcedClose));
    }

    #[test]
    fn it_has_a_time_limit() {
        let mut polling = Client::polling(Revision::V4);
        let websocket = Client::websocket(Revision::V4);
        polling.dialer.posting();
        for mut client in [polling, websocket] {
            client.close();
            assert_eq!(client.pass(4_999), []);
            assert_eq!(client.close(), [], "a second call takes no time away");
            assert_eq!(client.pass(1), ended(ForcedClose));
        }
    }

    #[test]
    fn an_upgrade_of_which_the_server_knows_ends_before() {
        let mut client = Client::pausing();
        assert_eq!(client.close(), []);
        assert_eq!(client.flushed(), [], "no packet can leave now");
        assert_eq!(client.answer("4late"), upgraded());
        assert!(client.dialer.is_writable());
        assert_eq!(client.flushed(), ended(ForcedClose));

        let mut client = Client::pausing();
        client.close();
        assert_eq!(client.answer("6").len(), 2);

        let mut client = Client::pausing();
        client.close();
        assert_eq!(client.tell(Input::ProbeGone), []);
        assert_eq!(client.flushed(), [Output::Send(Packet::Close)]);
        assert_eq!(client.answer("6"), []);
    }

    #[test]
    fn an_upgrade_that_has_hardly_begun_is_given_up() {
        let opening = Client::upgrading(Revision::V4);
        let mut probing = Client::upgrading(Revision::V4);
        probing.tell(Input::ProbeOpened);
        for mut client in [opening, probing] {
            assert_eq!(client.close(), [Output::DropProbe]);
            assert_eq!(client.flushed(), [Output::Send(Packet::Close)]);
        }
    }

    #[test]
    fn what_is_not_socket_io_closes_in_order() {
        let mut client = Client::polling(Revision::V4);
        client.dialer.fail(client.now, Violation::PacketType);
        assert_eq!(client.said(), [Output::Broken(Violation::PacketType)]);
        client.dialer.fail(client.now, Violation::PacketType);
        assert_eq!(client.flushed(), [Output::Send(Packet::Close)]);
        client.dialer.posting();
        assert_eq!(client.tell(Input::Posted), ended(ParseError));
    }

    #[test]
    fn an_abort_is_the_end_at_once() {
        let mut client = Client::pausing();
        client.dialer.abort();
        client.dialer.abort();
        let said = client.said();
        assert_eq!(said[0], Output::DropProbe);
        assert_eq!(said[1..], ended(ForcedClose));
        client.dialer.close(client.now);
        client.dialer.flushed();
        assert_eq!(client.said(), []);
    }
}

#[test]
fn a_dialer_shows_no_secret() {
    let client = Client::polling(Revision::V4);
    let shown = format!("{:?}", client.dialer);
    assert!(!shown.contains("a/b"), "{shown}");
    assert!(format!("{:?}", Input::Answered("0secret".into())).contains("7 bytes"));
}
