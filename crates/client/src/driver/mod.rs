//! [`Driver`]: the task of a connection, where the protocol, the streams and the clock meet.
//!
//! It runs in rounds. In each it does what the [`Manager`](roomful_proto::socket::Manager) and the [`Dialer`] say,
//! reads what has come, and writes what waits. Then it rests until a stream, a handle or the time wakes it.
//!
//! An event of the server comes up: `websocket` reads it (or `net/http`, in the body of a poll), the dialer takes the
//! type of the session off and answers pings, and the manager finds the socket, joins attachments, and says
//! `Output::Event`. The driver pours the event into the streams that want it, and puts it into the
//! [`inbox`](crate::inbox), whose task finds the handler in `listeners` and calls it. What the handler returns goes to
//! the manager. An event of the user's goes down: `socket` writes it into frames, and the manager puts them behind what
//! waits, or into the buffer of its socket while that is not connected. The next round of the driver masks what may
//! leave, and writes it.
//!
//! # Tasks
//!
//! All tasks run in the first runtime in which the client was used. The client of `blocking` has a runtime of its own,
//! in a thread of its own.
//!
//! - The driver is there while there is a connection, or a time to wait for. The first call that changes the state
//!   starts it (`State::running`). It ends when it has nothing left to wait for, and the next call starts another one.
//! - The task of the inbox is there while anything waits for functions. It calls handlers in the order of events, each
//!   up to its first wait.
//! - A handler that waits has a task, `handlers_max` of them at most.
//! - An HTTP connection has a task, which the HTTP library asks for, and so has a stream that is being closed
//!   (`State::parting`).
//!
//! An answer that is waited for has neither a task nor a timer: it is an entry in the manager, and its time is among
//! the deadlines.
//!
//! # How it rests and wakes
//!
//! All of it is decided under the lock of `Shared::state`.
//!
//! 1. A round begins with `State::changed = false`, lets the manager look at the time, and takes out all that it says.
//!    It does that, polls the auth payloads that are being made, and turns to the session: it reads what has come, then
//!    looks at the heartbeat, then writes.
//! 2. A call of `Shared::act` changes the state and sets `changed`. If the driver rests, its waker is there: the call
//!    takes it out, and wakes when the lock is free. So of many calls in a row one wakes.
//! 3. After a round with nothing to do at once the driver wants to rest. If `changed` is set, or the manager has
//!    something to say, it begins another round instead. Otherwise it leaves its waker, or where nothing is left to
//!    wait for it sets `running = false`, under that same lock. A call comes before that and is seen, or after it and
//!    wakes or starts.
//! 4. After four rounds it lets others of the thread run.
//! 5. It has one timer. A deadline that moves away is not set again: the timer then comes too early, and costs a round.
//!
//! `Shared::until` (`close`, `drained`) looks each time that the driver has come to rest, and when a stream has ended.
//!
//! # What is always so
//!
//! - The connection never waits for a user's function. A function that makes an auth payload is polled by the driver:
//!   it may wait, and must not block its thread.
//! - Nothing is idle: the read buffer, the masks and the memory of `Batch` are the thread's. A write buffer of more
//!   than 4 KiB is freed when it is written, and what polling needed is freed when a WebSocket carries the session.
//! - An answer belongs to an `Attempt`, one time that a socket was in its namespace. What a handler returns after that
//!   is dropped.
//! - What the connection took and did not send goes back to its socket, in order, unless it was volatile. What was sent
//!   is never sent again, unless `retry_events` says so.
//! - Ids of ack requests are even, those of events that are sent again odd, so they never meet.
//! - Every end of a session goes one way (`Driver::session_ended`): its reason goes to the manager, which says what
//!   becomes of each socket, and the error goes into their `Status`. Where the runtime ends under the driver, its
//!   `Drop` tells all who wait.
//! - A panic never ends a task. In a handler it costs its event, whose ack says so; in a function that makes an auth
//!   payload, that attempt, whose namespace is not answered in time; in a stream or a parser of the user's, the
//!   connection (`Driver::panicked`).
//!
//! # Where a new thing goes
//!
//! - A rule of the protocol: an input or output of `engine/dialer` or `socket/manager` in the crate `roomful-proto`,
//!   with a conversation in virtual time in its `tests/dialer.rs` or `tests/manager.rs`.
//! - An option: `builder` and `settings` (or `ManagerSettings`), and a row in `docs/compatibility.md`; a limit also in
//!   `docs/security.md`.
//! - Another transport: `Transport` and the dialer, and a line beside `Line` in `driver/session`, which moves its
//!   bytes.
//! - Another way to the server: `Way` in `net/mod`, or a scheme in `net/proxy`.
//! - Something else that functions hear: `News` in `inbox`, a field of the table in `listeners`, a method of `socket`,
//!   and its plain form in `blocking/socket`.
//! - Another reason why not: `error`, and the place that sees it first: `net`, `driver/session`, or `Violation` in the
//!   crate `roomful-proto`.

