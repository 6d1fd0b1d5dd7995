//! Requests of old clients, and of scripts, that come to any node: each is answered as at the node of the session.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "support/session_bus.rs"]
mod session_bus;
mod support;

use std::net::SocketAddr;

use bytes::Bytes;
use roomful::{Args, Server, Socket};
use roomful_proto::ws::Message;
use session_bus::TestBus;
use support::{Response, Running, Ws, get, head, request, start, until};

const V3: &str = "/socket.io/?EIO=3&transport=polling";
const V4: &str = "/socket.io/?EIO=4&transport=polling";

/// Three nodes, of which the last lets in neither old clients nor scripts.
struct Cluster {
    nodes: Vec<Running>,
}

impl Cluster {
    async fn start() -> Self {
        let bus = TestBus::default();
        let mut nodes = Vec::new();
        for lets_in in [true, true, false] {
            let builder = Server::builder().allow_eio3(lets_in).jsonp(lets_in);
            let io = builder.session_bus(bus.clone()).build();
            io.on("echo", async |me: Socket, args: Args| me.emit("echo", args));
            io.on("bytes", async |me: Socket| me.emit("bytes", Bytes::from_static(&[0, 4, 255])));
            nodes.push(start(io).await);
        }
        Self { nodes }
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].address
    }

    /// A session of the first node; what follows of the target of its requests.
    async fn opened(&self, target: &str) -> String {
        let first = get(self.address(0), target, "").await;
        let (_, sid) = first.text().split_once("sid").unwrap();
        // In a script the quotes are escaped.
        let sid = &sid.trim_start_matches(['\\', '"', ':'])[..20];
        let target = format!("{target}&sid={sid}");
        if target.starts_with(V4) {
            let join = if target.contains("&j=") { "d=40" } else { "40" };
            assert_eq!(said(&self.post(0, &target, join).await), "200 text/html ok");
            self.poll(0, &target).await;
        }
        target
    }

    async fn poll(&self, node: usize, target: &str) -> Response {
        get(self.address(node), target, "").await
    }

    async fn post(&self, node: usize, target: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        let head = head("POST", target, &format!("Content-Length: {}\r\n", body.len()));
        request(self.address(node), [head.as_bytes(), body].concat()).await
    }

    async fn is_empty_again(&self) {
        for node in &self.nodes {
            node.is_empty_again().await;
        }
    }
}

/// All of an answer that a client goes by.
fn said(response: &Response) -> String {
    let kind = response.header("content-type").unwrap_or_default();
    format!("{} {kind} {}", response.status, response.body.escape_ascii())
}

/// How clients speak, and what they bring that makes the server say something.
const CONVERSATIONS: [(&str, &str, &[&[u8]]); 5] = [
    (
        V3,
        "",
        &[
            "16:42[\"echo\",\"é😀\"]".as_bytes(),
            b"11:42[\"bytes\"]",
            b"1:2",
            b"\x00\x01\x01\xff42[\"bytes\"]",
        ],
    ),
    (V3, "&b64=1", &[b"11:42[\"bytes\"]1:2"]),
    (V3, "&j=7", &[b"d=11:42[\"bytes\"]", b"d=12:42%5B%22echo%22%2C1%5D"]),
    (V4, "&j=12", &[b"d=42[\"bytes\"]", b"d=42%5B%22echo%22%2C%22%5C%5Cn%22%5D"]),
    (V4, "&b64=1", &[b"42[\"bytes\"]"]),
];

#[tokio::test]
async fn an_old_client_and_a_script_are_answered_as_by_the_node_of_their_session() {
    let cluster = Cluster::start().await;
    for (target, more, bodies) in CONVERSATIONS {
        let target = format!("{target}{more}");
        let (here, there) = (cluster.opened(&target).await, cluster.opened(&target).await);
        for body in bodies {
            let told = [
                said(&cluster.post(0, &here, body).await),
                said(&cluster.post(1, &there, body).await),
            ];
            assert_eq!(told[0], told[1], "{more} {}", body.escape_ascii());
            assert!(told[0].ends_with(" ok"), "{}", told[0]);
            let told = [said(&cluster.poll(0, &here).await), said(&cluster.poll(1, &there).await)];
            assert_eq!(told[0], told[1], "{more} {}", body.escape_ascii());
            assert!(told[0].starts_with("200 "), "{}", told[0]);
        }
    }
    assert!(cluster.nodes[1].stats().sessions_found >= 20);
    assert_eq!(cluster.nodes[1].stats().opened, 0);
}

#[tokio::test]
async fn what_is_no_body_of_theirs_ends_the_session_wherever_it_comes() {
    let cluster = Cluster::start().await;
    let broken: [(&str, &str, &[u8]); 6] = [
        (V3, "", b"40"),
        (V3, "", b"9:42[\"x\"]"),
        (V3, "", b"\x01\x02\xff\x05a"),
        (V3, "&j=0", b"42[\"echo\"]"),
        (V3, "&j=0", b"d=%ff"),
        (V4, "&j=0", b"x=40"),
    ];
    for (target, more, body) in broken {
        let target = format!("{target}{more}");
        let (here, there) = (cluster.opened(&target).await, cluster.opened(&target).await);
        let told =
            [said(&cluster.post(0, &here, body).await), said(&cluster.post(1, &there, body).await)];
        assert_eq!(told[0], told[1], "{}", body.escape_ascii());
        assert!(told[0].starts_with("400 "), "{}", told[0]);
        until("both are over", || cluster.nodes[0].stats().connections == 0).await;
    }
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn an_old_client_comes_over_to_a_websocket_at_another_node() {
    let cluster = Cluster::start().await;
    let target = cluster.opened(V3).await;
    let mut ws = Ws::upgrade(cluster.address(1), &target.replace("polling", "websocket")).await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws.send_text("5").await;
    // It is the client that pings.
    ws.send_text("2").await;
    assert_eq!(ws.text().await, "3");
    ws.send_text("42[\"bytes\"]").await;
    assert_eq!(ws.text().await, "451-[\"bytes\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(ws.next().await, Some(Message::Binary(Bytes::from_static(&[4, 0, 4, 255]))));
    ws.send_text("451-[\"echo\",{\"_placeholder\":true,\"num\":0}]").await;
    ws.send_binary(&[4, 9]).await;
    assert_eq!(ws.text().await, "451-[\"echo\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(ws.next().await, Some(Message::Binary(Bytes::from_static(&[4, 9]))));
    assert_eq!(cluster.nodes[0].stats().upgrades, 1);
    ws.close().await;
    cluster.is_empty_again().await;
}

#[tokio::test]
async fn a_node_that_does_not_let_them_in_looks_for_none_of_their_sessions() {
    let cluster = Cluster::start().await;
    for target in [V3.to_owned(), format!("{V4}&j=0"), format!("{V4}&j=x")] {
        let target = match target.ends_with('x') {
            true => format!("{target}&sid=AAAAAAAAAAAAAAAAAAAA"),
            false => cluster.opened(&target).await,
        };
        let refused = cluster.poll(2, &target).await;
        assert_eq!(refused.text(), r#"{"code":1,"message":"Session ID unknown"}"#);
    }
    assert_eq!(cluster.nodes[2].stats().sessions_asked, 0);
}
