//! The server inside others and over other streams, as `roomful::embedding` shows it: what it does
//! there is the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "../../crates/server/tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response as AxumResponse};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use roomful::{Hello, PeerAddress, Refusal, Server, Socket};
use roomful_proto::ws::frame::Opcode;
use support::*;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn echo() -> Server {
    let io = Server::new();
    io.on("echo", async |_: Socket, text: String| text);
    io
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn serve(router: axum::Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Sees the echo over a WebSocket on this stream, which nobody has used yet.
async fn check_websocket<S: AsyncRead + AsyncWrite + Unpin>(stream: S, target: &str) {
    let mut conn = Conn::over(stream);
    conn.send(upgrade_head(target)).await;
    assert_eq!(conn.response().await.status, 101);
    let mut ws = Ws::over(conn);
    assert!(ws.text().await.starts_with("0{"));
    ws.send_text("40").await;
    assert!(ws.text().await.starts_with("40{"));
    ws.send_text("421[\"echo\",\"a\"]").await;
    assert_eq!(ws.text().await, "431[\"a\"]");
    ws.send_frame(Opcode::Close, &1000_u16.to_be_bytes()).await;
    ws.ended().await;
}

/// Sees the echo by polling, all on this stream.
async fn check_polling<S: AsyncRead + AsyncWrite + Unpin>(stream: S, target: &str) {
    let mut conn = Conn::over(stream);
    conn.send(head("GET", target, "")).await;
    let response = conn.response().await;
    let open: serde_json::Value = serde_json::from_str(&response.text()[1..]).unwrap();
    let target = format!("{target}&sid={}", open["sid"].as_str().unwrap());
    for (body, answer) in [("40", "40{"), ("421[\"echo\",\"a\"]", "431[\"a\"]")] {
        conn.send(post(&target, body)).await;
        assert_eq!(conn.response().await.text(), "ok");
        conn.send(head("GET", &target, "")).await;
        assert!(conn.response().await.text().starts_with(answer));
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

// Axum.

#[tokio::test]
async fn a_layer_answers_below_the_path_and_a_middleware_in_front_sees_all() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let in_front = middleware::from_fn(move |request: Request, next: Next| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            if request.headers().contains_key("x-stop") {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            let mut response: AxumResponse = next.run(request).await;
            response.headers_mut().insert("x-front", "1".parse().unwrap());
            response
        }
    });
    let router = axum::Router::new()
        .route("/hello", axum::routing::get(async || "hello"))
        .layer(echo().layer())
        .layer(in_front);
    let address = serve(router).await;
    check_polling(connect(address).await, POLLING).await;
    assert_eq!(seen.swap(0, Ordering::SeqCst), 5);
    check_websocket(connect(address).await, WEBSOCKET).await;
    assert_eq!(seen.swap(0, Ordering::SeqCst), 1);
    let response = get(address, POLLING, "").await;
    assert_eq!((response.status, response.header("x-front")), (200, Some("1")));
    for stopped in
        [head("GET", POLLING, "x-stop: 1\r\n"), upgrade_head_with(WEBSOCKET, "x-stop: 1\r\n")]
    {
        assert_eq!(request(address, stopped).await.status, 401);
    }
    assert_eq!(get(address, "/hello", "").await.text(), "hello");
}

#[tokio::test]
async fn two_servers_live_in_one_router_and_share_nothing() {
    let (one, two) = (echo(), Server::builder().path("/two/live").build());
    two.on("echo", async |_: Socket, text: String| text);
    let nested = axum::Router::new().nest_service("/one/socket.io", one.service());
    let address = serve(nested.layer(two.layer())).await;
    for path in ["/one/socket.io/", "/two/live/"] {
        check_polling(connect(address).await, &format!("{path}?EIO=4&transport=polling")).await;
        let target = format!("{path}?EIO=4&transport=websocket");
        check_websocket(connect(address).await, &target).await;
    }
    assert_eq!((one.stats().opened, two.stats().opened), (2, 2));
    let poller = Poller::open_at(address, "/one/socket.io/?EIO=4&transport=polling").await;
    let foreign = format!("/two/live/?EIO=4&transport=polling&sid={}", poller.sid);
    assert_eq!(get(address, &foreign, "").await.status, 400);
    assert_eq!(get(address, POLLING, "").await.status, 404);
}

#[tokio::test]
async fn the_address_of_the_peer_is_told_by_whoever_knows_it() {
    let io = Server::new();
    io.of("/who")
        .connect(async |hello: Hello| Err::<(), _>(Refusal::new(format!("{:?}", hello.address()))));
    let peer = axum::Extension(PeerAddress(([192, 0, 2, 1], 7).into()));
    let address = serve(axum::Router::new().layer(io.layer()).layer(peer)).await;
    let mut client = Client::open(address).await;
    let refused = client.join("/who", "").await.unwrap_err();
    assert_eq!(refused["message"], "Some(192.0.2.1:7)");
}

// Hyper, and HTTP/2.

/// The server behind hyper, in whichever version of HTTP the client speaks.
async fn behind_hyper(io: &Server) -> SocketAddr {
    let (listener, address) = listen().await;
    let service = TowerToHyperService::new(io.service());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                http.serve_connection_with_upgrades(TokioIo::new(stream), service).await
            });
        }
    });
    address
}

