//! [`Http`]: requests to the server, one exchange at a time on each of its streams.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use roomful_proto::deflate;
use roomful_proto::engine::Data;
use roomful_proto::ws::handshake::{Key, Response as Opening};

use super::proxy::told;
use super::{BoxStream, Net};
use crate::cookies::Cookies;
use crate::error::{TransportCause, TransportError};
use crate::lock::lock;

/// Bytes of the head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Streams that are kept for the next request: polling needs two.
const IDLE_MAX: usize = 2;
/// Characters of an answer that an error shows.
const EXCERPT_CHARS: usize = 200;
/// Bytes of the body of an answer that is an error.
const ERROR_BYTES_MAX: usize = 16 * 1024;

/// How requests are sent to one server.
pub(crate) struct Http {
    net: Arc<Net>,
    /// Those of the user.
    headers: HeaderMap,
    /// Kept across requests; absent where the user wants none.
    cookies: Option<Arc<Mutex<Cookies>>>,
    idle: Mutex<Vec<SendRequest<Payload>>>,
    body_bytes_max: usize,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("net", &self.net).finish_non_exhaustive()
    }
}

/// What a request asks.
#[derive(Debug)]
pub(crate) enum Exchange {
    Get,
    Post(Data),
}

/// An answer of status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

/// A WebSocket that was opened.
pub(crate) struct Upgraded {
    pub(crate) stream: BoxStream,
    /// What came behind the answer.
    pub(crate) ahead: Bytes,
    /// Whether compression was agreed on.
    pub(crate) deflate: bool,
}

impl Http {
    pub(crate) fn new(
        net: Arc<Net>,
        headers: HeaderMap,
        cookies: Option<Arc<Mutex<Cookies>>>,
        body_bytes_max: usize,
    ) -> Self {
        Self { net, headers, cookies, idle: Mutex::default(), body_bytes_max }
    }

    /// Sends a request and reads all of its answer.
    pub(crate) async fn exchange(
        &self,
        target: &str,
        exchange: Exchange,
    ) -> Result<Answer, TransportError> {
        let (method, body) = match exchange {
            Exchange::Get => (Method::GET, None),
            Exchange::Post(body) => (Method::POST, Some(body)),
        };
        let mut request = self.request(method, target)?;
        let headers = request.headers_mut();
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let content_type = match &body {
            None => None,
            Some(Data::Text(_)) => Some("text/plain;charset=UTF-8"),
            Some(Data::Binary(_)) => Some("application/octet-stream"),
        };
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(Data::Text(body) | Data::Binary(body)) = body {
            *request.body_mut() = Payload(Some(body));
        }
        let (sender, response) = self.send(request).await?;
        let (status, content_type) = (response.status(), text_of(&response, header::CONTENT_TYPE));
        let location = text_of(&response, header::LOCATION);
        let is_ok = status == StatusCode::OK;
        let bytes_max = if is_ok { self.body_bytes_max } else { ERROR_BYTES_MAX };
        let body = read(response.into_body(), bytes_max).await;
        if !is_ok {
            return Err(refusal(status, location, &body.unwrap_or_default()));
        }
        let body = body?;
        self.keep(sender);
        Ok(Answer { content_type, body })
    }

    /// Opens a WebSocket, on a stream of its own.
    pub(crate) async fn upgrade(
        &self,
        target: &str,
        deflate: bool,
    ) -> Result<Upgraded, TransportError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| {
            TransportCause::WebSocket(format!("the system gives no randomness: {e}"))
        })?;
        let key = Key::new(random);
        let mut request = self.request(Method::GET, target)?;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let key_header = HeaderValue::from_str(key.as_str());
        headers.insert(
            header::SEC_WEBSOCKET_KEY,
            key_header.map_err(|_| TransportCause::WebSocket("no key".to_owned()))?,
        );
        if deflate {
            headers
                .insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(deflate::OFFER));
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await.map_err(failed)?;
        self.note(response.headers());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (status, location) = (response.status(), text_of(&response, header::LOCATION));
            let body = read(response.into_body(), ERROR_BYTES_MAX).await.unwrap_or_default();
            return Err(refusal(status, location, &body));
        }
        let broken = |why: String| TransportCause::WebSocket(why);
        check_opening(&key, &response)?;
        let deflate = agreed(&response, deflate)?;
        let upgraded = hyper::upgrade::on(response).await.map_err(|e| broken(told(&e)))?;
        let parts = upgraded
            .downcast::<TokioIo<BoxStream>>()
            .map_err(|_| broken("the stream was lost".to_owned()))?;
        Ok(Upgraded { stream: parts.io.into_inner(), ahead: parts.read_buf, deflate })
    }

    /// A request with all headers that every request has.
    fn request(&self, method: Method, target: &str) -> Result<Request<Payload>, TransportError> {
        let request = Request::builder().method(method).uri(target).version(Version::HTTP_11);
        let mut request = request.body(Payload(None)).map_err(|_| TransportCause::Address)?;
        let host = HeaderValue::from_str(&self.net.address.host_header());
        let host = host.map_err(|_| TransportCause::Address)?;
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        headers.entry(header::HOST).or_insert(host);
        if let Some(cookies) = &self.cookies {
            let own = headers.get(header::COOKIE).and_then(|own| own.to_str().ok());
            let all = lock(cookies).header(own, SystemTime::now());
            if let Some(all) = all.and_then(|all| HeaderValue::from_str(&all).ok()) {
                headers.insert(header::COOKIE, all);
            }
        }
        Ok(request)
    }

    /// Sends a request on a stream that is kept, or on a new one. A server may close the one that is kept
    /// at any time: what it has not taken then goes on a new one. Not a poll that it has: what that was to be
    /// answered may be lost with the stream, and the session must not go on without it.
    async fn send(
        &self,
        mut request: Request<Payload>,
    ) -> Result<(SendRequest<Payload>, Response<Incoming>), TransportError> {
        let kept = std::iter::from_fn(|| lock(&self.idle).pop()).find(|kept| !kept.is_closed());
        if let Some(mut sender) = kept
            && poll_fn(|cx| sender.poll_ready(cx)).await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.note(response.headers());
                    return Ok((sender, response));
                }
                Err(mut e) => match e.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failed(e.into_error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await.map_err(failed)?;
        self.note(response.headers());
        Ok((sender, response))
    }

    async fn connect(&self) -> Result<SendRequest<Payload>, TransportError> {
        let stream = self.net.open().await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        // It ends with its sender, or when its stream is upgraded.
        tokio::spawn(async move {
            if let Err(e) = connection.with_upgrades().await {
                tracing::debug!("an HTTP connection failed: {e}");
            }
        });
        Ok(sender)
    }

    fn keep(&self, sender: SendRequest<Payload>) {
        let mut idle = lock(&self.idle);
        if !sender.is_closed() && idle.len() < IDLE_MAX {
            idle.push(sender);
        }
    }

    fn note(&self, headers: &HeaderMap) {
        if let Some(cookies) = &self.cookies {
            lock(cookies).note(headers, SystemTime::now());
        }
    }
}

