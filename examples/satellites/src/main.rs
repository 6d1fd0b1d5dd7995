//! A hub and the programs around it. See README.md.

mod hub;
mod satellite;
mod sky;
mod traffic;

use std::env;
use std::error::Error;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::satellite::Name;
use crate::sky::Sky;
use crate::traffic::Traffic;

const USAGE: &str = "\
usage: satellites                                  a hub, and three satellites around it
       satellites hub                              the hub alone
       satellites satellite URL NAME GROUP ROOM    one satellite of the hub at URL
HOST (127.0.0.1) and PORT (3004; 0 for a free one) say where the hub is. Without a terminal, or with
NO_COLOR, what goes to and fro is written as lines of JSON.";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => hub(true).await,
        ["hub"] => hub(false).await,
        ["satellite", url, name, group, room] => {
            let [name, group, subgroup] = [name, group, room].map(str::to_owned);
            satellite::live(url, Name { name, group, subgroup }).await
        }
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

async fn hub(with_satellites: bool) -> Result<()> {
    let traffic = Traffic::of("hub");
    let sky = Arc::new(Sky::of(traffic.clone()));
    let ping_seconds = env::var("PING_SECONDS").map_or(Ok(2), |seconds| seconds.parse())?;
    let hub = hub::build(Arc::clone(&sky), Duration::from_secs(ping_seconds));
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").map_or(Ok(3004), |port| port.parse())?;
    let listener = TcpListener::bind((host.as_str(), port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    // They end with this program, however it does.
    let _satellites = if with_satellites { start(&url, &traffic)? } else { Vec::new() };
    tokio::spawn(hub::watch(hub.clone(), sky));
    hub.drain_on(roomful::stop_signal(), Duration::from_millis(500));
    hub.serve_on(listener).await;
    Ok(())
}

/// Two satellites in Rust, and one in JavaScript where there is Node.
fn start(url: &str, traffic: &Traffic) -> Result<Vec<Child>> {
    let own = env::current_exe()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/satellite.mjs");
    [("vega", "low", "north"), ("deneb", "low", "south"), ("altair", "high", "north")]
        .into_iter()
        .enumerate()
        .map(|(at, (name, group, room))| {
            let started = match at {
                2 => {
                    launch(Command::new("node").arg(script), url, name, group, room).or_else(|e| {
                        traffic.notes(
                            "no-node",
                            &json!(format!("{name} is written in Rust, too: {e}")),
                        );
                        launch(Command::new(&own).arg("satellite"), url, name, group, room)
                    })
                }
                _ => launch(Command::new(&own).arg("satellite"), url, name, group, room),
            };
            let child = started?;
            traffic.notes("started", &json!({ "name": name, "pid": child.id() }));
            Ok(child)
        })
        .collect()
}

fn launch(
    program: &mut Command,
    url: &str,
    name: &str,
    group: &str,
    room: &str,
) -> std::io::Result<Child> {
    program.args([url, name, group, room]).stdin(Stdio::null()).kill_on_drop(true).spawn()
}
