//! [`Cork`]: what a turn sends to other clients is written when the turn ends.
//!
//! A turn that sends several events to many clients writes to each client once, with all of them, and wakes nobody for
//! it. The thread that has the parcels and the lists in its caches writes itself, to up to 256 clients. The others are
//! left to tasks, at most one for each thread of the runtime. Such a task lets other tasks run after each 256 clients.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::transport::link::Link;

/// Clients that are written to before others get their turn.
const LINKS_PER_TURN: usize = 256;
/// Places of the list that are kept for the next turn.
const SPARE_PLACES: usize = 4 * LINKS_PER_TURN;

thread_local! {
    static OPEN: RefCell<State> = const { RefCell::new(State { open: false, links: Vec::new() }) };
}

struct State {
    open: bool,
    /// Whom something waits for, each once.
    links: Vec<Arc<Link>>,
}

/// While it lives, what this thread sends waits; then it is written.
pub(crate) struct Cork {
    /// There was none before it.
    outermost: bool,
}

impl Cork {
    pub(crate) fn open() -> Self {
        Self { outermost: OPEN.with_borrow_mut(|state| !std::mem::replace(&mut state.open, true)) }
    }
}

impl Drop for Cork {
    fn drop(&mut self) {
        if !self.outermost {
            return;
        }
        let mut links = OPEN.with_borrow_mut(|state| {
            state.open = false;
            std::mem::take(&mut state.links)
        });
        if links.is_empty() {
            return;
        }
        leave_to_others(&mut links);
        for link in links.drain(..) {
            link.uncork();
        }
        if links.capacity() <= SPARE_PLACES {
            OPEN.with_borrow_mut(|state| state.links = links);
        }
    }
}

/// Leaves all but the first clients to tasks of their own: as many as there are threads to run them,
/// each of which lets others have their turns between two pieces. A task for each piece would stand
/// before everybody who comes meanwhile, all of them at once.
fn leave_to_others(links: &mut Vec<Arc<Link>>) {
    if links.len() <= LINKS_PER_TURN {
        return;
    }
    let Ok(runtime) = Handle::try_current() else {
        return links.drain(LINKS_PER_TURN..).for_each(|link| link.leave_corked());
    };
    let rest = links.len() - LINKS_PER_TURN;
    let writers = runtime.metrics().num_workers().min(rest.div_ceil(LINKS_PER_TURN)).max(1);
    for share in links[LINKS_PER_TURN..].chunks(rest.div_ceil(writers)) {
        drop(runtime.spawn(Chunk(share.to_vec()).write()));
    }
    links.truncate(LINKS_PER_TURN);
}

/// Clients that a task will write to.
struct Chunk(Vec<Arc<Link>>);

impl Chunk {
    async fn write(mut self) {
        while !self.0.is_empty() {
            let piece = self.0.len().saturating_sub(LINKS_PER_TURN);
            self.0.drain(piece..).for_each(|link| link.uncork());
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Chunk {
    /// A task that never ran leaves nobody without what was sent to them.
    fn drop(&mut self) {
        self.0.drain(..).for_each(|link| link.leave_corked());
    }
}

/// Has the open cork of this thread write for this client; `false` when none is open.
pub(crate) fn add(link: &Arc<Link>) -> bool {
    OPEN.with_borrow_mut(|state| {
        if state.open {
            state.links.push(Arc::clone(link));
        }
        state.open
    })
}

pub(crate) fn is_open() -> bool {
    OPEN.with_borrow(|state| state.open)
}
