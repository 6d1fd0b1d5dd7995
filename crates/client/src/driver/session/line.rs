//! [`Line`]: a WebSocket of a session, or the way to one.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use roomful_proto::Moment;
use roomful_proto::engine::dialer::Input;
use roomful_proto::ws::CloseCode;

use super::{Boxed, Session, WebSocket, session_id};
use crate::error::TransportError;
use crate::net::Upgraded;
use crate::shared::Shared;

/// A WebSocket, or the way to one.
pub(super) enum Line {
    None,
    Opening(Boxed<Result<Upgraded, TransportError>>),
    Open(Box<WebSocket>),
}

/// Which of the two that a session can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The one that carries the session, or is to carry it from its beginning.
    Carrier,
    /// The one beside the polling.
    Probe,
}

impl Place {
    pub(super) const BOTH: [Self; 2] = [Self::Carrier, Self::Probe];
}

impl Session {
    pub(super) const fn line(&mut self, place: Place) -> &mut Line {
        match place {
            Place::Carrier => &mut self.carrier,
            Place::Probe => &mut self.probe,
        }
    }

    pub(super) fn open_line(&mut self, place: Place, shared: &Shared) {
        let line = self.requests.websocket(session_id(&self.dialer), shared);
        *self.line(place) = line;
    }

    pub(super) fn poll_lines(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        shared: &Shared,
    ) -> bool {
        let mut busy = false;
        for place in Place::BOTH {
            if let Line::Opening(opening) = self.line(place)
                && let Poll::Ready(opened) = opening.as_mut().poll(cx)
            {
                busy = true;
                match opened {
                    Ok(upgraded) => self.line_opened(now, place, upgraded, shared),
                    Err(e) => self.line_not_opened(now, place, e),
                }
            }
        }
        busy
    }

    fn line_opened(&mut self, now: Moment, place: Place, upgraded: Upgraded, shared: &Shared) {
        let (limits, deflate) = (&shared.settings.manager.limits, shared.settings.deflate.as_ref());
        *self.line(place) = Line::Open(Box::new(WebSocket::new(upgraded, limits, deflate)));
        let input = match place {
            Place::Carrier => Input::Opened,
            Place::Probe => Input::ProbeOpened,
        };
        self.dialer.receive(now, input);
    }

    fn line_not_opened(&mut self, now: Moment, place: Place, error: TransportError) {
        *self.line(place) = Line::None;
        match place {
            Place::Carrier => {
                self.error.get_or_insert(error);
            }
            Place::Probe => tracing::debug!("no upgrade: {error}"),
        }
        self.line_gone(now, place, false, None);
    }

    /// A WebSocket has ended; `said` is what is known of why.
    pub(super) fn line_gone(
        &mut self,
        now: Moment,
        place: Place,
        in_order: bool,
        said: Option<Arc<str>>,
    ) {
        match place {
            Place::Carrier => {
                if self.detail.is_none() {
                    self.detail = said;
                }
                self.dialer.receive(now, Input::Gone { in_order });
            }
            Place::Probe => self.dialer.receive(now, Input::ProbeGone),
        }
    }

    /// Takes a WebSocket that is open, to be read.
    pub(super) fn take_line(&mut self, place: Place) -> Option<Box<WebSocket>> {
        let line = self.line(place);
        match mem::replace(line, Line::None) {
            Line::Open(open) => Some(open),
            other => {
                *line = other;
                None
            }
        }
    }

    /// Puts a WebSocket back that was taken to be read; where what it said has made it the carrier, there.
    pub(super) fn put_back(&mut self, place: Place, line: Box<WebSocket>) {
        *self.line(place) = Line::Open(line);
    }

    /// Closes a WebSocket in order, or gives up opening it.
    pub(super) fn leave(&mut self, place: Place, shared: &Arc<Shared>) {
        match self.take_line(place) {
            Some(line) => say_goodbye(line, Some(CloseCode::NORMAL), shared),
            None => *self.line(place) = Line::None,
        }
    }
}

/// Closes a WebSocket beside all else.
pub(super) fn say_goodbye(mut line: Box<WebSocket>, code: Option<CloseCode>, shared: &Arc<Shared>) {
    line.close(code);
    shared.part(line.say_goodbye());
}
