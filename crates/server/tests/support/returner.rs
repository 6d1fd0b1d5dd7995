//! [`Returner`]: a client that can come back, as the rules of recovery are for it.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Client, Packet};

/// A client that can come back: what it holds of its socket.
#[derive(Clone, Debug)]
pub struct Returner {
    pub id: String,
    pub pid: String,
    pub offset: Option<String>,
}

impl Returner {
    /// Joins `/` with more auth fields, such as `,"token":"x"`.
    pub async fn join(client: &mut Client, auth: &str) -> Self {
        client.send(&format!("0{{\"none\":0{auth}}}")).await;
        let packet = client.next().await;
        assert_eq!(packet.kind, 0, "{packet:?}");
        Self::read(&packet, None)
    }

    pub fn read(packet: &Packet, offset: Option<String>) -> Self {
        let text = |key: &str| packet.data[key].as_str().expect("a text").to_owned();
        Self { id: text("sid"), pid: text("pid"), offset }
    }

    pub fn claim(&self, auth: &str) -> String {
        let offset = self.offset.as_ref().map(|offset| format!(",\"offset\":\"{offset}\""));
        let (pid, offset) = (&self.pid, offset.unwrap_or_default());
        format!("0{{\"pid\":\"{pid}\"{offset},\"none\":0{auth}}}")
    }

    /// Takes note of an event as the official client does: a text at its end is the offset.
    pub fn note(&mut self, event: &Value) {
        if let Some(Value::String(offset)) = event.as_array().and_then(|args| args.last()) {
            self.offset = Some(offset.clone());
        }
    }

    /// The next event, without its offset.
    pub async fn event(&mut self, client: &mut Client) -> Value {
        let mut event = client.event().await;
        self.note(&event);
        event.as_array_mut().unwrap().pop();
        event
    }

    /// Comes back on a new connection: what was missed, and what it is now.
    pub async fn back(&mut self, address: SocketAddr) -> (Client, Vec<Value>) {
        self.back_with(address, "").await
    }

    pub async fn back_with(&mut self, address: SocketAddr, auth: &str) -> (Client, Vec<Value>) {
        let mut client = Client::open(address).await;
        let missed = self.back_on(&mut client, auth).await;
        (client, missed)
    }

    /// The same, on a connection that is there.
    pub async fn back_on(&mut self, client: &mut Client, auth: &str) -> Vec<Value> {
        client.send(&self.claim(auth)).await;
        let packet = client.next().await;
        assert_eq!(packet.kind, 0, "{packet:?}");
        *self = Self::read(&packet, self.offset.take());
        // Whatever was missed comes before the answer to this.
        client.send("29[\"fence\"]").await;
        let mut missed = Vec::new();
        loop {
            let packet = client.next().await;
            if packet.kind == 3 {
                return missed;
            }
            assert_eq!(packet.kind, 2, "{packet:?}");
            self.note(&packet.data);
            let mut event = packet.data;
            event.as_array_mut().unwrap().pop();
            missed.push(event);
        }
    }
}
