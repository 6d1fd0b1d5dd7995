//! [`Inbox`]: what has come for the user's functions, and the task that calls them.
//!
//! The connection's task only puts events here. So however long a function takes, heartbeats and acks go on beside it.
//! Above `inbox_bytes_max` the connection reads nothing until half of that is worked off, and meanwhile the silence of
//! the server does not count. It reads nothing either while the server does not take its answers, and then silence
//! counts.

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use roomful_proto::socket::manager::Attempt;
use roomful_proto::socket::packet::Event;
use roomful_proto::{AckId, EventError};
use tokio::sync::Semaphore;

use crate::core::Core;
use crate::error::ConnectError;
use crate::handler::{Ack, Begun, Reply, Started};
use crate::lock::lock;
use crate::shared::Shared;
use crate::socket::Socket;
use crate::status::Disconnection;

/// After so many bytes of jobs they are taken off those that wait: not after each job, for the lock.
const BYTES_AT_ONCE: usize = 4 * 1024;

/// What has come for one socket.
pub(crate) struct Job {
    pub(crate) core: Arc<Core>,
    pub(crate) news: News,
}

pub(crate) enum News {
    Event(Attempt, Event),
    Connected,
    Disconnected(Disconnection),
    NotConnected(Arc<ConnectError>),
}

impl Job {
    /// Whether an answer to it will wait to be sent.
    const fn is_asked(&self) -> bool {
        matches!(&self.news, News::Event(_, event) if event.ack.is_some())
    }

    fn held_bytes(&self) -> usize {
        match &self.news {
            News::Event(_, event) => event.held_bytes(),
            _ => size_of::<Self>(),
        }
    }
}

/// What waits for the user's functions.
pub(crate) struct Inbox {
    bytes_max: usize,
    /// A permit for each handler that waits for something.
    handlers: Arc<Semaphore>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// The task that works it off is there.
    running: bool,
    /// The connection was told to wait, and wants to know when it need not any more.
    full: bool,
}

