//! Engines over TLS. Who is trusted stands in the environment, so each test runs itself once more, with that.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![cfg(any(feature = "redis-tls", feature = "nats"))]

mod support;

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use support::free_port;

/// The URL, where it is the second run.
const URL: &str = "ROOMFUL_TLS_URL";

/// A certificate for `localhost`, and its key.
struct Certificate {
    directory: PathBuf,
}

impl Certificate {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("roomful-tls-{}", free_port()));
        std::fs::create_dir_all(&directory).unwrap();
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
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

    /// Runs a test of this file once more, trusting this certificate or nothing.
    fn passes(&self, test: &str, url: &str, is_trusted: bool) -> bool {
        let trusted = if is_trusted { "cert.pem" } else { "none.pem" };
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args([test, "--exact", "--ignored", "--nocapture"]).env(URL, url);
        again.env("SSL_CERT_FILE", self.path(trusted)).env_remove("SSL_CERT_DIR");
        again.output().unwrap().status.success()
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
    let (certificate, port) = (Certificate::new(), free_port().to_string());
    let [cert, key] = ["cert.pem", "key.pem"].map(|file| certificate.path(file));
    let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert];
    let tls = [&files[..], &["--tls-auth-clients", "no", "--tls-port", &port]].concat();
    let _redis = support::Redis::start_with(&tls).await;
    let url = format!("rediss://localhost:{port}");
    assert!(certificate.passes("redis", &url, true));
    assert!(!certificate.passes("redis", &url, false), "a certificate that nobody trusts");
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
    assert!(certificate.passes("nats", &url, true));
    assert!(!certificate.passes("nats", &url, false), "a certificate that nobody trusts");
}