fn failed(e: hyper::Error) -> TransportError {
    let text = told(&e);
    // So hyper tells of chunks that are none.
    let is_invalid = |e: &std::io::Error| {
        matches!(e.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
    };
    let source = std::error::Error::source(&e).and_then(|source| source.downcast_ref());
    match e.is_parse() || source.is_some_and(is_invalid) {
        true => TransportCause::Http(text).into(),
        false => TransportCause::Stream(text).into(),
    }
}

fn text_of<B>(response: &Response<B>, name: header::HeaderName) -> String {
    let header = response.headers().get(name).and_then(|header| header.to_str().ok());
    header.map(excerpt).unwrap_or_default()
}

fn excerpt(text: &str) -> String {
    let text = text.trim();
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS).collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        short.push('…');
    }
    short
}

/// Why an answer is none.
pub(crate) fn refusal(status: StatusCode, location: String, body: &[u8]) -> TransportError {
    if status.is_redirection() && !location.is_empty() {
        return TransportCause::Redirect { location }.into();
    }
    let engine = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|body| {
        Some((body.get("code")?.as_u64()?, excerpt(body.get("message")?.as_str()?)))
    });
    let excerpt = excerpt(&String::from_utf8_lossy(body));
    TransportCause::Status { status: status.as_u16(), engine, excerpt }.into()
}

/// That an answer of status 200 is not of Socket.IO, if it looks like that.
pub(crate) fn foreign(content_type: &str, body: &[u8]) -> Option<TransportCause> {
    // No packet begins like that, so that what is set down here is what ends the session.
    let is_none = body.first().is_none_or(|first| !first.is_ascii_digit() && *first != b'b');
    let is_html = || content_type.contains("html") || body.trim_ascii_start().starts_with(b"<");
    let is_page = is_none && is_html();
    is_page.then(|| TransportCause::NotSocketIo {
        content_type: content_type.to_owned(),
        excerpt: excerpt(&String::from_utf8_lossy(&body[..body.len().min(ERROR_BYTES_MAX)])),
    })
}

fn check_opening(key: &Key, response: &Response<Incoming>) -> Result<(), TransportError> {
    let headers = response.headers();
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let opening = Opening {
        connection: text(header::CONNECTION),
        upgrade: text(header::UPGRADE),
        accept: text(header::SEC_WEBSOCKET_ACCEPT),
        protocol: text(header::SEC_WEBSOCKET_PROTOCOL),
    };
    let checked = key.verify(&opening);
    checked.map_err(|e| TransportCause::WebSocket(e.to_string()).into())
}

fn agreed(response: &Response<Incoming>, offered: bool) -> Result<bool, TransportError> {
    let headers = response.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    let headers = headers.iter().map(|value| value.to_str().unwrap_or("?"));
    let agreed = deflate::accepted(headers);
    let agreed = agreed.map_err(|e| TransportCause::WebSocket(e.to_string()))?;
    match agreed && !offered {
        true => {
            Err(TransportCause::WebSocket("compression that was not offered".to_owned()).into())
        }
        false => Ok(agreed),
    }
}

/// Reads a body of up to `bytes_max`.
async fn read(mut body: Incoming, bytes_max: usize) -> Result<Bytes, TransportError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(TransportCause::TooLarge.into());
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(failed)?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > bytes_max {
            return Err(TransportCause::TooLarge.into());
        }
        // Most bodies come in one piece, which need not be copied.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The body of a request.
pub(crate) struct Payload(Option<Bytes>);

impl Body for Payload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
