//! [`Contestant`]: a server that can be started; [`Server`]: one that runs, as a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;

use crate::process;
use crate::{Result, fail};

/// Servers that are not ours, with the command that starts each.
const PEERS: &str = "bench/peers/peers.json";
/// Clients that are not ours.
const PEER_CLIENTS: &str = "bench/peers/clients.json";
/// What servers and clients write while they run.
const LOGS: &str = "target/bench/logs";
/// A server must accept within this time.
const START_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) const ROOMFUL: &str = "roomful";
const ROOMFUL_MALLOC: &str = "roomful-malloc";
pub(crate) const FLOOR: &str = "floor";
pub(crate) const FLOOR_EPOLL: &str = "floor-epoll";

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) title: String,
    command: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    version: Vec<String>,
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    process: Child,
}

/// Whether a server of that name belongs to this repository: ours, or a floor.
pub(crate) fn is_own(name: &str) -> bool {
    [ROOMFUL, ROOMFUL_MALLOC, FLOOR, FLOOR_EPOLL].contains(&name)
}

/// All servers that can be started: ours, the floors, and the peers.
pub(crate) fn all() -> Result<Vec<Contestant>> {
    let mut all = vec![
        Contestant::own(ROOMFUL, "Roomful, mimalloc", &["roomful-server"])?,
        Contestant::own(ROOMFUL_MALLOC, "Roomful, glibc", &["roomful-server-malloc"])?,
        Contestant::own(FLOOR, "a bare server, tokio", &["floor", "tokio"])?,
        Contestant::own(FLOOR_EPOLL, "a bare server, epoll", &["floor", "epoll"])?,
    ];
    all.extend(peers(PEERS)?);
    Ok(all)
}

/// All clients that can be started: ours, the floor, and the peers.
pub(crate) fn all_clients() -> Result<Vec<Contestant>> {
    let mut all = vec![
        Contestant::own(ROOMFUL, "roomful-client, tokio", &["client-roomful"])?,
        Contestant::own(FLOOR, "a bare client, tokio-tungstenite", &["client-floor"])?,
    ];
    all.extend(peers(PEER_CLIENTS)?);
    Ok(all)
}

/// The server that clients are measured with.
pub(crate) fn of_clients() -> Result<Contestant> {
    Contestant::own("peer-server", "a bare server for any client", &["peer-server"])
}

fn peers(path: &str) -> Result<Vec<Contestant>> {
    let peers = fs::read_to_string(path).map_err(|error| {
        format!("cannot read {path}: {error}; run this in the repository's root")
    })?;
    Ok(serde_json::from_str(&peers)?)
}

impl Contestant {
    /// One of this repository: a program beside this one, with its first arguments.
    fn own(name: &str, title: &str, command: &[&str]) -> Result<Self> {
        let own = std::env::current_exe()?;
        let mut command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        command[0] = own.with_file_name(&command[0]).to_string_lossy().into_owned();
        let (name, title) = (name.to_owned(), title.to_owned());
        Ok(Self { name, title, command, env: BTreeMap::new(), version: Vec::new() })
    }

    /// The same with one more variable in its environment.
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.env.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// What exactly it is.
    ///
    /// # Errors
    ///
    /// When it is not installed; the error says how to.
    pub(crate) fn version(&self) -> Result<String> {
        let [program, arguments @ ..] = self.version.as_slice() else {
            if !Path::new(&self.command[0]).exists() {
                return fail(format!(
                    "{} is not built: cargo build --release -p roomful-bench",
                    self.name
                ));
            }
            return Ok(format!("{}, of this repository", env!("CARGO_PKG_VERSION")));
        };
        // It asks the packages that are installed, so it fails where they are not.
        match Command::new(program).args(arguments).envs(&self.env).output() {
            Ok(output) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            }
            _ => {
                let setup = self.name.split('-').next().unwrap_or_default();
                fail(format!("{} is not installed: tools/bench-setup {setup}", self.name))
            }
        }
    }

    /// Starts it on these CPUs, and waits until it accepts.
    pub(crate) fn start(&self, cpus: &str) -> Result<Server> {
        // Free now; the server takes it within a moment.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = Path::new(LOGS).join(format!("{}.log", self.name));
        let mut process = self.spawn(cpus, &[port.to_string()], Stdio::null(), &log)?;
        let output = process.stdout.take().ok_or("no output")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // From here on the process ends with the value.
        let server = Server { name: self.name.clone(), address, process };
        match first_line(output) {
            Some(line) if line.trim() == "ready" => Ok(server),
            _ => fail(format!("it did not start: {}", last_line(&log))),
        }
    }

    /// Runs it on these CPUs with more arguments, and with its errors in a file.
    pub(crate) fn spawn(
        &self,
        cpus: &str,
        arguments: &[String],
        input: Stdio,
        log: &Path,
    ) -> Result<Child> {
        if let Some(directory) = log.parent() {
            fs::create_dir_all(directory)?;
        }
        let spawned = process::on_cpus(cpus, &self.command[0])
            .args(&self.command[1..])
            .args(arguments)
            .envs(&self.env)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(log)?)
            .spawn();
        Ok(spawned.map_err(|error| format!("cannot run setpriv: {error}; install util-linux"))?)
    }
}

/// Where a client writes while it runs.
pub(crate) fn client_log(name: &str) -> PathBuf {
    Path::new(LOGS).join(format!("client-{name}.log"))
}

/// The first line of a program, if it writes one in time.
fn first_line(output: ChildStdout) -> Option<String> {
    let (done, line) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // Nobody waits any more when this fails.
        let _ = BufReader::new(output).read_line(&mut line).map(|_| done.send(line));
    });
    line.recv_timeout(START_TIMEOUT).ok()
}

/// Mostly says what went wrong.
pub(crate) fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    format!("{} (all of it in {})", line.unwrap_or("it said nothing").trim(), log.display())
}

impl Server {
    /// Time on a CPU so far, user and system, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        process::cpu(&self.process.id().to_string())
    }

    /// Time on a CPU since it was so much.
    pub(crate) fn cpu_since(&self, before: Duration) -> Result<Duration> {
        // What a thread has used is gone when it ends.
        let used = self.cpu()?.checked_sub(before);
        Ok(used.ok_or("its CPU time cannot be told: a thread of it has ended")?)
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<f64> {
        process::resident_kib(&self.process.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
