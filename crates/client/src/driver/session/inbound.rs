//! What a session reads from its WebSockets.

use std::sync::Arc;
use std::task::{Context, Poll};

use roomful_proto::engine::Data;
use roomful_proto::engine::dialer::Input;
use roomful_proto::ws::{CloseCode, Message, WsError};
use roomful_proto::{Moment, Violation};

use super::line::{Line, Place, say_goodbye};
use super::{Scratch, Session, WebSocket};
use crate::error::{TransportCause, TransportError};
use crate::net::refusal;
use crate::shared::Shared;

/// What ended a run of messages.
enum Taken {
    /// Something else, or the end of what was read.
    Decoded(Result<Option<Message>, WsError>),
    /// A packet of the session itself.
    Framed,
    /// A message that breaks Socket.IO.
    Broken(Violation),
}

impl Session {
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Moment, shared: &Arc<Shared>) -> bool {
        let mut busy = false;
        for place in Place::BOTH {
            if matches!(self.line(place), Line::Open(_)) {
                busy |= self.read_once(cx, now, place, &mut Scratch::take(), shared);
            }
        }
        busy
    }

    /// Reads once from a WebSocket, and works off what came; whether there may be more.
    fn read_once(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        place: Place,
        scratch: &mut Scratch,
        shared: &Arc<Shared>,
    ) -> bool {
        let Some(mut line) = self.take_line(place) else {
            return false;
        };
        let bytes = scratch.bytes();
        match line.poll_read(cx, bytes) {
            Poll::Pending => {
                let Some(e) = line.write_error() else {
                    self.put_back(place, line);
                    return false;
                };
                self.line_gone(now, place, false, Some(e.to_string().into()));
            }
            Poll::Ready(Ok(0)) => {
                self.line_gone(now, place, false, Some("the stream ended".into()));
            }
            Poll::Ready(Ok(len)) => {
                if place == Place::Carrier {
                    self.dialer.alive(now);
                }
                self.work_off(now, place, line, &mut bytes[..len], shared);
            }
            Poll::Ready(Err(e)) => {
                self.line_gone(now, place, false, Some(e.to_string().into()));
            }
        }
        true
    }

    /// Works off what was read from a WebSocket, and puts that back unless it has ended.
    fn work_off(
        &mut self,
        now: Moment,
        place: Place,
        mut line: Box<WebSocket>,
        bytes: &mut [u8],
        shared: &Arc<Shared>,
    ) {
        let mut rest = &mut *bytes;
        loop {
            let Some(decoded) = self.decode(now, place, &mut line, &mut rest, shared) else {
                continue;
            };
            match decoded {
                Ok(None) if self.ended.is_none() => return self.put_back(place, line),
                // What has made an end of the session may stand before others.
                Ok(_) if self.ended.is_some() => {
                    return say_goodbye(line, Some(CloseCode::NORMAL), shared);
                }
                // Other messages were taken before.
                Ok(Some(Message::Text(text))) => {
                    self.dialer.receive(now, Input::Probe(Data::Text(text)));
                }
                Ok(Some(Message::Binary(bytes))) => {
                    self.dialer.receive(now, Input::Probe(Data::Binary(bytes)));
                }
                Ok(Some(Message::Ping(bytes))) => {
                    if !line.pong(&bytes) {
                        self.fail(now, Violation::Pings);
                    }
                }
                Ok(Some(Message::Pong(said))) if place == Place::Carrier => self.proof.pong(&said),
                Ok(None | Some(Message::Pong(_))) => {}
                Ok(Some(Message::Close(code, said))) => {
                    say_goodbye(line, code, shared);
                    return self.line_closed(now, place, code, &said);
                }
                Err(e) => {
                    say_goodbye(line, Some(e.code()), shared);
                    shared.counters.violation();
                    return self.line_broken(now, place, &e, bytes);
                }
            }
        }
    }

    /// What comes next on a WebSocket, behind the messages of the session, which are taken; `None` when
    /// there may be more of them.
    fn decode(
        &mut self,
        now: Moment,
        place: Place,
        line: &mut WebSocket,
        rest: &mut &mut [u8],
        shared: &Arc<Shared>,
    ) -> Option<Result<Option<Message>, WsError>> {
        if place == Place::Probe || self.ended.is_some() {
            return Some(line.decode(rest));
        }
        match self.take_messages(now, line, rest, shared) {
            Taken::Decoded(decoded) => return Some(decoded),
            Taken::Framed => {}
            Taken::Broken(violation) => self.fail(now, violation),
        }
        self.do_what_dialer_says(now, shared);
        None
    }

    /// Takes messages as long as they are all that was read: that is mostly so, and the lock is taken once
    /// for all of them.
    fn take_messages(
        &mut self,
        now: Moment,
        line: &mut WebSocket,
        rest: &mut &mut [u8],
        shared: &Shared,
    ) -> Taken {
        shared.look(|state| {
            loop {
                let data = match line.decode(rest) {
                    Ok(Some(Message::Text(text))) => Data::Text(text),
                    Ok(Some(Message::Binary(bytes))) => Data::Binary(bytes),
                    decoded => return Taken::Decoded(decoded),
                };
                let Some(message) = self.dialer.frame(now, data) else {
                    return Taken::Framed;
                };
                if let Err(violation) = state.manager.receive(now, message) {
                    return Taken::Broken(violation);
                }
            }
        })
    }

    /// The server has closed a WebSocket.
    fn line_closed(&mut self, now: Moment, place: Place, code: Option<CloseCode>, said: &[u8]) {
        if place == Place::Carrier {
            self.close_code = code;
        }
        let said = String::from_utf8_lossy(said);
        let said = (!said.is_empty()).then(|| Arc::from(&*said));
        self.line_gone(now, place, true, said);
    }

    /// What was read from a WebSocket breaks its rules.
    fn line_broken(&mut self, now: Moment, place: Place, error: &WsError, read: &[u8]) {
        if place == Place::Carrier {
            let broken = || TransportCause::WebSocket(error.to_string()).into();
            self.error.get_or_insert_with(|| late_refusal(read).unwrap_or_else(broken));
        }
        self.line_gone(now, place, false, None);
    }
}

/// Servers of Engine.IO 6 refuse some clients by an answer of HTTP on a WebSocket that they have opened: its
/// status and its body.
fn late_refusal(bytes: &[u8]) -> Option<TransportError> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.strip_prefix("HTTP/1.1 ")?.split_once("\r\n\r\n")?;
    let status = head.get(..3)?.parse().ok()?;
    Some(refusal(status, String::new(), body.as_bytes()))
}