type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn http2(address: SocketAddr) -> Http2 {
    let stream = TokioIo::new(connect(address).await);
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Sends a request, with headers; gives the status and the body.
async fn send(client: &mut Http2, request: http::Request<Full<Bytes>>) -> (u16, String) {
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let status = response.status().as_u16();
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn http2_request(method: &str, target: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(format!("http://localhost{target}"))
}

#[tokio::test]
async fn polling_goes_over_http_2_many_sessions_on_one_connection() {
    let io = echo();
    let address = behind_hyper(&io).await;
    let mut client = http2(address).await;
    for _ in 0..3 {
        let open = http2_request("GET", POLLING).body(Full::default()).unwrap();
        let (status, body) = send(&mut client, open).await;
        assert_eq!(status, 200, "{body}");
        let open: serde_json::Value = serde_json::from_str(&body[1..]).unwrap();
        let target = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
        for (body, answer) in [("40", "40{"), ("421[\"echo\",\"a\"]", "431[\"a\"]")] {
            let poll = http2_request("GET", &target).body(Full::default()).unwrap();
            let mut polling = client.clone();
            let polling = tokio::spawn(async move { send(&mut polling, poll).await });
            let post = http2_request("POST", &target).body(Full::from(body)).unwrap();
            assert_eq!(send(&mut client, post).await, (200, "ok".to_owned()));
            let (status, polled) = polling.await.unwrap();
            assert!(status == 200 && polled.starts_with(answer), "{status} {polled}");
        }
    }
    assert_eq!(io.stats().opened, 3);
    // The same port speaks HTTP/1.1, and so WebSocket.
    check_websocket(connect(address).await, WEBSOCKET).await;
}

#[tokio::test]
async fn over_http_2_the_same_host_is_known_without_a_host_header() {
    let io = echo();
    let mut client = http2(behind_hyper(&io).await).await;
    for (origin, expected) in [("http://localhost", 200), ("https://evil.example", 403)] {
        let request = http2_request("GET", POLLING).header("origin", origin);
        let (status, _) = send(&mut client, request.body(Full::default()).unwrap()).await;
        assert_eq!(status, expected, "{origin}");
    }
    // A WebSocket over HTTP/2 is asked for in another way, which the server does not know.
    let websocket = http2_request("GET", WEBSOCKET).body(Full::default()).unwrap();
    assert_eq!(send(&mut client, websocket).await.0, 400);
}

#[tokio::test]
async fn a_poll_that_is_reset_ends_its_session_and_no_other_on_the_connection() {
    let io = echo();
    let mut client = http2(behind_hyper(&io).await).await;
    let mut targets = Vec::new();
    for _ in 0..2 {
        let open = http2_request("GET", POLLING).body(Full::default()).unwrap();
        let (_, body) = send(&mut client, open).await;
        let open: serde_json::Value = serde_json::from_str(&body[1..]).unwrap();
        targets.push(format!("{POLLING}&sid={}", open["sid"].as_str().unwrap()));
    }
    let poll = http2_request("GET", &targets[0]).body(Full::default()).unwrap();
    let mut polling = client.clone();
    let polling = tokio::spawn(async move { send(&mut polling, poll).await });
    // Behind a request on the same connection the poll has been sent.
    let post = http2_request("POST", &targets[1]).body(Full::from("40")).unwrap();
    assert_eq!(send(&mut client, post).await.0, 200);
    polling.abort();
    until("one has ended", || io.stats().connections == 1).await;
    let poll = http2_request("GET", &targets[1]).body(Full::default()).unwrap();
    assert!(send(&mut client, poll).await.1.starts_with("40{"));
}

// Streams of other kinds.

#[tokio::test]
async fn a_unix_socket_is_served() {
    let name = format!("roomful-embedding-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    let io = echo();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let io = io.clone();
            tokio::spawn(async move { io.serve_stream(stream, None).await });
        }
    });
    check_polling(UnixStream::connect(&path).await.unwrap(), POLLING).await;
    check_websocket(UnixStream::connect(&path).await.unwrap(), WEBSOCKET).await;
    std::fs::remove_file(path).unwrap();
}

/// A certificate for `localhost` that was signed by nobody else, and who trusts it.
fn certificate() -> (TlsAcceptor, TlsConnector) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = signed.cert.der().clone();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

#[tokio::test]
async fn tls_is_served_and_plain_bytes_on_its_port_are_not() {
    let (acceptor, connector) = certificate();
    let (listener, address) = listen().await;
    let io = echo();
    let server = io.clone();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (io, acceptor) = (server.clone(), acceptor.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    io.serve_stream(stream, Some(peer)).await;
                }
            });
        }
    });
    let tls = async || {
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, connect(address).await).await.unwrap()
    };
    check_polling(tls().await, POLLING).await;
    check_websocket(tls().await, WEBSOCKET).await;
    let mut plain = Conn::open(address).await;
    plain.send(head("GET", POLLING, "")).await;
    assert!(plain.try_response().await.is_none_or(|response| response.status != 200));
    assert_eq!(io.stats().opened, 2);
}
