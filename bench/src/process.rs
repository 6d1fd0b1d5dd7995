//! Processes: starting them where they shall run, and what they use.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::{Result, fail};

/// A command for `program` on these CPUs, that ends with this process, however that ends.
pub(crate) fn on_cpus(cpus: &str, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", cpus, program]);
    command
}

/// The servers have the first CPU, the clients, which are in this process, the second.
pub(crate) fn take_second_cpu() -> Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        return fail("two CPUs are needed, one for the servers and one for the clients");
    }
    let own = std::process::id().to_string();
    let taken = Command::new("taskset").args(["-cp", "1", &own]).output();
    match taken {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => fail(format!(
            "the second CPU is not to be had: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => fail(format!("cannot run taskset: {error}; install util-linux")),
    }
}

/// Time on a CPU so far, user and system, of all threads. `process` is a number, or `self`.
pub(crate) fn cpu(process: &str) -> Result<Duration> {
    let mut ns = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread that ends meanwhile is one that does no work.
        if let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) {
            ns += stat.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(ns))
}

/// Resident memory, in KiB. Counted page by page: `VmRSS` is late by up to some hundred pages.
pub(crate) fn resident_kib(process: &str) -> Result<f64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let line = text.lines().find(|line| line.starts_with("Rss:")).ok_or("no Rss")?;
    Ok(line.split_whitespace().nth(1).ok_or("no Rss")?.parse()?)
}
