//! Engines that a test has for itself, started and stopped by it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, dead_code)]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Redis {
    port: u16,
    process: Child,
    /// Its own, with what it writes there.
    directory: PathBuf,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more of what it takes on its command line.
    pub(crate) async fn start_with(more: &[&str]) -> Self {
        let port = free_port();
        let redis = Self { port, process: run(port, more), directory: directory_of(port) };
        redis.listens().await;
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// One who tells which Redis is the master: of a name, and with a password that all have.
    pub(crate) async fn sentinel(name: &str, master: u16, password: &str) -> Self {
        let port = free_port();
        let file = directory_of(port).join("sentinel.conf");
        let lines = [
            format!("sentinel monitor {name} 127.0.0.1 {master} 1"),
            format!("sentinel auth-pass {name} {password}"),
            format!("sentinel down-after-milliseconds {name} 500"),
            format!("sentinel failover-timeout {name} 3000"),
        ];
        // It writes there what it has found.
        std::fs::write(&file, lines.join("\n")).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).args(["--sentinel", "--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir(directory_of(port));
        let process = command.spawn().unwrap();
        let sentinel = Self { port, process, directory: directory_of(port) };
        sentinel.listens().await;
        sentinel
    }

    pub(crate) fn knows_a_replica(&self) -> bool {
        let ask = ["-p", &self.port.to_string(), "SENTINEL", "REPLICAS", "main"].map(str::to_owned);
        let told = Command::new("redis-cli").args(ask).output().unwrap().stdout;
        String::from_utf8_lossy(&told).contains("master-link-status\nok")
    }

    /// It dies without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// It comes back at the same address, and has forgotten everything.
    pub(crate) async fn again(&mut self) {
        self.process = run(self.port, &[]);
        self.listens().await;
    }

    /// It stands still, or goes on.
    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(signal).arg(self.process.id().to_string()).status();
        assert!(done.unwrap().success());
    }

    async fn listens(&self) {
        listens(self.port).await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A NATS of its own.
pub(crate) struct Nats {
    port: u16,
    directory: PathBuf,
    process: Child,
}

impl Nats {
    pub(crate) async fn start(more: &[&str]) -> Self {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("roomful-nats-{port}"));
        std::fs::create_dir_all(&directory).unwrap();
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &port.to_string()]).arg("-sd").arg(&directory);
        command.args(more).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        listens(port).await;
        Self { port, directory, process }
    }

    pub(crate) fn url(&self, user: &str) -> String {
        format!("nats://{user}127.0.0.1:{}", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn listens(port: u16) {
    let listening = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, listening).await.unwrap_or_else(|_| panic!("the engine does not listen"));
}

/// Three that share what there is.
pub(crate) struct RedisCluster {
    nodes: Vec<Redis>,
    directory: PathBuf,
}

impl RedisCluster {
    pub(crate) async fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("roomful-redis-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut cluster = Self { nodes: Vec::new(), directory };
        for _ in 0..3 {
            let (port, bus) = (free_port(), free_port());
            let more = [
                format!("--dir {}", cluster.directory.display()),
                "--cluster-enabled yes".to_owned(),
                format!("--cluster-config-file nodes-{port}.conf --cluster-port {bus}"),
            ];
            let more: Vec<_> = more.iter().flat_map(|part| part.split(' ')).collect();
            let node = Redis { port, process: run(port, &more), directory: directory_of(port) };
            node.listens().await;
            cluster.nodes.push(node);
        }
        cluster.join().await;
        cluster
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Makes them one, and waits until all of them know.
    async fn join(&self) {
        let mut create = Command::new("redis-cli");
        create.args(["--cluster-yes", "--cluster", "create"]);
        create.args(self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        let created = create.stdin(Stdio::null()).output().unwrap();
        assert!(created.status.success(), "{created:?}");
        let is_ok = |node: &Redis| {
            let info = ["-p", &node.port.to_string(), "cluster", "info"].map(str::to_owned);
            let told = Command::new("redis-cli").args(info).output().unwrap().stdout;
            String::from_utf8_lossy(&told).contains("cluster_state:ok")
        };
        let ready = async {
            while !self.nodes.iter().all(is_ok) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, ready).await.unwrap_or_else(|_| panic!("they do not become one"));
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        self.nodes.clear();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn free_port() -> u16 {
    // Whoever takes it in between makes the test fail, and says why.
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn run(port: u16, more: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
    command.arg(port.to_string()).args(more).stdin(Stdio::null()).stdout(Stdio::null());
    command.current_dir(directory_of(port)).spawn().unwrap()
}

/// That of the engine at a port.
fn directory_of(port: u16) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("roomful-redis-{port}"));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}
