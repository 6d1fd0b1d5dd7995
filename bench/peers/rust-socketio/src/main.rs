//! A client with rust_socketio, on one thread.

#[path = "../../../src/clients/contract.rs"]
mod contract;
#[path = "../../../src/words.rs"]
#[expect(dead_code, reason = "nobody says much here")]
mod words;

use std::error::Error;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use rust_socketio::asynchronous::{Client, ClientBuilder};
use rust_socketio::{Event, Payload, TransportType};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use contract::{Case, Count, IDLE_AT_ONCE, Order, TEXTS};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An ack may take so long.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("rust_socketio {}", version());
        return Ok(());
    }
    let order = Order::read()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&order))
}

/// The one that the lock file names.
fn version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let behind = lock.split_once("name = \"rust_socketio\"\nversion = \"").map(|(_, rest)| rest);
    behind.and_then(|rest| rest.split('"').next()).unwrap_or("of an unknown version")
}

async fn run(order: &Order) -> Result<()> {
    let count = match order.case {
        Case::Call { in_flight } => {
            let peer = Peer::connect(&order.url).await?;
            peer.call(in_flight, order.warm()).await?;
            contract::ready()?;
            peer.call(in_flight, order.time).await?
        }
        Case::Receive { per_second } => {
            let mut peer = Peer::connect(&order.url).await?;
            peer.receive(per_second, order.warm()).await?;
            contract::ready()?;
            peer.receive(per_second, order.time).await?
        }
        Case::Connect => {
            come_and_go(&order.url, order.warm()).await?;
            contract::ready()?;
            come_and_go(&order.url, order.time).await?
        }
        Case::Idle { clients } => {
            let mut all = vec![Peer::connect(&order.url).await?];
            contract::ready()?;
            let mut count = Count::new();
            while count.done < clients as u64 {
                let some = IDLE_AT_ONCE.min(clients - count.done as usize);
                all.extend(try_join_all((0..some).map(|_| Peer::connect(&order.url))).await?);
                count.done += some as u64;
            }
            contract::end(&count)?;
            drop(all);
            return Ok(());
        }
    };
    Ok(contract::end(&count)?)
}

async fn come_and_go(url: &str, time: Duration) -> Result<Count> {
    let mut count = Count::new();
    while count.since.elapsed() < time {
        Peer::connect(url).await?.client.disconnect().await?;
        count.done += 1;
    }
    Ok(count)
}

/// What a round of `said` has brought: how many there were, or what was wrong.
type Told = std::result::Result<u64, String>;

struct Peer {
    client: Client,
    told: UnboundedReceiver<Told>,
}

impl Peer {
    /// Connects, and waits until it has joined the namespace.
    async fn connect(url: &str) -> Result<Self> {
        let (joined, mut has_joined) = unbounded_channel();
        let (tell, told) = unbounded_channel();
        let client = ClientBuilder::new(url)
            .transport_type(TransportType::Websocket)
            .reconnect(false)
            .on(Event::Connect, move |_, _| {
                let _ = joined.send(());
                async {}.boxed()
            });
        let client = hear(client, tell).connect().await?;
        has_joined.recv().await.ok_or("it did not join")?;
        Ok(Self { client, told })
    }

    async fn call(&self, in_flight: usize, time: Duration) -> Result<Count> {
        let texts: Vec<Value> = texts();
        let (tell, mut told) = unbounded_channel();
        let mut count = Count::new();
        let mut sent = 0;
        while sent < in_flight {
            self.ask(texts[sent % TEXTS].clone(), &tell).await?;
            sent += 1;
        }
        // An event cannot be sent within a callback of an ack, which holds a lock that it wants.
        while count.done < sent as u64 {
            told.recv().await.ok_or("no ack")??;
            count.done += 1;
            if count.since.elapsed() < time {
                self.ask(texts[sent % TEXTS].clone(), &tell).await?;
                sent += 1;
            }
        }
        Ok(count)
    }

    async fn ask(
        &self,
        text: Value,
        tell: &UnboundedSender<std::result::Result<(), String>>,
    ) -> Result<()> {
        let (wanted, tell) = (text.clone(), tell.clone());
        let heard = move |answer: Payload, _: Client| {
            let _ = tell.send(match &answer {
                Payload::Text(values) if matches!(values.as_slice(), [Value::Array(values)] if *values == [wanted.clone()]) => {
                    Ok(())
                }
                other => Err(format!("{wanted} was answered with {other:?}")),
            });
            async {}.boxed()
        };
        Ok(self.client.emit_with_ack("echo", text, TIMEOUT, heard).await?)
    }

    async fn receive(&mut self, per_second: Option<u32>, time: Duration) -> Result<Count> {
        let mut count = Count::new();
        let wish: Vec<Value> = serde_json::from_str(&contract::wish(per_second, time))?;
        let (name, arguments) = wish.split_first().ok_or("no event")?;
        let name = name.as_str().ok_or("no event")?;
        self.client.emit(name, arguments.to_vec()).await?;
        count.done = self.told.recv().await.ok_or("it ended")??;
        Ok(count)
    }
}

/// Hears `said` and `done`.
fn hear(builder: ClientBuilder, tell: UnboundedSender<Told>) -> ClientBuilder {
    let (come, texts) = (std::sync::Arc::new(std::sync::Mutex::new(0)), texts());
    let (counted, failed) = (come.clone(), tell.clone());
    builder
        .on("said", move |payload, _| {
            let mut come = come.lock().unwrap();
            match &payload {
                Payload::Text(values) if values.as_slice() == [texts[*come % TEXTS].clone()] => {
                    *come += 1
                }
                other => {
                    let _ = failed.send(Err(format!("unexpected behind {come}: {other:?}")));
                }
            }
            async {}.boxed()
        })
        .on("done", move |payload, _| {
            let come = std::mem::take(&mut *counted.lock().unwrap()) as u64;
            let _ = tell.send(match &payload {
                Payload::Text(values) if values.as_slice() == [Value::from(come)] => Ok(come),
                other => Err(format!("{come} came, and the server says {other:?}")),
            });
            async {}.boxed()
        })
}

/// A text for each number that events are counted with.
fn texts() -> Vec<Value> {
    (10..10 + TEXTS as u64).map(|number| words::text(number).into()).collect()
}
