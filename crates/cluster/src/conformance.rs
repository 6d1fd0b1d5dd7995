//! What every [`Bus`] must do: [`check`] one that you wrote.
//!
//! ```
//! # async fn example() {
//! use roomful_cluster::{MemoryBus, conformance};
//!
//! let bus = MemoryBus::new();
//! conformance::check(|| bus.clone()).await.unwrap();
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use roomful::Args;
use roomful_proto::cluster::{Body, Malformed, Offset, Packet, Presence, Selection};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::bus::{Bus, BusError, Connection, Hears, Inlet};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Names of namespaces that an engine might take for something else.
const NAMESPACES: [&str; 6] = ["/", "/a", "/a#b", "/a*", "/ü ß.>", "/x[y]?"];
const ROOMS: [&str; 3] = ["room", "a", "b"];
/// Events that are sent one behind the other.
const MANY: usize = 1_000;

/// What a bus does wrong.
#[derive(Debug)]
pub struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<BusError> for Failed {
    fn from(error: BusError) -> Self {
        Self(error.to_string())
    }
}

/// Checks a bus with two connections to one engine, which `bus` gives.
///
/// # Errors
///
/// The first thing that it does wrong.
pub async fn check<B: Bus>(bus: impl Fn() -> B) -> Result<(), Failed> {
    let (one, two) = (Node::connect(&bus(), "one").await?, Node::connect(&bus(), "two").await?);
    for namespace in NAMESPACES {
        let namespace = Arc::from(namespace);
        one.subscribe(&namespace).await?;
        two.subscribe(&namespace).await?;
        if bus().presence() == Presence::Counted {
            let count = one.connection.count(&namespace).await?;
            expect(count == 2, || format!("{namespace}: {count} nodes are counted, of two"))?;
        }
    }
    for namespace in NAMESPACES {
        everything_arrives(&one, &two, &Arc::from(namespace)).await?;
    }
    all_arrive_in_order(&one, &two).await?;
    answers_arrive(&one, &two).await?;
    nothing_comes_after_the_end(&one, &two).await?;
    let refused =
        one.heard.refused.load(Ordering::Relaxed) + two.heard.refused.load(Ordering::Relaxed);
    expect(refused == 0, || format!("{refused} packets were not understood"))
}

/// Each body that goes to all nodes comes as it was, and only in its namespace.
async fn everything_arrives(one: &Node, two: &Node, namespace: &Arc<str>) -> Result<(), Failed> {
    let sent: Vec<_> = bodies().into_iter().map(|body| one.packet(namespace, body)).collect();
    let unsaid = one.connection.publish(&sent).await?;
    expect(unsaid == 0, || format!("{namespace}: {unsaid} packets could not be said"))?;
    let heard = two.heard.next(namespace, sent.len()).await?;
    // An engine may have several ways: only what goes the same way stays in order.
    for packet in &sent {
        let is_same = |heard: &Packet| heard.body == packet.body && heard.from == packet.from;
        expect(heard.iter().any(is_same), || {
            format!("{namespace}: {packet:?} is not among {heard:?}")
        })?;
    }
    Ok(())
}

async fn all_arrive_in_order(one: &Node, two: &Node) -> Result<(), Failed> {
    let namespace = Arc::from("/a");
    let numbered = |number: usize| {
        let args = Args::new(&number).unwrap_or_default();
        one.packet(&namespace, emit(&["room"], args))
    };
    let sent: Vec<_> = (0..MANY).map(numbered).collect();
    for packets in sent.chunks(100) {
        one.connection.publish(packets).await?;
    }
    let heard = two.heard.next(&namespace, MANY).await?;
    let is_same = heard.iter().zip(&sent).all(|(heard, sent)| heard.body == sent.body);
    expect(is_same, || "events came in another order, or twice".to_owned())
}

/// An answer comes to whoever has asked.
async fn answers_arrive(one: &Node, two: &Node) -> Result<(), Failed> {
    let namespace = Arc::from("/a");
    let request: Arc<str> = Arc::from("0123456789abcdef");
    let args = |value: &str| Args::new(&value).unwrap_or_default();
    let bytes = Args::new(&Bytes::from_static(b"\x01\x02")).unwrap_or_default();
    let sent = [
        Body::ClientCount { request: Arc::clone(&request), count: 2 },
        Body::Ack { request: Arc::clone(&request), answer: args("yes") },
        Body::Ack { request: Arc::clone(&request), answer: bytes },
        Body::ServerSideAnswer { request, answer: args("yes") },
    ];
    let to = Some(Arc::clone(&one.uid));
    let packets =
        sent.clone().map(|body| Packet { to: to.clone(), ..two.packet(&namespace, body) });
    two.connection.publish(&packets).await?;
    let heard = one.heard.next_from(&namespace, sent.len(), Some(&one.uid)).await?;
    let is_same = heard.iter().zip(&sent).all(|(heard, sent)| heard.body == *sent);
    expect(is_same, || format!("answers came as {heard:?}"))
}

/// Who has unsubscribed hears nothing, as what is said in another namespace behind it shows.
async fn nothing_comes_after_the_end(one: &Node, two: &Node) -> Result<(), Failed> {
    let (left, stays) = (Arc::from("/a*"), Arc::from("/"));
    two.connection.follow(&left, &ROOMS.map(|room| (room.to_owned(), false))).await?;
    two.connection.unsubscribe(&left, &two.uid).await?;
    for namespace in [&left, &stays] {
        let packet = one.packet(namespace, emit(&["room"], Args::default()));
        one.connection.publish(&[packet]).await?;
    }
    two.heard.next(&stays, 1).await?;
    let late = two.heard.of(&left, None);
    expect(late.is_empty(), || format!("{late:?} came after the end of the subscription"))
}

