//! `roomful dev`: an open hub with a playground.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use roomful::{Origins, Server};
use tokio::net::TcpListener;

use crate::cli::DevOptions;
use crate::{pages::Pages, room};

/// Why the hub could not start.
#[derive(Debug)]
pub(crate) struct StartError {
    address: String,
    source: io::Error,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen at {}: {}", self.address, self.source)?;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => f.write_str(
                "\n  Another program is listening there. Stop it, or choose another port: \
                             roomful dev --port 3001",
            ),
            io::ErrorKind::PermissionDenied => f.write_str(
                "\n  Ports below 1024 need special rights. Choose another: roomful dev --port 3000",
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for StartError {}

/// Runs the hub until it is interrupted or terminated; then every client is told.
pub(crate) async fn run(options: DevOptions) -> Result<(), StartError> {
    let address = format!("{}:{}", options.host, options.port);
    let failed = |source| StartError { address: address.clone(), source };
    let listener = TcpListener::bind(&address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let mut stop = Stop::new().map_err(failed)?;

    let mut builder = Server::builder().origins(origins(&options.origins));
    if let Some(hosts) = hosts(local.ip(), &options) {
        builder = builder.hosts(hosts);
    }
    let io = builder.state(room::Open).build();
    room::offer(&io);
    greet(local, &options);
    let close = async {
        stop.wait().await;
        if !options.json {
            println!("stopping: telling {} clients", io.len());
        }
        io.close().await;
    };
    tokio::join!(io.serve_with(listener, Pages), close);
    Ok(())
}

fn origins(origins: &[String]) -> Origins {
    match origins {
        [] => Origins::SameHost,
        origins if origins.iter().any(|origin| origin == "*") => Origins::Any,
        origins => Origins::List(origins.to_vec()),
    }
}

/// The names by which browsers call a hub that only this machine reaches: a page whose name was made to point
/// here (DNS rebinding) is none of them. The hosts of the pages that may connect are, for what passes requests
/// on from there. `None`, any, where others may call it by a name that is not known here, and where all pages
/// may connect anyway.
fn hosts(local: IpAddr, options: &DevOptions) -> Option<Vec<String>> {
    if !local.is_loopback() || options.origins.iter().any(|origin| origin == "*") {
        return None;
    }
    let bracketed = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let given = options.host.parse().map_or_else(|_| options.host.clone(), bracketed);
    let mut hosts = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
    hosts.extend([bracketed(local), given]);
    let is_of_the_web =
        |origin: &str| origin.starts_with("http://") || origin.starts_with("https://");
    hosts.extend(options.origins.iter().filter(|origin| is_of_the_web(origin)).cloned());
    Some(hosts)
}

/// Prints where the hub is and what to paste into a page.
fn greet(address: SocketAddr, options: &DevOptions) {
    let url = format!("http://{address}");
    if options.json {
        let ready = serde_json::json!({
            "url": url,
            "path": "/socket.io/",
            "client": Server::client_version(),
            "mode": "dev",
        });
        println!("{ready}");
        return;
    }
    let client = match Server::client_version() {
        Some(version) => format!("socket.io-client {version}"),
        None => "not built in: run `npm ci` in crates/server/bundle and build again".to_owned(),
    };
    println!(
        r#"
  Roomful is listening at {url}
  DEV MODE: every client may join every room. Do not open this to a network that you do not trust.

  playground  {url}/            open it in two windows
  client      {url}/socket.io/socket.io.js   ({client})

  Paste this into a page:

    <script src="{url}/socket.io/socket.io.js"></script>
    <script>const socket = io("{url}");
    socket.onAny((event, ...args) => console.log(event, ...args));
    socket.emit("room:join", "lobby", (answer) => console.log(answer));
    socket.emit("room:emit", "lobby", "hello", "from a page");</script>
"#
    );
    if options.origins.is_empty() {
        println!("  A page on another host needs: roomful dev --origin https://its.host\n");
    }
    println!("  Ctrl-C stops the hub.");
}

/// An interrupt or a request to terminate.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        #[cfg(unix)]
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        Ok(Self {
            #[cfg(unix)]
            terminate,
        })
    }

    async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
