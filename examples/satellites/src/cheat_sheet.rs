//! Each line of the emit cheat sheet, run between a hub and three satellites, with what arrived where.
//!
//! `cheat-sheet` prints a table, `cheat-sheet --json` a line for each.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Write as _, stdout};
use std::time::Duration;

use roomful::{Bytes, Namespace, Server, Socket, SocketId};
use roomful_client::{Manager, Socket as Satellite};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The satellites: the first one is `me`, and in room a; the second is in room a, too, the third in room b.
const NAMES: [&str; 3] = ["vega", "deneb", "altair"];
/// Ends what a line sends: all that was sent before has arrived when this has.
const END: &str = "end";
const PATIENCE: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn Error>>;
/// What came where: the name of a satellite, the event and its arguments.
type Arrived = (usize, String, String);

struct Sheet {
    io: Server,
    admin: Namespace,
    arrivals: mpsc::UnboundedReceiver<Arrived>,
    as_json: bool,
}

/// Runs each line, and shows its code and what has arrived.
macro_rules! lines {
    ($sheet:ident: $($code:expr;)*) => {$({
        _ = $code;
        $sheet.show(stringify!($code)).await?;
    })*};
}

#[tokio::main]
async fn main() -> Result<()> {
    let as_json = std::env::args().skip(1).any(|arg| arg == "--json");
    let io = Server::new();
    let admin = io.of("/admin");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn({
        let io = io.clone();
        async move { io.serve_on(listener).await }
    });
    let (tell, arrivals) = mpsc::unbounded_channel();
    let mut satellites = Vec::new();
    for at in 0..NAMES.len() {
        satellites.push(rise(&url, at, &tell).await?);
    }
    let sockets =
        satellites.iter().filter_map(|satellite| io.socket(SocketId::parse(&satellite.id()?)?));
    let sockets: Vec<Socket> = sockets.collect();
    let [socket, second, third] = &sockets[..] else {
        return Err("not all have come".into());
    };
    socket.join("a");
    second.join("a");
    third.join("b");
    let mut sheet = Sheet { io: io.clone(), admin, arrivals, as_json };

    lines! { sheet:
        socket.emit("hello", (1, "2", json!({ "3": "4" })));
        socket.emit("hello", ());
        socket.emit("hello", Bytes::from_static(&[6]));
        socket.send("hello");
        socket.call::<_, _, String>("ask", "world").await?;
        socket.call::<_, _, String>("ask", "world").timeout(Duration::from_secs(5)).await?;
        socket.emit_volatile("hello", "world");
        socket.compress(false).emit("hello", "world");
        socket.everyone().to(second.id()).emit("hello", "world");
        socket.others().emit("hello", ());
        socket.to("a").emit("hello", ());
        socket.to(["a", "b"]).emit("hello", ());
        socket.except("a").emit("hello", ());
        io.emit("hello", ());
        io.to("a").emit("hello", ());
        io.to("a").to("b").except(socket.id()).emit("hello", ());
        io.of("/admin").emit("hello", ());
        io.of("/admin").to("nobody").emit("hello", ());
        socket.everyone().emit("hello", ());
        io.everyone().volatile().emit("hello", ());
        io.everyone().compress(false).emit("hello", ());
        io.everyone().local().emit("hello", ());
        io.everyone().timeout(Duration::from_secs(5)).call::<_, _, String>("ask", "world").collect().await;
        io.to("a").join(["b", "c"]);
        io.to("b").emit("hello", "to those who were in a, too");
        io.to("a").leave("b");
        io.to("b").emit("hello", "to the third again");
        io.emit("nobody-listens-to-this", ());
        satellites[0].emit("nobody-listens-to-this", ());
        satellites[0].call::<_, _, String>("nobody-answers-this", ()).timeout(Duration::from_millis(300)).await.is_err();
    }
    io.close().await;
    Ok(())
}

/// A satellite, connected; all that it hears is told.
async fn rise(url: &str, at: usize, tell: &mpsc::UnboundedSender<Arrived>) -> Result<Satellite> {
    let manager = Manager::builder(url)?.build()?;
    let (main, admin) = (manager.socket("/"), manager.socket("/admin"));
    for (socket, place) in [(&main, ""), (&admin, "/admin ")] {
        let tell = tell.clone();
        socket.on_any(move |event, args| {
            let args = String::from_utf8_lossy(args.as_json()).into_owned();
            // Whoever counted them may have ended.
            let _ = tell.send((at, format!("{place}{event}"), args));
        });
        socket.on("ask", async |_: Satellite, what: String| format!("{what}, too"));
    }
    main.connect().await?;
    if at == 0 {
        admin.connect().await?;
    }
    Ok(main)
}

impl Sheet {
    /// Waits until all that was sent has arrived, and shows it.
    async fn show(&mut self, code: &str) -> Result<()> {
        self.io.emit(END, ());
        self.admin.emit(END, ());
        let mut arrived: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        // One for each satellite, and that of the first in /admin.
        let mut ends = NAMES.len() + 1;
        while ends > 0 {
            let next = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await?;
            let (at, event, args) = next.ok_or("a satellite has gone")?;
            match event.trim_start_matches("/admin ") {
                END => ends -= 1,
                _ => arrived.entry(NAMES[at]).or_default().push(format!("{event}({args})")),
            }
        }
        let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
        // An error where whoever reads it has read enough.
        let mut out = stdout().lock();
        if self.as_json {
            return Ok(writeln!(out, "{}", json!({ "line": code, "arrived": arrived }))?);
        }
        writeln!(out, "{code}")?;
        for (name, events) in &arrived {
            writeln!(out, "    {name:<8} {}", events.join(", "))?;
        }
        if arrived.is_empty() {
            writeln!(out, "    nobody")?;
        }
        Ok(())
    }
}