/// What goes to all nodes.
fn bodies() -> Vec<Body> {
    let text = Args::new(&("text \u{1F980} \" \\", 1.5, ())).unwrap_or_default();
    let bytes = Args::new(&(Bytes::from_static(b"\0\xff"), "and", Bytes::from_static(b"\x01")));
    let large = Args::new(&"x".repeat(200_000)).unwrap_or_default();
    let to = selection(&["a", "b"]);
    vec![
        emit(&[], Args::default()),
        emit(&["room"], text.clone()),
        emit(&["a", "b"], bytes.unwrap_or_default()),
        emit(&["room"], large),
        Body::Emit {
            to: to.clone(),
            name: "asked".into(),
            args: text.clone(),
            request: Some("0123456789abcdef".into()),
        },
        Body::Join { to: to.clone(), rooms: vec!["x".into()] },
        Body::Leave { to: to.clone(), rooms: vec!["x".into(), "y".into()] },
        Body::Disconnect { to: to.clone(), close: true },
        Body::Fetch { to, request: "0123456789abcdef".into() },
        Body::ServerSide { name: "hello".into(), args: text, request: None },
    ]
}

fn selection(rooms: &[&str]) -> Selection {
    let rooms = rooms.iter().map(|room| (*room).to_owned()).collect();
    Selection { rooms, ..Selection::default() }
}

fn emit(rooms: &[&str], args: Args) -> Body {
    Body::Emit { to: selection(rooms), name: "said".into(), args, request: None }
}

/// One end of the engine.
struct Node {
    uid: Arc<str>,
    connection: Box<dyn Connection>,
    heard: Arc<Heard>,
}

impl Node {
    async fn connect(bus: &impl Bus, uid: &str) -> Result<Self, Failed> {
        let heard = Arc::new(Heard::default());
        let connection = bus.connect(Inlet::new(&heard, Arc::default())).await?;
        connection.begin().await?;
        Ok(Self { uid: uid.into(), connection, heard })
    }

    async fn subscribe(&self, namespace: &Arc<str>) -> Result<(), Failed> {
        self.connection.subscribe(namespace, &self.uid, None).await?;
        self.connection.follow(namespace, &ROOMS.map(|room| (room.to_owned(), true))).await?;
        Ok(())
    }

    fn packet(&self, namespace: &Arc<str>, body: Body) -> Packet {
        let (from, namespace) = (Arc::clone(&self.uid), Arc::clone(namespace));
        Packet { from, to: None, namespace, body }
    }
}

/// What has come.
#[derive(Default)]
struct Heard {
    packets: Mutex<Vec<Packet>>,
    refused: AtomicUsize,
    rung: Notify,
}

impl Heard {
    /// The next packets of a namespace that somebody else has sent.
    async fn next(&self, namespace: &Arc<str>, count: usize) -> Result<Vec<Packet>, Failed> {
        self.next_from(namespace, count, None).await
    }

    /// The same, without what this one has sent itself, where a wire says so.
    async fn next_from(
        &self,
        namespace: &Arc<str>,
        count: usize,
        own: Option<&Arc<str>>,
    ) -> Result<Vec<Packet>, Failed> {
        let come = async {
            loop {
                let rung = self.rung.notified();
                let found = self.of(namespace, own);
                if found.len() >= count {
                    self.packets.lock().retain(|packet| packet.namespace != *namespace);
                    return found;
                }
                rung.await;
            }
        };
        let found = timeout(PATIENCE, come).await.map_err(|_| {
            let come = self.of(namespace, own).len();
            Failed(format!("{namespace}: of {count} packets {come} came within {PATIENCE:?}"))
        })?;
        expect(found.len() == count, || {
            format!("{namespace}: of {count} packets {} came", found.len())
        })?;
        Ok(found)
    }

    fn of(&self, namespace: &Arc<str>, own: Option<&Arc<str>>) -> Vec<Packet> {
        let packets = self.packets.lock();
        let of = packets.iter().filter(|packet| packet.namespace == *namespace);
        of.filter(|packet| Some(&packet.from) != own).cloned().collect()
    }
}

impl Hears for Heard {
    fn has_room(&self, _namespace: &str, _room: &str) -> bool {
        true
    }

    fn recovers(&self, _: &str) -> bool {
        true
    }

    fn needs(&self, _: &str, _: &str, _: &[&str]) -> bool {
        true
    }

    fn deliver(&self, packet: Packet) {
        self.packets.lock().push(packet.unlogged().into_owned());
        self.rung.notify_waiters();
    }

    fn begin_log(&self, _namespace: Option<&str>, _uid: Option<&str>, _offset: Offset) {}

    fn log_begun(&self, _namespace: &str, _uid: &str) {}

    fn log_reached(&self, _offset: Offset) {}

    fn pass_over(&self) {}

    fn refuse(&self, _why: Malformed) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

fn expect(is_right: bool, wrong: impl FnOnce() -> String) -> Result<(), Failed> {
    if is_right { Ok(()) } else { Err(Failed(wrong())) }
}
