//! Roomful's client, as a user would write it. `bench clients` measures it beside those of others.

#[path = "../../clients/contract.rs"]
#[expect(dead_code, reason = "events are emitted here, not written")]
mod contract;
#[path = "../../words.rs"]
#[expect(dead_code, reason = "nobody says much here")]
mod words;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use roomful_client::{Manager, Socket, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use contract::{Case, Count, IDLE_AT_ONCE, Order, TEXTS};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let order = Order::read()?;
    let count = match order.case {
        Case::Call { in_flight } => {
            let socket = connect(&order.url).await?;
            call(&socket, in_flight, order.warm()).await?;
            contract::ready()?;
            call(&socket, in_flight, order.time).await?
        }
        Case::Receive { per_second } => {
            let socket = connect(&order.url).await?;
            receive(&socket, per_second, order.warm()).await?;
            contract::ready()?;
            receive(&socket, per_second, order.time).await?
        }
        Case::Connect => {
            come_and_go(&order.url, order.warm()).await?;
            contract::ready()?;
            come_and_go(&order.url, order.time).await?
        }
        Case::Idle { clients } => {
            let mut all = vec![connect(&order.url).await?];
            contract::ready()?;
            let count = Count::new();
            while all.len() <= clients {
                let some = IDLE_AT_ONCE.min(clients + 1 - all.len());
                all.extend(try_join_all((0..some).map(|_| connect(&order.url))).await?);
            }
            contract::end(&Count { done: all.len() as u64 - 1, ..count })?;
            return Ok(());
        }
    };
    Ok(contract::end(&count)?)
}

/// A client of its own.
async fn connect(url: &str) -> Result<Socket> {
    let manager =
        Manager::builder(url)?.transports([Transport::WebSocket]).compress_from(None).build()?;
    let socket = manager.socket("/");
    socket.connect().await?;
    Ok(socket)
}

async fn come_and_go(url: &str, time: Duration) -> Result<Count> {
    let mut count = Count::new();
    while count.since.elapsed() < time {
        // The last handle of a client closes its connection.
        drop(connect(url).await?);
        count.done += 1;
    }
    Ok(count)
}

/// So many tasks, each of which sends when it was answered.
async fn call(socket: &Socket, in_flight: usize, time: Duration) -> Result<Count> {
    let texts = texts();
    let mut count = Count::new();
    let mut tasks = JoinSet::new();
    for first in 0..in_flight {
        let (socket, texts, since) = (socket.clone(), Arc::clone(&texts), count.since);
        tasks.spawn(async move {
            let mut done = 0;
            for at in (first..).step_by(in_flight) {
                let text = &*texts[at % TEXTS];
                let answer: String = socket.call("echo", text).await?;
                if answer != text {
                    return Err(format!("{text} was answered with {answer}").into());
                }
                done += 1;
                if since.elapsed() >= time {
                    break;
                }
            }
            Ok::<u64, Box<dyn Error + Send + Sync>>(done)
        });
    }
    while let Some(done) = tasks.join_next().await {
        count.done += done??;
    }
    Ok(count)
}

async fn receive(socket: &Socket, per_second: Option<u32>, time: Duration) -> Result<Count> {
    let (texts, come) = (texts(), Arc::new(AtomicUsize::new(0)));
    let (ends, mut ended) = mpsc::unbounded_channel();
    let (counted, wrong) = (Arc::clone(&come), ends.clone());
    socket.on("said", move |_: Socket, text: String| {
        let come = counted.fetch_add(1, Ordering::Relaxed);
        if *text != *texts[come % TEXTS] {
            // Whoever waits has heard of another one already, if it does not any more.
            let _ = wrong.send(Err(format!("unexpected behind {come}: {text}")));
        }
        std::future::ready(())
    });
    socket.on("done", move |_: Socket, sent: usize| {
        let _ = ends.send(Ok(sent));
        std::future::ready(())
    });
    let mut count = Count::new();
    let ms = time.as_millis();
    match per_second {
        Some(per_second) => socket.emit("pace", (per_second, ms)),
        None => socket.emit("flood", ms),
    }
    let sent = ended.recv().await.ok_or("nothing came")??;
    let come = come.load(Ordering::Relaxed);
    if come != sent {
        return Err(format!("{come} came, and the server says {sent}").into());
    }
    count.done = come as u64;
    Ok(count)
}

/// A text for each number that events are counted with.
fn texts() -> Arc<[String]> {
    (10..10 + TEXTS as u64).map(words::text).collect()
}
