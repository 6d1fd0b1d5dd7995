//! [`Worker`] and [`run`]: the two threads of a client; [`wait`]: how any other thread waits for them.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

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

/// Waits on this thread. What is waited for needs no runtime: others bring it about.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
