//! [`Worker`] and [`run`]: the two threads of a client; [`wait`]: how any other thread waits for them.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::error::BuildError;
use crate::shared::{Shared, State};

type Job = Box<dyn FnOnce() + Send>;

/// The thread that calls a user's functions, one after the other. It ends with the last of its handles,
/// which the registered functions have, too.
#[derive(Clone)]
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    pub(super) fn start() -> Result<Self, BuildError> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        spawn("roomful-handlers", move || waiting.iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Calls `f` on the thread. A panic of it goes on in whoever awaits that.
    pub(super) fn call<R, F>(&self, f: F) -> impl Future<Output = Option<R>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        let (done, result) = oneshot::channel::<Result<R, Box<dyn Any + Send>>>();
        let job = move || {
            // Whoever asked may be gone.
            let _ = done.send(catch_unwind(AssertUnwindSafe(f)));
        };
        let _ = self.jobs.send(Box::new(job));
        async move {
            match result.await.ok()? {
                Ok(result) => Some(result),
                Err(panic) => resume_unwind(panic),
            }
        }
    }

    /// The same for what gives nothing.
    pub(super) fn run<F>(&self, f: F) -> impl Future<Output = ()> + Send + use<F>
    where
        F: FnOnce() + Send + 'static,
    {
        let called = self.call(f);
        async move { called.await.unwrap_or_default() }
    }
}

/// Starts the thread of a connection, which ends when nobody has the client any more and its connection
/// was closed.
pub(super) fn run(shared: Arc<Shared>) -> Result<(), BuildError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| BuildError::Thread(e.to_string()))?;
    {
        // The first runtime in which a client is used is its own.
        let _entered = runtime.enter();
        shared.runtime();
    }
    spawn("roomful-client", move || {
        let is_over = |state: &mut State| state.abandoned && !state.running && state.parting == 0;
        runtime.block_on(shared.until(is_over));
        shared.end();
    })
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<(), BuildError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(f);
    spawned.map(drop).map_err(|e| BuildError::Thread(e.to_string()))
}

/// Calls `f` on a thread of the runtime that is there for what may take long; `None` when the runtime ends
/// before.
pub(super) async fn aside<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    match tokio::task::spawn_blocking(f).await {
        Ok(result) => Some(result),
        Err(e) => e.try_into_panic().ok().map(|panic| resume_unwind(panic)),
    }
}

/// Waits on this thread. What is waited for needs no runtime: others bring it about.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = wait_at_most(Duration::MAX, future.as_mut()) {
            return output;
        }
    }
}

/// The same, for so long at most.
pub(super) fn wait_at_most<F: Future>(timeout: Duration, future: F) -> Option<F::Output> {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let begun = Instant::now();
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let left = timeout.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}
