//! [`Proxy`]: a network between clients and a server, which fails as it is told.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part of this")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What a network does with a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// It hands all on.
    #[default]
    Fair,
    /// It hands on byte by byte.
    ByteByByte,
    /// It accepts, and hands nothing on.
    Silent,
    /// After so many bytes of the server it hands nothing on, in either direction.
    SilentAfter(usize),
    /// After so many bytes of the server it closes.
    CutAfter(usize),
    /// After so many bytes of the server it resets.
    ResetAfter(usize),
    /// After so many bytes of the client it resets.
    ResetAfterSent(usize),
}

/// Hands bytes on, in both directions.
pub struct Proxy {
    pub url: String,
    weather: watch::Sender<Weather>,
    cuts: Arc<Mutex<Vec<mpsc::UnboundedSender<()>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (weather, forecast) = watch::channel(Weather::Fair);
        let cuts: Arc<Mutex<Vec<mpsc::UnboundedSender<()>>>> = Arc::default();
        let all = Arc::clone(&cuts);
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (cut, is_cut) = mpsc::unbounded_channel();
                {
                    let mut all = all.lock().unwrap();
                    all.retain(|cut| !cut.is_closed());
                    all.push(cut);
                }
                let weather = *forecast.borrow();
                connections.spawn(hand_on(client, server, weather, is_cut));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { url, weather, cuts, task }
    }

    /// How connections fare that are made from now on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Cuts all connections that there are; how many.
    pub fn cut(&self) -> usize {
        let all: Vec<_> = self.cuts.lock().unwrap().drain(..).collect();
        all.iter().filter(|cut| cut.send(()).is_ok()).count()
    }

    /// Cuts one of them, the one at `index` of those that there are; whether there was one.
    pub fn cut_one(&self, index: u64) -> bool {
        let mut all = self.cuts.lock().unwrap();
        all.retain(|cut| !cut.is_closed());
        if all.is_empty() {
            return false;
        }
        let index = index as usize % all.len();
        all.swap_remove(index).send(()).is_ok()
    }
}

async fn hand_on(
    mut client: TcpStream,
    server: SocketAddr,
    weather: Weather,
    mut is_cut: mpsc::UnboundedReceiver<()>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let end = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (mut sent, mut received) = (0, 0);
        let (mut up, mut down) = ([0; 16 * 1024], [0; 16 * 1024]);
        loop {
            let is_silent = match weather {
                Weather::Silent => true,
                Weather::SilentAfter(bytes) => received >= bytes,
                _ => false,
            };
            let most = match weather {
                Weather::ByteByByte => 1,
                Weather::SilentAfter(bytes)
                | Weather::CutAfter(bytes)
                | Weather::ResetAfter(bytes) => (bytes - received).clamp(1, down.len()),
                _ => down.len(),
            };
            let most_up = match weather {
                Weather::ByteByByte => 1,
                Weather::ResetAfterSent(bytes) => (bytes - sent).clamp(1, up.len()),
                _ => up.len(),
            };
            match weather {
                Weather::CutAfter(bytes) if received >= bytes => break weather,
                Weather::ResetAfter(bytes) if received >= bytes => break weather,
                Weather::ResetAfterSent(bytes) if sent >= bytes => break weather,
                _ => {}
            }
            tokio::select! {
                _ = is_cut.recv() => break Weather::CutAfter(0),
                read = from_client.read(&mut up[..most_up]) => match read {
                    Ok(0) | Err(_) => break Weather::CutAfter(0),
                    Ok(_) if is_silent => {}
                    Ok(len) => {
                        sent += len;
                        if to_server.write_all(&up[..len]).await.is_err() {
                            break Weather::CutAfter(0);
                        }
                    }
                },
                read = from_server.read(&mut down[..most]), if !is_silent => match read {
                    Ok(0) | Err(_) => break Weather::CutAfter(0),
                    Ok(len) => {
                        received += len;
                        if to_client.write_all(&down[..len]).await.is_err() {
                            break Weather::CutAfter(0);
                        }
                    }
                },
            }
        }
    };
    if !matches!(end, Weather::CutAfter(_)) {
        let _ = client.set_zero_linger();
    }
}
