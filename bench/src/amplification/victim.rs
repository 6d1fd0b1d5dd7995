//! [`Victim`]: the server that is attacked, as a process on the first CPU.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::{Result, fail, process};

/// With which allocator a victim runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heap {
    /// mimalloc, as the hub.
    Mimalloc,
    /// The system's, which counts what is live.
    Counting,
}

/// What a victim tells about itself.
#[derive(Deserialize)]
pub(super) struct Report {
    pub(super) heap: Bytes,
    /// Its counters, by their names.
    pub(super) stats: BTreeMap<String, u64>,
}

/// Bytes on its heap; zero where they are not counted.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct Bytes {
    pub(super) live: u64,
    /// Most that were live since the report before.
    pub(super) peak: u64,
}

pub(super) struct Victim {
    pub(super) address: SocketAddr,
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Victim {
    /// Starts one that is `option` beside itself, with these variables in its environment.
    pub(super) fn start(heap: Heap, option: Option<&str>, env: &[(&str, &str)]) -> Result<Self> {
        let name = match heap {
            Heap::Mimalloc => "victim",
            Heap::Counting => "victim-malloc",
        };
        let program = std::env::current_exe()?.with_file_name(name);
        if !program.exists() {
            return fail(format!("{name} is not built: make amplification"));
        }
        let mut command = process::on_cpus("0", &program.to_string_lossy());
        command.env_remove("OPTION").envs(option.map(|option| ("OPTION", option)));
        command.envs(env.iter().copied());
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process =
            spawned.map_err(|error| format!("cannot run setpriv: {error}; install util-linux"))?;
        let orders = process.stdin.take().ok_or("no input")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no output")?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // From here on the process ends with the value.
        let mut victim = Self { address, process, orders, answers };
        let port = victim.line()?.trim().parse()?;
        victim.address.set_port(port);
        Ok(victim)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return fail("the victim has ended");
        }
        Ok(line)
    }

    /// What it holds now, and held at most since this was asked the last time.
    pub(super) fn report(&mut self) -> Result<Report> {
        self.orders.write_all(b"report\n")?;
        self.orders.flush()?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Time on a CPU so far, user and system.
    pub(super) fn cpu(&self) -> Result<Duration> {
        process::cpu(&self.process.id().to_string())
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(&self) -> Result<f64> {
        Ok(process::resident_kib(&self.process.id().to_string())? * 1024.0)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
