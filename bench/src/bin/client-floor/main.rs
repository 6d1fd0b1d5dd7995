//! The floor of the clients: tokio-tungstenite, which sends bytes that were made beforehand and
//! compares what comes with others. It knows no acks, no events and no namespaces; what it costs is
//! what the system calls, the event loop and a codec of WebSocket cost.

#[path = "../../clients/contract.rs"]
mod contract;
#[path = "../../words.rs"]
#[expect(dead_code, reason = "nobody says much here")]
mod words;

use std::error::Error;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use contract::{Case, Count, IDLE_AT_ONCE, Order, TEXTS};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What an idle client reads into. Otherwise it is 128 KiB, which a flood is read with in few calls.
const IDLE_BUFFER: usize = 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let order = Order::read()?;
    let count = match order.case {
        Case::Call { in_flight } => {
            let mut client = Client::connect(&order.url).await?;
            client.call(in_flight, order.warm()).await?;
            contract::ready()?;
            client.call(in_flight, order.time).await?
        }
        Case::Receive { per_second } => {
            let mut client = Client::connect(&order.url).await?;
            client.receive(per_second, order.warm()).await?;
            contract::ready()?;
            client.receive(per_second, order.time).await?
        }
        Case::Connect => {
            come_and_go(&order.url, order.warm()).await?;
            contract::ready()?;
            come_and_go(&order.url, order.time).await?
        }
        Case::Idle { clients } => {
            let config = WebSocketConfig::default().read_buffer_size(IDLE_BUFFER);
            Client::connect_with(&order.url, config).await?.rest();
            contract::ready()?;
            let mut count = Count::new();
            while count.done < clients as u64 {
                let some = IDLE_AT_ONCE.min(clients - count.done as usize);
                let some = (0..some).map(|_| Client::connect_with(&order.url, config));
                for client in try_join_all(some).await? {
                    client.rest();
                    count.done += 1;
                }
            }
            count
        }
    };
    Ok(contract::end(&count)?)
}

async fn come_and_go(url: &str, time: Duration) -> Result<Count> {
    let mut count = Count::new();
    while count.since.elapsed() < time {
        drop(Client::connect(url).await?);
        count.done += 1;
    }
    Ok(count)
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    /// Connects and joins the namespace.
    async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, WebSocketConfig::default()).await
    }

    async fn connect_with(url: &str, config: WebSocketConfig) -> Result<Self> {
        let host = url.strip_prefix("http://").ok_or("the URL does not begin with http://")?;
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{host}/socket.io/?EIO=4&transport=websocket");
        let mut client = Self(client_async_with_config(url, stream, Some(config)).await?.0);
        client.expect("0{").await?;
        client.0.send(Message::text("40")).await?;
        client.expect("40{").await?;
        Ok(client)
    }

    async fn expect(&mut self, start: &str) -> Result<()> {
        let text = text_of(self.0.next().await)?;
        if text.starts_with(start) { Ok(()) } else { Err(format!("unexpected: {text}").into()) }
    }

    async fn call(&mut self, in_flight: usize, time: Duration) -> Result<Count> {
        let asks = texts(|number, text| format!(r#"42{number}["echo","{text}"]"#));
        let acks = texts(|number, text| format!(r#"43{number}["{text}"]"#));
        let (mut sent, mut come) = (0, 0);
        for ask in &asks[..in_flight] {
            self.0.feed(Message::Text(ask.clone())).await?;
            sent += 1;
        }
        let mut count = Count::new();
        while come < sent {
            self.0.flush().await?;
            // What has come together is answered together.
            let mut next = Some(self.0.next().await);
            while let Some(message) = next {
                let ack = text_of(message)?;
                if ack != acks[come % TEXTS] {
                    return Err(format!("unexpected: {ack}").into());
                }
                come += 1;
                if count.since.elapsed() < time {
                    self.0.feed(Message::Text(asks[sent % TEXTS].clone())).await?;
                    sent += 1;
                }
                next = if come < sent { self.0.next().now_or_never() } else { None };
            }
        }
        count.done = come as u64;
        Ok(count)
    }

    async fn receive(&mut self, per_second: Option<u32>, time: Duration) -> Result<Count> {
        let said = texts(|_, text| format!(r#"42["said","{text}"]"#));
        let mut count = Count::new();
        let wish = format!("42{}", contract::wish(per_second, time));
        self.0.send(Message::text(wish)).await?;
        let mut come = 0;
        loop {
            let event = text_of(self.0.next().await)?;
            if event == said[come % TEXTS] {
                come += 1;
            } else if *event == *format!(r#"42["done",{come}]"#) {
                count.done = come as u64;
                return Ok(count);
            } else {
                return Err(format!("unexpected behind {come}: {event}").into());
            }
        }
    }

    /// Stays, and hears what comes.
    fn rest(mut self) {
        tokio::spawn(async move { while let Some(Ok(_)) = self.0.next().await {} });
    }
}

fn text_of<E: Error + 'static>(
    message: Option<std::result::Result<Message, E>>,
) -> Result<Utf8Bytes> {
    match message.ok_or("the server has gone")?? {
        Message::Text(text) => Ok(text),
        other => Err(format!("unexpected: {other}").into()),
    }
}

/// A message for each number that events are counted with.
fn texts(make: impl Fn(u64, String) -> String) -> Vec<Utf8Bytes> {
    (10..10 + TEXTS as u64).map(|number| make(number, words::text(number)).into()).collect()
}
