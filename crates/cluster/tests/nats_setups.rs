//! NATS as people run it: with users and tokens, several servers, without JetStream, and with other programs on it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]
#![cfg(feature = "nats")]

mod support;

use std::time::Duration;

use roomful::{Args, Server};
use roomful_cluster::{Cluster, Nats, NatsSessionBus, conformance};
use support::{PATIENCE, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What another program says, as it stands on the wire.
async fn say(nats: &support::Nats, raw: &[u8]) {
    let mut program = TcpStream::connect(("127.0.0.1", nats.port())).await.unwrap();
    program.write_all(b"CONNECT {\"headers\":true,\"verbose\":false}\r\n").await.unwrap();
    program.write_all(raw).await.unwrap();
    program.write_all(b"PING\r\n").await.unwrap();
    let answered = async {
        let (mut heard, mut answer) = (Vec::new(), [0; 4096]);
        while !heard.windows(4).any(|part| part == b"PONG") {
            let read = program.read(&mut answer).await.unwrap();
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&answer[..read]);
        }
    };
    // All before it was read then.
    timeout(PATIENCE, answered).await.unwrap();
}

/// The library passes over what is before the `@`, and writes the URL to the log.
#[tokio::test]
#[ignore = "it needs nats-server"]
async fn a_user_and_a_password_are_needed_and_given() {
    let nats = support::Nats::start(&["-js", "--user", "us:er", "--pass", "p@ss/w:rd"]).await;
    let url = nats.url("us%3Aer:p%40ss%2Fw%3Ard@");
    conformance::check(|| Nats::new(&url).with_log()).await.unwrap();
    NatsSessionBus::connect(&url).await.unwrap();
    let refused = Nats::connect(&nats.url("")).await.unwrap_err().to_string();
    assert!(refused.to_lowercase().contains("authorization"), "{refused}");
    let refused = Nats::connect(&nats.url("us%3Aer:wrong@")).await.unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("wrong"), "{refused}");
    let urls = format!("{url},{}", nats.url("other:secret@"));
    let refused = Nats::connect(&urls).await.unwrap_err().to_string();
    assert!(refused.contains("different users") && !refused.contains("secret"), "{refused}");
}

#[tokio::test]
#[ignore = "it needs nats-server"]
async fn a_token_is_needed_and_given() {
    let nats = support::Nats::start(&["--auth", "t0k/en"]).await;
    conformance::check(|| Nats::new(&nats.url("t0k%2Fen@"))).await.unwrap();
    assert!(Nats::connect(&nats.url("other@")).await.is_err());
}

/// One of them was tried, whichever that was.
#[tokio::test]
#[ignore = "it needs nats-server"]
async fn of_several_servers_one_is_enough() {
    let nats = support::Nats::start(&[]).await;
    let urls = format!("nats://127.0.0.1:{}, {}", free_port(), nats.url(""));
    for _ in 0..20 {
        Nats::connect(&urls).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "it needs nats-server"]
async fn a_log_that_cannot_be_is_an_error_that_says_what_to_do() {
    let refused = async |nats: &support::Nats, prefix: &str| {
        let bus = Nats::new(&nats.url("")).with_log().subject_prefix(prefix);
        Cluster::connect(bus).await.unwrap_err().to_string()
    };
    let nats = support::Nats::start(&[]).await;
    let why = refused(&nats, "socket-io").await;
    assert!(why.contains("-js"), "{why}");
    let nats = support::Nats::start(&["-js"]).await;
    Cluster::connect(Nats::new(&nats.url("")).with_log().subject_prefix("a.b")).await.unwrap();
    let why = refused(&nats, "a_b").await;
    assert!(why.contains("a.b.*") && why.contains("subject_prefix"), "{why}");
    let config = r#"{"name":"mine_events","subjects":["mine.*"],"retention":"workqueue","storage":"file","num_replicas":1}"#;
    let request = format!("PUB $JS.API.STREAM.CREATE.mine_events {}\r\n{config}\r\n", config.len());
    say(&nats, request.as_bytes()).await;
    let why = refused(&nats, "mine").await;
    assert!(why.contains("retention"), "{why}");
}

/// NATS keeps headers as they come. One that the library cannot read ended each connection that came to it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it needs nats-server"]
async fn what_another_program_puts_into_the_log_keeps_nobody_from_it() {
    let nats = support::Nats::start(&["-js"]).await;
    let node = async || {
        let cluster = Cluster::connect(Nats::new(&nats.url("")).with_log()).await.unwrap();
        let io = Server::builder().adapter(cluster.clone()).build();
        io.on_server_side("question", |_: Args| async { "answer" });
        io.ack_timeout(Duration::from_secs(1));
        cluster.nodes("/").await.unwrap();
        (io, cluster)
    };
    let (one, two) = (node().await, node().await);
    for headers in [
        &b"NATS/1.0\r\nX: \xff\xfe\r\n\r\n"[..],
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 408\r\n\r\n",
        b"NATS/1.0 404 none\r\n\r\n",
        b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
        b"NATS/1.0\r\nRoomful-Number: -1\r\n\r\n",
    ] {
        let length = headers.len();
        // The name of `/` in base64url.
        let mut said = format!("HPUB socket-io.Lw {length} {}\r\n", length + 2).into_bytes();
        said.extend_from_slice(headers);
        said.extend_from_slice(b"{}\r\n");
        say(&nats, &said).await;
        let goes_on = async {
            loop {
                let asked = one.0.server_side_call::<_, _, String>("question", ());
                if asked.await.is_ok_and(|answers| answers.len() == 1) {
                    break;
                }
            }
        };
        let what = String::from_utf8_lossy(headers);
        timeout(PATIENCE, goes_on).await.unwrap_or_else(|_| panic!("{what}: {:?}", two.1.stats()));
    }
}
