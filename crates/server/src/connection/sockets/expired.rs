//! Sockets whose time is over: see [`Expiry`](crate::namespace::expiry::Expiry).

use std::sync::Arc;
use std::task::Context;

use roomful_proto::{Moment, Reason};

use super::Sockets;
use super::seats::Seat;
use crate::ground::farewell::Farewell;
use crate::namespace::socket_core::SocketCore;

impl Sockets {
    /// Asks about those whose time is over, and takes those out of their namespaces that nobody lets
    /// stay. Afterwards it is known when the next one's is.
    pub(super) fn expire_sockets(&mut self, cx: &mut Context<'_>, now: Moment) {
        for index in 0..self.seats.len() {
            let Some(socket) = self.over_at(index, now) else {
                continue;
            };
            let until = now + self.core.config.expiry_timeout;
            if let Some(on_expire) = &socket.table.on_expire
                && socket.expiry.ask(now, until)
            {
                self.call(cx, now, &socket, "expire", || on_expire(&socket));
            }
            // Perhaps the answer was there at once.
            if self.over_at(index, now).is_some() {
                self.core.metrics.expired.add();
                self.dismiss(cx, now, index, &Farewell::new(Reason::Expired, None));
            }
        }
        let at = |seat: &Seat| match seat {
            Seat::Joined(socket) => socket.expiry.at(),
            Seat::Empty | Seat::Coming { .. } | Seat::Deciding { .. } => None,
        };
        self.next_expiry = self.seats.iter().filter_map(at).min();
    }

    /// The socket at a seat, if its time is over.
    fn over_at(&self, index: usize, now: Moment) -> Option<Arc<SocketCore>> {
        match self.seats.get(index) {
            Some(Seat::Joined(socket)) if socket.expiry.at().is_some_and(|at| at <= now) => {
                Some(Arc::clone(socket))
            }
            _ => None,
        }
    }
}
