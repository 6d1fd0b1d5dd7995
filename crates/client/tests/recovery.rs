//! Connection state recovery and events that are sent again, while the network is cut hundreds of times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomful::{Beginning, Recovery, Server};
use roomful_client::{Reconnection, Socket};
use support::proxy::Proxy;
use support::{WAYS, main_socket, serve, soon};
use tokio::sync::mpsc;

const EVENTS: u32 = 3_500;
const CUTS: u32 = 70;

/// A number that looks random and is the same each time (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_through_hundreds_of_cuts() {
    let io = Server::builder().recovery(Recovery::new()).build();
    // What came up: keys with their numbers, and how often.
    let up: Arc<Mutex<HashMap<String, (u32, u32)>>> = Arc::default();
    let order: Arc<Mutex<Vec<u32>>> = Arc::default();
    let (taken, in_order) = (Arc::clone(&up), Arc::clone(&order));
    io.on("up", move |_: roomful::Socket, n: u32, key: String| {
        let mut taken = taken.lock().unwrap();
        let entry = taken.entry(key).or_insert((n, 0));
        assert_eq!(entry.0, n, "one key for two events");
        entry.1 += 1;
        if entry.1 == 1 {
            in_order.lock().unwrap().push(n);
        }
        std::future::ready(())
    });
    let (tell, mut began) = mpsc::unbounded_channel();
    io.on_connect(move |me: roomful::Socket| {
        let _ = tell.send(me.recovery());
        std::future::ready(())
    });
    let site = serve(&io).await;
    for (at, way) in WAYS.into_iter().enumerate() {
        let proxy = Proxy::start(site.port).await;
        let mut random = Random(at as u64);
        up.lock().unwrap().clear();
        order.lock().unwrap().clear();
        let manager = roomful_client::Manager::builder(&proxy.url)
            .unwrap()
            .transports(way.iter().copied())
            .retries(u32::MAX, Duration::from_secs(20))
            .reconnection(Reconnection::every(Duration::from_millis(1)));
        let socket = main_socket(manager);
        let (tell, mut down) = mpsc::unbounded_channel();
        socket.on("down", move |_: Socket, n: u32| {
            let _ = tell.send(n);
            std::future::ready(())
        });
        soon(socket.connect()).await.unwrap();
        assert_eq!(soon(began.recv()).await, Some(Beginning::New));
        socket.retry_events(true);
        let answers: Vec<_> = (0..EVENTS / 10).map(|n| socket.call::<_, _, ()>("up", n)).collect();
        let (mut emitted, mut cuts) = (0, 0);
        let mut heard = Vec::new();
        while cuts < CUTS {
            for _ in 0..random.next() % 100 {
                if emitted < EVENTS {
                    io.emit("down", emitted);
                    emitted += 1;
                }
            }
            // Sometimes in the middle of what is under way, sometimes when some of it has come.
            for _ in 0..random.next() % 20 {
                tokio::task::yield_now().await;
            }
            if random.next().is_multiple_of(3) && (heard.len() as u32) < emitted {
                heard.push(soon(down.recv()).await.unwrap());
            }
            if proxy.cut_one(random.next()) {
                cuts += 1;
            } else {
                soon(socket.connected()).await.unwrap();
            }
        }
        for n in emitted..EVENTS {
            io.emit("down", n);
        }
        while (heard.len() as u32) < EVENTS {
            heard.push(soon(down.recv()).await.unwrap());
        }
        assert!(heard.iter().copied().eq(0..EVENTS), "{way:?}");
        for answer in answers {
            soon(answer).await.unwrap();
        }
        // Nothing more is under way.
        soon(socket.call::<_, _, ()>("up", u32::MAX)).await.unwrap();
        assert!(down.try_recv().is_err());
        let up = up.lock().unwrap();
        let numbers: HashSet<u32> = up.values().map(|(n, _)| *n).collect();
        assert_eq!((up.len() as u32, numbers.len() as u32), (EVENTS / 10 + 1, EVENTS / 10 + 1));
        let order = order.lock().unwrap();
        assert!(order[..order.len() - 1].iter().copied().eq(0..EVENTS / 10), "in order");
        let mut came_back = 0;
        while let Ok(beginning) = began.try_recv() {
            let is_same = matches!(beginning, Beginning::Recovered { .. });
            assert!(is_same, "it came back as another: {beginning:?}");
            came_back += 1;
        }
        assert!(came_back > 10, "{came_back}");
        drop(socket);
    }
}
