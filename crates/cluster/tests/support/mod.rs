//! A Redis of its own, started and stopped by the test.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, dead_code)]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Redis {
    port: u16,
    process: Child,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        // Whoever takes it in between makes the test fail, and says why.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let redis = Self { port, process: run(port) };
        redis.listens().await;
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// It dies without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// It comes back at the same address, and has forgotten everything.
    pub(crate) async fn again(&mut self) {
        self.process = run(self.port);
        self.listens().await;
    }

    /// It stands still, or goes on.
    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(signal).arg(self.process.id().to_string()).status();
        assert!(done.unwrap().success());
    }

    async fn listens(&self) {
        let listening = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, listening).await.unwrap_or_else(|_| panic!("Redis does not listen"));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(port: u16) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
    command.arg(port.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
    command.current_dir(std::env::temp_dir()).spawn().unwrap()
}
