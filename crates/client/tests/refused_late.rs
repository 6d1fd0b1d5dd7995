//! Servers that refuse a client when the WebSocket is open already: the error names what they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use roomful_client::{ConnectError, Manager, Revision, Transport, TransportCause};
use roomful_proto::ws::handshake::accept_key;
use support::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that opens one WebSocket, writes `said` on it in one go, and waits for the end. Its URL.
async fn server(said: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {}\r\n\r\n",
            accept_key(key)
        )
        .into_bytes();
        answer.extend(said);
        stream.write_all(&answer).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    url
}

fn text(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    assert!(len < 126);
    [&[0x81, len], text.as_bytes()].concat()
}

async fn refused(url: &str, revision: Revision) -> roomful_client::TransportError {
    let builder = Manager::builder(url).unwrap().transports([Transport::WebSocket]);
    let socket = builder.revision(revision).build().unwrap().socket("/");
    match soon(socket.connect()).await {
        Err(ConnectError::Transport(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// It opens the session and joins `/` by itself, in one segment: the session is open and over at once.
#[tokio::test]
async fn a_server_of_socket_io_2_is_named_also_where_its_session_opens_and_ends_at_once() {
    let open = r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":5000}"#;
    let url = server([text(open), text("40")].concat()).await;
    let error = refused(&url, Revision::V4).await.to_string();
    assert!(error.contains("Builder::revision"), "{error}");
}

/// Engine.IO 6 does this to a client of another revision.
#[tokio::test]
async fn an_answer_of_http_on_a_websocket_is_read_as_one() {
    let body = r#"{"code":5,"message":"Unsupported protocol version"}"#;
    let said = format!(
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let url = server(said.into_bytes()).await;
    let error = refused(&url, Revision::V3).await;
    let TransportCause::Status { status: 400, engine: Some((5, text)), .. } = error.cause() else {
        panic!("{error}");
    };
    assert_eq!(text, "Unsupported protocol version");
}
