//! [`Proxy`]: between clients and a server, to cut their connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::random::Random;

/// Hands bytes on, in both directions, until a connection is cut.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            cuts: Arc::default(),
        };
        let connections = Arc::clone(&proxy.connections);
        drop(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let handing_on = tokio::spawn(hand_on(client, server));
                connections.lock().push(handing_on.abort_handle());
            }
        }));
        proxy
    }

    /// Cuts one of the open connections; half of them in the middle of what is under way.
    pub fn cut_one(&self, random: &mut Random) {
        let mut connections = self.connections.lock();
        connections.retain(|connection| !connection.is_finished());
        if connections.is_empty() {
            return;
        }
        let index = random.below(connections.len() as u64) as usize;
        connections.swap_remove(index).abort();
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

async fn hand_on(mut client: TcpStream, server: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
