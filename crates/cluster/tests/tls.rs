//! Engines over TLS. Who is trusted stands in the environment, so each test runs itself once more, with that.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![cfg(any(feature = "redis-tls", feature = "nats", feature = "postgres-tls"))]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The URL, where it is the second run.
const URL: &str = "ROOMFUL_TLS_URL";

/// A certificate for `localhost`, and its key.
struct Certificate {
    directory: PathBuf,
}

impl Certificate {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("roomful-tls-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let signed =
            rcgen::generate_simple_self_signed(["localhost", "127.0.0.1"].map(str::to_owned))
                .unwrap();
        let pem = |what: &str, bytes: &[u8]| {
            format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", BASE64.encode(bytes))
        };
        let (cert, key) = (signed.cert.der(), signed.signing_key.serialize_der());
        std::fs::write(directory.join("cert.pem"), pem("CERTIFICATE", cert)).unwrap();
        std::fs::write(directory.join("key.pem"), pem("PRIVATE KEY", &key)).unwrap();
        std::fs::write(directory.join("none.pem"), "").unwrap();
        Self { directory }
    }

    fn path(&self, file: &str) -> String {
        self.directory.join(file).to_str().unwrap().to_owned()
    }

    /// Runs a test of this file once more, trusting this certificate or nothing; gives what went wrong.
    fn run(&self, test: &str, url: &str, is_trusted: bool) -> Result<(), String> {
        let trusted = if is_trusted { "cert.pem" } else { "none.pem" };
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args([test, "--exact", "--ignored", "--nocapture"]).env(URL, url);
        again.env("SSL_CERT_FILE", self.path(trusted)).env_remove("SSL_CERT_DIR");
        let output = again.output().unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// It is trusted, and is needed.
    fn is_needed(&self, test: &str, url: &str) {
        self.run(test, url, true).unwrap();
        let why = self.run(test, url, false).unwrap_err().to_lowercase();
        assert!(why.contains("certificate") || why.contains("unknownissuer"), "{why}");
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[cfg(feature = "redis-tls")]
#[tokio::test]
#[ignore = "it needs redis-server"]
async fn redis() {
    if let Ok(url) = std::env::var(URL) {
        let bus = || roomful_cluster::RedisStreams::new(&url).unwrap();
        return roomful_cluster::conformance::check(bus).await.unwrap();
    }
    let (certificate, port) = (Certificate::new(), support::free_port().to_string());
    let [cert, key] = ["cert.pem", "key.pem"].map(|file| certificate.path(file));
    let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert];
    let tls = [&files[..], &["--tls-auth-clients", "no", "--tls-port", &port]].concat();
    let _redis = support::Redis::start_with(&tls).await;
    let url = format!("rediss://localhost:{port}");
    certificate.is_needed("redis", &url);
}

#[cfg(feature = "nats")]
#[tokio::test]
#[ignore = "it needs nats-server"]
async fn nats() {
    if let Ok(url) = std::env::var(URL) {
        let bus = || roomful_cluster::Nats::new(&url).with_log();
        return roomful_cluster::conformance::check(bus).await.unwrap();
    }
    let certificate = Certificate::new();
    let [cert, key] = ["cert.pem", "key.pem"].map(|file| certificate.path(file));
    let tls = ["-js", "--tls", "--tlscert", &cert, "--tlskey", &key, "--user", "u", "--pass", "p@"];
    let nats = support::Nats::start(&tls).await;
    let url = format!("tls://u:p%40@localhost:{}", nats.port());
    certificate.is_needed("nats", &url);
}

/// `make test-cluster` starts it, without TLS.
#[cfg(feature = "postgres-tls")]
#[tokio::test]
#[ignore = "it needs the engine"]
async fn postgres() {
    if let Ok(url) = std::env::var(URL) {
        let bus = || roomful_cluster::Postgres::new(&url).unwrap().with_log();
        return roomful_cluster::conformance::check(bus).await.unwrap();
    }
    let url =
        std::env::var("POSTGRES_URL").expect("POSTGRES_URL is not set: run `make test-cluster`");
    let (url, certificate) = (format!("{url}?sslmode=require"), Certificate::new());
    let none = certificate.run("postgres", &url, true).unwrap_err();
    assert!(none.contains("does not support TLS"), "{none}");
    let postgres = Administrator::connect(&url.replace("require", "disable")).await;
    postgres.offers_tls(&certificate).await;
    let done = std::panic::catch_unwind(|| certificate.is_needed("postgres", &url));
    // Others have the same PostgreSQL.
    postgres.offers_no_tls().await;
    done.unwrap();
}

/// Who may change the settings of PostgreSQL.
#[cfg(feature = "postgres-tls")]
struct Administrator(tokio_postgres::Client);

#[cfg(feature = "postgres-tls")]
impl Administrator {
    async fn connect(url: &str) -> Self {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    /// It writes the files itself, so they are its own.
    async fn offers_tls(&self, certificate: &Certificate) {
        let directory = self.0.query_one("SHOW data_directory", &[]).await.unwrap();
        let directory: &str = directory.get(0);
        for file in ["cert.pem", "key.pem"] {
            let lines = std::fs::read_to_string(certificate.path(file)).unwrap();
            let lines: Vec<_> = lines.lines().map(|line| format!("('{line}')")).collect();
            let program = format!("umask 077; cat > {directory}/{file}");
            let written = format!("COPY (VALUES {}) TO PROGRAM '{program}'", lines.join(", "));
            self.0.batch_execute(&written).await.unwrap();
        }
        self.is_set("ssl_cert_file = 'cert.pem'").await;
        self.is_set("ssl_key_file = 'key.pem'").await;
        self.is_set("ssl = on").await;
        self.0.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        self.comes_to("on").await;
    }

    async fn offers_no_tls(&self) {
        self.is_set("ssl = off").await;
        self.0.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        self.comes_to("off").await;
    }

    async fn is_set(&self, setting: &str) {
        self.0.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await.unwrap();
    }

    async fn comes_to(&self, ssl: &str) {
        let comes = async {
            while self.0.query_one("SHOW ssl", &[]).await.unwrap().get::<_, &str>(0) != ssl {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(support::PATIENCE, comes).await.unwrap();
    }
}
