//! [`Machine`]: what a run was measured on.

use std::fmt;
use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Result;

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
}

impl Machine {
    /// The one that this runs on.
    pub(crate) fn here() -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let processor = field("/proc/cpuinfo", "model name").unwrap_or_default();
        let rustc = output("rustc", &["--version"]).unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: processor.replace("(R)", "").replace("(TM)", ""),
            memory_gib: memory_kib("MemTotal")? / 1024.0 / 1024.0,
            kernel: kernel.split('-').next().unwrap_or_default().trim().to_owned(),
            rustc: rustc.split(' ').nth(1).unwrap_or("unknown").to_owned(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, memory_gib, kernel, rustc } = self;
        let processor = if processor.is_empty() { "an unnamed processor" } else { processor };
        write!(f, "{cores} cores of {processor}, {memory_gib:.0} GiB, Linux {kernel}, Rust {rustc}")
    }
}

/// A figure of `/proc/meminfo`.
pub(crate) fn memory_kib(name: &str) -> Result<f64> {
    let value =
        field("/proc/meminfo", name).ok_or_else(|| format!("no {name} in /proc/meminfo"))?;
    Ok(value.trim_end_matches(" kB").parse()?)
}

/// Now, in UTC.
pub(crate) fn date() -> String {
    output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_default()
}

/// The value of the first line `name: value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// What a program writes, without the end of the line.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