impl Inbox {
    pub(crate) fn new(bytes_max: usize, handlers_max: usize) -> Self {
        let handlers = Arc::new(Semaphore::new(handlers_max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { bytes_max, handlers, queue: Mutex::default() }
    }

    /// Puts a job behind those that wait; whether the task has to be started.
    #[must_use]
    pub(crate) fn push(&self, job: Job) -> bool {
        let mut queue = lock(&self.queue);
        queue.bytes += job.held_bytes();
        queue.jobs.push_back(job);
        !std::mem::replace(&mut queue.running, true)
    }

    /// Whether so much waits that nothing more should be read.
    pub(crate) fn is_full(&self) -> bool {
        let mut queue = lock(&self.queue);
        queue.full |= queue.bytes > self.bytes_max;
        queue.full
    }

    /// Swaps all that waits into `jobs`, which are done; whether there is any. If there is none the task
    /// is to end.
    fn take(&self, jobs: &mut VecDeque<Job>) -> bool {
        let mut queue = lock(&self.queue);
        std::mem::swap(&mut queue.jobs, jobs);
        queue.running = !jobs.is_empty();
        if !queue.running {
            queue.jobs = VecDeque::new();
        }
        queue.running
    }

    /// So many bytes do not wait any more; whether the connection may go on.
    fn done(&self, bytes: usize) -> bool {
        let mut queue = lock(&self.queue);
        queue.bytes -= bytes;
        let relieved = queue.full && queue.bytes <= self.bytes_max / 2;
        queue.full &= !relieved;
        relieved
    }
}

/// Works off what waits.
pub(crate) async fn work(shared: Arc<Shared>) {
    let mut jobs = VecDeque::new();
    let bytes_at_once = BYTES_AT_ONCE.min(shared.inbox.bytes_max / 2);
    while shared.inbox.take(&mut jobs) {
        let mut bytes = 0;
        while let Some(job) = jobs.pop_front() {
            bytes += job.held_bytes();
            if (bytes >= bytes_at_once || jobs.is_empty())
                && shared.inbox.done(std::mem::take(&mut bytes))
            {
                shared.wake();
            }
            // Each answer may be large, however small the events that ask for them.
            if job.is_asked() && shared.is_behind() {
                shared.catch_up().await;
            }
            // Without a handle nobody can hear anything any more.
            if let Some(handle) = shared.handle() {
                let Job { core, news } = job;
                let performed = pin!(perform(&shared, Socket::from_parts(core, handle), news));
                // Functions are guarded one by one. What they hold can panic where it is dropped, and a
                // parser where an answer is written.
                if let Err(panic) = Guarded(performed).await {
                    panicked(&*panic);
                }
            }
            tokio::task::coop::consume_budget().await;
        }
    }
}

async fn perform(shared: &Shared, socket: Socket, news: News) {
    let listeners = &socket.core().listeners;
    let started = match news {
        News::Event(attempt, event) => {
            hear(shared, &socket, attempt, event).await;
            return;
        }
        News::Connected => listeners.connect().map(|f| guarded(|| f(socket.clone()))),
        News::Disconnected(why) => {
            listeners.disconnect().map(|f| guarded(|| f(socket.clone(), why)))
        }
        News::NotConnected(why) => listeners.error().map(|f| guarded(|| f(socket.clone(), why))),
    };
    tell(shared, &socket, started).await;
}

/// Runs a function that answers nobody, if there is one.
async fn tell(shared: &Shared, socket: &Socket, started: Option<Result<Started, Panic>>) {
    match started {
        None => {}
        Some(Ok(started)) => run(shared, socket, None, started).await,
        Some(Err(panic)) => drop(panicked(&*panic)),
    }
}

/// Gives an event to all who hear it.
async fn hear(shared: &Shared, socket: &Socket, attempt: Attempt, mut event: Event) {
    let heard = socket.core().listeners.heard(event.name());
    for any in &heard.any {
        let seen = guarded(|| any(event.name(), &event.args));
        tell(shared, socket, seen.transpose()).await;
    }
    if let Some(once) = heard.once {
        let begun = guarded(|| once(socket, attempt, &mut event));
        match begun {
            Ok(Begun::Misfit(..)) => socket.core().listeners.put_back(event.name(), once),
            begun => return begin(shared, socket, attempt, event, begun).await,
        }
    }
    let Some(on) = heard.on else {
        let Some(unhandled) = heard.unhandled else {
            return shared.counters.unheard();
        };
        let ack = Ack { wanted: event.ack.map(|id| (socket.clone(), attempt, id)) };
        let taken = guarded(|| unhandled(event.name(), event.args.clone(), ack));
        return tell(shared, socket, taken.transpose()).await;
    };
    let begun = guarded(|| on(socket, attempt, &mut event));
    begin(shared, socket, attempt, event, begun).await;
}

async fn begin(
    shared: &Shared,
    socket: &Socket,
    attempt: Attempt,
    event: Event,
    begun: Result<Begun, Panic>,
) {
    let ack = event.ack.map(|id| (attempt, id));
    match begun {
        Ok(Begun::Started(started)) => {
            // The event is not needed while its handler waits.
            drop(event);
            run(shared, socket, ack, started).await;
        }
        Ok(Begun::Misfit(misfit, reply)) => {
            shared.counters.misfit();
            tracing::debug!("the event {:?} does not fit its handler: {misfit}", event.name());
            reply.into_iter().for_each(|reply| socket.answer(attempt, reply.answer));
        }
        Err(panic) => fail(socket, ack, &*panic),
    }
}

/// Runs a handler to its first wait, and the rest of it in a task of its own.
async fn run(shared: &Shared, socket: &Socket, ack: Option<(Attempt, AckId)>, started: Started) {
    let mut guard = Guarded(started);
    match poll_fn(|cx| Poll::Ready(Pin::new(&mut guard).poll(cx))).await {
        Poll::Ready(done) => finish(socket, ack, done),
        Poll::Pending => {
            let permit = Arc::clone(&shared.inbox.handlers).acquire_owned().await;
            let socket = socket.clone();
            tokio::spawn(async move {
                let done = guard.await;
                finish(&socket, ack, done);
                drop(permit);
            });
        }
    }
}

fn finish(socket: &Socket, ack: Option<(Attempt, AckId)>, done: Result<Option<Reply>, Panic>) {
    match (done, ack) {
        (Ok(Some(reply)), Some((attempt, _))) => socket.answer(attempt, reply.answer),
        (Ok(_), _) => {}
        (Err(panic), ack) => fail(socket, ack, &*panic),
    }
}

type Panic = Box<dyn Any + Send>;

/// A handler that has panicked costs its own event, and whoever asked is told that there was an error.
fn fail(socket: &Socket, ack: Option<(Attempt, AckId)>, panic: &(dyn Any + Send)) {
    let error = panicked(panic);
    if let Some((attempt, id)) = ack {
        socket.answer(attempt, Reply::new(id, &error.to_json()).answer);
    }
}

fn panicked(panic: &(dyn Any + Send)) -> EventError {
    let error = EventError::panicked(panic);
    tracing::error!("a handler panicked: {error:?}");
    error
}

fn guarded<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(f))
}

/// A future whose panics are caught.
struct Guarded<F>(F);

impl<F: Future + Unpin> Future for Guarded<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = &mut self.0;
        match guarded(|| Pin::new(future).poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
