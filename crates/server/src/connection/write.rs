//! To the streams: what waits in the outbox, on whichever transport carries the session.

use std::task::{Context, Poll};

use roomful_proto::Moment;
use roomful_proto::engine::Input;

use super::read::Source;
use super::{Carrier, Connection, Goodbye, Phase};
use crate::ground::farewell::Description;
use crate::transport::link::Flushed;

impl Connection {
    /// Writes what waits; `true` when it cannot write now.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        match &self.carrier {
            Carrier::Polling(_) => self.flush_polling(cx, now),
            Carrier::Stream(_) if self.phase == Phase::Over => true,
            Carrier::Stream(_) => self.flush_stream(cx, now),
        }
    }

    fn flush_polling(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let mut batch = self.link.take_batch();
        if batch.is_empty() {
            self.session.flushed();
            self.drive(cx, now);
            self.link.give_back(batch);
            batch = self.link.take_batch();
        }
        let limit = self.core.limits.payload_bytes_max;
        let answered = match &mut self.carrier {
            Carrier::Polling(polling) => polling.answer_poll(&mut batch, limit, self.link.dialect),
            Carrier::Stream(_) => false,
        };
        self.link.give_back(batch);
        if answered {
            if self.pressure.outbox {
                // It takes what waits for it, and its pong is held until it has.
                self.session.alive(now);
            }
            self.session.receive(now, Input::PollAnswered);
            self.drive(cx, now);
        }
        !matches!(&self.carrier, Carrier::Polling(polling) if polling.has_poll())
    }

    fn flush_stream(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        // At most one pong waits behind others, however many pings there were.
        if self.pong.is_some() && self.link.outbox_len() < 2 {
            self.pong.take().into_iter().for_each(|pong| self.link.put_first(pong));
        }
        match self.write(cx) {
            Flushed::All => match self.phase {
                Phase::Lingering(_, Goodbye::Answered) => self.phase = Phase::Over,
                Phase::Lingering(_, Goodbye::Deaf) => self.say_no_more(cx),
                // A pong that was not to wait behind others has none before it now.
                Phase::Open if self.pong.is_some() => return self.flush_stream(cx, now),
                Phase::Lingering(_, Goodbye::Awaited) | Phase::Open | Phase::Over => {}
            },
            Flushed::More => cx.waker().wake_by_ref(),
            // What is not read because of what is being written there is read when it has been.
            Flushed::Elsewhere
                if self.phase == Phase::Open && self.pong.is_none() && !self.pressure.is_on() => {}
            Flushed::Elsewhere => self.link.await_flush(),
            Flushed::Blocked => return true,
            Flushed::Broken(kind) => {
                self.stream_ended(now, Source::Carrier, Description::Io(kind));
                self.drive(cx, now);
                return true;
            }
        }
        false
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Flushed {
        let Carrier::Stream(stream) = &mut self.carrier else {
            return Flushed::All;
        };
        if stream.has_both_halves() {
            let mut batch = self.link.take_batch();
            let before = batch.written_so_far();
            let written = stream.poll_write(cx, &mut batch);
            if batch.written_so_far() != before {
                self.link.note_written();
            }
            self.link.give_back(batch);
            return match written {
                Poll::Ready(Ok(())) => Flushed::All,
                Poll::Ready(Err(error)) => Flushed::Broken(error.kind()),
                Poll::Pending => Flushed::Blocked,
            };
        }
        loop {
            let flushed = self.link.flush();
            if flushed != Flushed::Blocked {
                return flushed;
            }
            match self.link.poll_writable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Flushed::Broken(error.kind()),
                Poll::Pending => return Flushed::Blocked,
            }
        }
    }

    /// Says that this end is done. A stream that cannot say so at once says it when it is dropped.
    fn say_no_more(&mut self, cx: &mut Context<'_>) {
        if let Carrier::Stream(stream) = &mut self.carrier {
            self.link.shut_writer();
            drop(stream.poll_shutdown(cx));
        }
    }

    pub(super) fn flush_probe(&mut self, cx: &mut Context<'_>, now: Moment) {
        let Some(probe) = &mut self.probe else {
            return;
        };
        match probe.stream.poll_write(cx, &mut probe.sending) {
            Poll::Ready(Ok(())) if probe.ending => self.probe = None,
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(error)) => {
                self.stream_ended(now, Source::Probe, Description::Io(error.kind()));
                self.drive(cx, now);
            }
        }
    }
}
