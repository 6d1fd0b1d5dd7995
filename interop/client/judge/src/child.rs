//! [`Child`]: a server or a proxy as a process of its own.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::outcome::{Failure, same};

/// A process that listens. It ends with its input, and so also with this program.
pub(crate) struct Child {
    process: tokio::process::Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said when it listened.
    pub(crate) said: Value,
}

impl Child {
    /// Starts a command, and waits until it listens.
    pub(crate) async fn start(command: &[&str], options: &[&str]) -> Result<Self, Failure> {
        let mut words = command.iter().chain(options);
        let program = words.next().copied().unwrap_or_default();
        let mut process = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        let lines = BufReader::new(output).lines();
        let mut child = Self { process, input, lines, said: Value::Null };
        child.said = child.line().await.map_err(|e| {
            format!("{} did not listen: {e}", [command, options].concat().join(" "))
        })?;
        Ok(child)
    }

    pub(crate) fn port(&self) -> u64 {
        self.said["port"].as_u64().unwrap_or_default()
    }

    /// Says a word to it, and gives its answer.
    pub(crate) async fn tell(&mut self, word: &str) -> Result<Value, Failure> {
        self.input.write_all(format!("{word}\n").as_bytes()).await?;
        self.line().await
    }

    async fn line(&mut self) -> Result<Value, Failure> {
        let line = self.lines.next_line().await?.ok_or("it has ended")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Ends it, as its starter may.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        drop(self.input);
        same("the status of a process", self.process.wait().await?.code(), Some(0))
    }

    /// Ends it at once, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.process.kill().await?)
    }
}