mod batch;
mod proof;
mod session;
mod websocket;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use roomful_proto::socket::manager::{Attempt, Key, Output};
use roomful_proto::{DisconnectReason, EventError, Moment};
use tokio::time::{Instant, Sleep};

use self::batch::Batch;
use self::session::{Ended, Session};
use crate::core::{Auth, Core};
use crate::error::{ConnectError, Refusal, TransportCause};
use crate::inbox::{Job, News};
use crate::shared::{Shared, State, Waiter};
use crate::status::{Disconnection, Status};

/// Rounds of one turn, until others of the thread get theirs. A few, so that handlers find what was read
/// in the cache.
const ROUNDS_MAX: usize = 4;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The task of a connection.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    session: Option<Box<Session>>,
    /// Auth payloads that are being made.
    auths: Vec<(Attempt, Boxed<Option<Bytes>>)>,
    /// The last thing that went wrong: why sockets wait.
    trouble: Option<Arc<ConnectError>>,
    /// No namespace has answered, for which the session is ended.
    silence: Option<Arc<ConnectError>>,
    /// What the manager said, taken out under its lock.
    batch: Batch,
    /// The socket whose event came last.
    last: Option<Arc<Core>>,
    timer: Option<Pin<Box<Sleep>>>,
    armed: Option<Moment>,
    /// How the session ended, for what the manager says about its sockets.
    ended: Option<Disconnection>,
    /// Whether the last session was never open: an attempt has failed, and nothing was lost.
    failed_to_open: bool,
    /// It has come to its end, and another task may have begun.
    done: bool,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            session: None,
            auths: Vec::new(),
            trouble: None,
            silence: None,
            batch: Batch::default(),
            last: None,
            timer: None,
            armed: None,
            ended: None,
            failed_to_open: false,
            done: false,
        }
    }

    /// One round; whether there may be more to do at once.
    fn round(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.shared.now();
        // What comes of these is done below, or seen before the task rests.
        self.do_what_manager_says(now);
        self.poll_auths(cx, now);
        let Some(session) = &mut self.session else {
            return false;
        };
        let busy = session.round(cx, now, &self.shared);
        let Some(ended) = session.take_ended() else {
            return busy;
        };
        self.session_ended(now, ended);
        true
    }

    /// What is the user's in a connection has panicked: its stream or the function that opens it, a parser.
    /// That costs the connection, and not the client.
    fn panicked(&mut self, panic: &(dyn Any + Send)) -> bool {
        let error = EventError::panicked(panic);
        tracing::error!("a stream or a parser panicked: {error:?}");
        let now = self.shared.now();
        if let Some(session) = &mut self.session {
            session.give_up(TransportCause::Stream("it panicked".to_owned()).into());
            if let Some(ended) = session.take_ended() {
                self.session_ended(now, ended);
            }
        }
        true
    }

    fn do_what_manager_says(&mut self, now: Moment) {
        self.shared.look(|state| {
            // What is said from here on is looked at in another round.
            (state.changed, state.waker) = (false, None);
            if self.session.as_ref().is_some_and(|session| session.is_paused()) {
                state.manager.does_not_read(now);
            }
            if let Err(violation) = state.manager.expire(now)
                && let Some(session) = &mut self.session
            {
                session.fail(now, violation);
            }
            self.batch.take_from(&mut state.manager);
        });
        while let Some(output) = self.batch.next() {
            self.manager_says(now, output);
        }
        self.last = None;
        self.shared.look(|state| self.batch.give_back(&mut state.manager));
    }

    fn manager_says(&mut self, now: Moment, output: Output<Waiter>) {
        match output {
            Output::Dial { .. } => self.dial(now),
            Output::HangUp => match &mut self.session {
                Some(session) => session.close(now),
                None => self.shared.look(|state| {
                    state.manager.closed(now, DisconnectReason::ForcedClose);
                }),
            },
            Output::Opened { .. } => self.shared.counters.connection(),
            Output::Waiting { attempt, until } => self.waiting(attempt, until),
            Output::GaveUp => self.gave_up(),
            Output::Authorize(attempt) => self.authorize(now, attempt),
            Output::Connected { attempt, id, recovered } => {
                if let Some(core) = self.shared.core(attempt.key()) {
                    core.set_id(id);
                    core.has_connected();
                    self.shared.look(|state| {
                        // It may have left since: a user was shown that, or is as soon as the server's goodbye
                        // is told.
                        if state.manager.is_joined(core.key) {
                            core.set_status(Status::Connected { recovered });
                        }
                    });
                    self.shared.deliver(Job { core, news: News::Connected });
                }
            }
            Output::Refused { key, why } => {
                let refusal = Refusal::read(why.as_deref());
                self.failed(key, &Arc::new(ConnectError::Refused(refusal)));
            }
            Output::NotAnswered(key) => self.not_answered(key),
            Output::Event { attempt, event } => {
                self.shared.counters.event();
                if self.last.as_ref().is_none_or(|core| core.key != attempt.key()) {
                    self.last = self.shared.core(attempt.key());
                }
                if let Some(core) = self.last.clone() {
                    core.listeners.pour(&event);
                    self.shared.deliver(Job { core, news: News::Event(attempt, event) });
                }
            }
            // Whoever waited may be gone.
            Output::Ack { waiter, answer } => drop(waiter.send(answer)),
            Output::Disconnected { key, reason } => self.disconnected(key, reason),
        }
    }

    fn dial(&mut self, now: Moment) {
        // Not when it is open: a session may open and end in one round.
        (self.trouble, self.ended) = (None, None);
        let connecting = |status: &Status| {
            matches!(status, Status::Waiting { .. } | Status::Idle) || status.is_final()
        };
        self.shared.look(|state| {
            for core in state.active().filter(|core| connecting(&core.status())) {
                core.set_status(Status::Connecting);
            }
            state.sessions += 1;
            state.session = Some(state.sessions);
        });
        self.session = Some(Box::new(Session::dial(now, &self.shared)));
    }

    fn session_ended(&mut self, now: Moment, ended: Ended) {
        self.session = None;
        self.auths.clear();
        self.failed_to_open = !ended.was_open;
        // Nothing has failed where a user did not want it any more.
        if !ended.was_open && ended.how.reason != DisconnectReason::ForcedClose {
            self.shared.counters.failure();
            // Whatever worked before does not now.
            self.shared.settings.websocket_worked.store(false, Ordering::Relaxed);
        }
        let Disconnection { reason, close_code, detail } = ended.how;
        let error = ended.error.unwrap_or_else(|| TransportCause::Ended(reason).into());
        let silence = self.silence.take();
        self.trouble = silence.or_else(|| Some(Arc::new(ConnectError::Transport(error))));
        self.ended = Some(Disconnection { reason, close_code, detail });
        let askers = self.shared.look(|state| {
            state.manager.closed(now, reason);
            state.disconnected()
        });
        drop(askers);
    }

    fn waiting(&self, attempt: u32, until: Moment) {
        let until = self.shared.instant(until);
        let error = self.trouble();
        let waiting = || Status::Waiting { attempt, until, error: Arc::clone(&error) };
        let active: Vec<_> = self.shared.look(|state| {
            let told = state.active().inspect(|core| {
                core.has_failed(&error);
                core.set_status(waiting());
            });
            told.cloned().collect()
        });
        if self.failed_to_open {
            for core in active {
                let news = News::NotConnected(Arc::clone(&error));
                self.shared.deliver(Job { core, news });
            }
        }
    }

    fn gave_up(&self) {
        let error = self.trouble();
        let cores = self.shared.look(|state| state.cores.clone());
        for core in cores.into_iter().flatten() {
            if !core.status().is_final() && !matches!(core.status(), Status::Idle) {
                self.has_failed(&core, &error);
                if self.failed_to_open {
                    let news = News::NotConnected(Arc::clone(&error));
                    self.shared.deliver(Job { core, news });
                }
            }
        }
    }

    fn failed(&self, key: Key, error: &Arc<ConnectError>) {
        if let Some(core) = self.shared.core(key) {
            self.has_failed(&core, error);
            let news = News::NotConnected(Arc::clone(error));
            self.shared.deliver(Job { core, news });
        }
    }

    fn has_failed(&self, core: &Core, error: &Arc<ConnectError>) {
        core.set_id(None);
        self.shared.look(|state| {
            // A user may have told it to connect again since.
            if !state.manager.is_active(core.key) {
                core.has_failed(error);
                core.set_status(Status::Failed(Arc::clone(error)));
            }
        });
    }

    /// A namespace is silent. Where another one of the connection is not, that one goes on, and the silent
    /// one is given up.
    fn not_answered(&mut self, key: Key) {
        let error = Arc::new(ConnectError::NotAnswered);
        let is_used = self.shared.look(|state| {
            let State { manager, cores, .. } = state;
            cores.iter().flatten().any(|core| manager.is_joined(core.key))
        });
        if !is_used && let Some(session) = &mut self.session {
            // What follows tells it.
            self.silence = Some(error);
            session.give_up(TransportCause::Timeout.into());
        } else {
            self.shared.look(|state| state.manager.disconnect(key));
            self.failed(key, &error);
        }
    }

    fn disconnected(&self, key: Key, reason: DisconnectReason) {
        let Some(core) = self.shared.core(key) else {
            return;
        };
        let ended = self.ended.clone().filter(|ended| ended.reason == reason);
        let why = ended.unwrap_or_else(|| reason.into());
        core.set_id(None);
        self.shared.look(|state| {
            core.set_status(match state.manager.is_active(key) {
                true => Status::Connecting,
                false => Status::Disconnected(why.clone()),
            });
        });
        self.shared.deliver(Job { core, news: News::Disconnected(why) });
    }

    fn authorize(&mut self, now: Moment, attempt: Attempt) {
        let Some(core) = self.shared.core(attempt.key()) else {
            return;
        };
        match core.auth() {
            Auth::None => self.authorized(now, attempt, None),
            Auth::Value(json) => self.authorized(now, attempt, Some(&json)),
            Auth::Made(make) => {
                // Nobody waits for the one before.
                self.auths.retain(|(before, _)| before.key() != attempt.key());
                match catch_unwind(AssertUnwindSafe(|| make())) {
                    Ok(made) => self.auths.push((attempt, made)),
                    Err(_) => tracing::error!("the function that makes the auth payload panicked"),
                }
            }
        }
    }

    fn authorized(&self, now: Moment, attempt: Attempt, auth: Option<&[u8]>) {
        self.shared.look(|state| state.manager.authorize(now, attempt, auth));
    }

    fn poll_auths(&mut self, cx: &mut Context<'_>, now: Moment) {
        let mut done = Vec::new();
        self.auths.retain_mut(|(attempt, made)| {
            match catch_unwind(AssertUnwindSafe(|| made.as_mut().poll(cx))) {
                Ok(Poll::Pending) => true,
                Ok(Poll::Ready(auth)) => {
                    done.push((*attempt, auth));
                    false
                }
                Err(_) => {
                    tracing::error!("the function that makes the auth payload panicked");
                    false
                }
            }
        });
        for (attempt, auth) in &done {
            self.authorized(now, *attempt, auth.as_deref());
        }
    }

    fn trouble(&self) -> Arc<ConnectError> {
        let none = || TransportCause::Ended(DisconnectReason::TransportClose).into();
        self.trouble.clone().unwrap_or_else(|| Arc::new(ConnectError::Transport(none())))
    }

    /// Rests until the time comes, or somebody wakes the task. Ready when there is nothing left to do;
    /// `None` when there is something at once.
    fn rest(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let session = self.session.as_ref().and_then(|session| session.deadline());
        let (has_session, auths) = (self.session.is_some(), !self.auths.is_empty());
        let (deadline, ends, abandoned) = self.shared.look(|state| {
            if state.changed || state.manager.has_output() {
                return None;
            }
            let manager = state.manager.deadline();
            let deadline = [manager, session].into_iter().flatten().min();
            let ends = deadline.is_none() && !has_session && !auths;
            if ends {
                (state.running, state.waker) = (false, None);
            } else {
                state.waker = Some(cx.waker().clone());
            }
            self.batch.rest(&mut state.manager);
            Some((deadline, ends, state.abandoned))
        })?;
        if ends {
            self.done = true;
            if abandoned {
                self.shared.end();
            }
            self.shared.rests();
            return Some(Poll::Ready(()));
        }
        self.shared.rests();
        if self.arm(cx, deadline) { None } else { Some(Poll::Pending) }
    }

    /// Sets the timer; whether it is over already. One that comes too early only costs a round, so that a
    /// later time need not be set at once.
    fn arm(&mut self, cx: &mut Context<'_>, deadline: Option<Moment>) -> bool {
        let Some(deadline) = deadline else {
            return false;
        };
        if self.armed.is_none_or(|armed| deadline < armed) {
            let at = Instant::from_std(self.shared.instant(deadline));
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(at),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
            }
            self.armed = Some(deadline);
        }
        match self.timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => {
                self.armed = None;
                true
            }
            _ => false,
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ROUNDS_MAX {
            let round = catch_unwind(AssertUnwindSafe(|| this.round(cx)));
            if !round.unwrap_or_else(|panic| this.panicked(&*panic))
                && let Some(rest) = this.rest(cx)
            {
                return rest;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The runtime has ended: nobody shall wait for what no task does any more.
impl Drop for Driver {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let error = Arc::new(ConnectError::Transport(TransportCause::NoRuntime.into()));
        let askers = self.shared.look(|state| {
            for core in state.active() {
                core.set_status(Status::Failed(Arc::clone(&error)));
            }
            (state.running, state.changed, state.waker) = (false, false, None);
            state.manager.end();
            self.batch.take_from(&mut state.manager);
            state.disconnected()
        });
        drop(askers);
        while let Some(output) = self.batch.next() {
            if let Output::Ack { waiter, answer } = output {
                drop(waiter.send(answer));
            }
        }
        let abandoned = self.shared.look(|state| state.abandoned);
        if abandoned {
            self.shared.end();
        }
        self.shared.rests();
    }
}
