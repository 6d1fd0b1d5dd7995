//! [`Contestant`]: a server that can be started; [`Server`]: one that runs, as a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::{Result, fail};

/// Servers that are not ours, with the command that starts each.
const PEERS: &str = "bench/peers/peers.json";

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

/// All that can be started: ours, the floors, and the peers.
pub(crate) fn all() -> Result<Vec<Contestant>> {
    let own = std::env::current_exe()?;
    let beside = |name: &str| own.with_file_name(name).to_string_lossy().into_owned();
    let ours = |name: &str, title: &str, command: Vec<String>| Contestant {
        name: name.to_owned(),
        title: title.to_owned(),
        command,
        env: BTreeMap::new(),
        version: Vec::new(),
    };
    let mut all = vec![
        ours("roomful", "Roomful", vec![beside("roomful-server")]),
        ours("floor", "a bare server, tokio", vec![beside("floor"), "tokio".to_owned()]),
        ours("floor-epoll", "a bare server, epoll", vec![beside("floor"), "epoll".to_owned()]),
    ];
    let peers = fs::read_to_string(PEERS).map_err(|error| {
        format!("cannot read {PEERS}: {error}; run this in the repository's root")
    })?;
    all.extend(serde_json::from_str::<Vec<Contestant>>(&peers)?);
    Ok(all)
}

impl Contestant {
    /// Starts it on these CPUs, and waits until it accepts.
    pub(crate) fn start(&self, cpus: &str) -> Result<Server> {
        // Free now; the server takes it within a moment.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut process = Command::new("taskset")
            .args(["-c", cpus])
            .args(&self.command)
            .arg(port.to_string())
            .envs(&self.env)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.name))?;
        let output = process.stdout.take().ok_or("no output")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // From here on the process ends with the value.
        let server = Server { name: self.name.clone(), address, process };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim() != "ready" {
            return fail(format!("{} did not start; see what it wrote above", self.name));
        }
        Ok(server)
    }

    /// What exactly it is.
    pub(crate) fn version(&self) -> Result<String> {
        let [program, arguments @ ..] = self.version.as_slice() else {
            return Ok(format!("this repository, {}", env!("CARGO_PKG_VERSION")));
        };
        let output = Command::new(program).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Server {
    /// Time on a CPU so far, user and system, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut ns = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // A thread that ends meanwhile is one that does no work.
            if let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) {
                ns += stat.split(' ').next().unwrap_or_default().parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(ns))
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
