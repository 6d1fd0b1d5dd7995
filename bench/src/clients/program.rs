//! [`Program`]: a client that runs, as a process of its own. `contract.rs` says what it is asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde::Deserialize;

use crate::servers::{self, Contestant};
use crate::{Result, fail, process};

pub(super) struct Program {
    process: Child,
    lines: Receiver<String>,
    log: PathBuf,
    /// How long it may take for a line.
    patience: Duration,
}

/// What it has used so far.
pub(super) struct Seen {
    cpu: Duration,
    pub(super) resident_kib: f64,
}

/// What it says at the end.
#[derive(Deserialize)]
pub(super) struct Count {
    pub(super) done: u64,
    /// Since it was ready.
    pub(super) seconds: f64,
}

impl Seen {
    /// Time on a CPU, user and system, of all threads.
    pub(super) fn cpu_between(before: &Self, after: &Self) -> Result<Duration> {
        let used = after.cpu.checked_sub(before.cpu);
        // What a thread has used is gone when it ends.
        Ok(used.ok_or("its CPU time cannot be told: a thread of it has ended")?)
    }
}

impl Program {
    pub(super) fn start(
        client: &Contestant,
        cpus: &str,
        arguments: &[String],
        patience: Duration,
    ) -> Result<Self> {
        let log = servers::client_log(&client.name);
        let mut process = client.spawn(cpus, arguments, Stdio::piped(), &log)?;
        let output = process.stdout.take().ok_or("no output")?;
        Ok(Self { process, lines: lines(output), log, patience })
    }

    /// What it has used when it is warm.
    pub(super) fn ready(&mut self) -> Result<Seen> {
        let line = self.line()?;
        if !line.contains("ready") {
            return fail(format!("it said `{line}` and not that it is ready"));
        }
        self.seen()
    }

    /// Lets it do the case, and tells what it has used then, and done.
    pub(super) fn end(&mut self) -> Result<(Seen, Count)> {
        self.process.stdin.as_mut().ok_or("no input")?.write_all(b"\n")?;
        let line = self.line()?;
        let count = serde_json::from_str(&line).map_err(|error| format!("`{line}`: {error}"))?;
        Ok((self.seen()?, count))
    }

    fn seen(&self) -> Result<Seen> {
        let process = self.process.id().to_string();
        Ok(Seen { cpu: process::cpu(&process)?, resident_kib: process::resident_kib(&process)? })
    }

    fn line(&self) -> Result<String> {
        match self.lines.recv_timeout(self.patience) {
            Ok(line) => Ok(line),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                fail(format!("it said nothing for {} s", self.patience.as_secs()))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                fail(format!("it ended: {}", servers::last_line(&self.log)))
            }
        }
    }
}

/// The lines of a program, as they come.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody waits any more when this fails.
        for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
