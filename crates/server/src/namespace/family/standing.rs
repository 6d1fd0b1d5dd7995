//! [`Standing`]: whose a namespace is, the program's or a parent's.
//!
//! ```text
//! Open ──▶ Own                  the program has registered something on it
//!   └────▶ Adopting ──▶ Child   a parent stands for it
//! ```
//!
//! A namespace that the program has asked for by its name is open: it may still turn out to be one that a
//! parent stands for. Until that is known it lets nobody in past the `connect` function of that parent.
//!
//! No way leads round the `connect` function of a parent. A namespace that the program asks for by its name is a child
//! at once where a pattern fits. Where only a function can tell, it is open. The parents are then asked with the first
//! client, and no client comes in before one of them has the namespace, or the program has claimed it by registering
//! something on it, under the lock of its table. A client that was let in by one door is not known to another
//! ([`Whose`]). A child has no copy of the function: it asks its parent for it ([`NamespaceCore::door`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::namespace::family::parents::Stands;
use crate::namespace::family::pattern::Params;
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::table::{ConnectFn, Table};

/// Whose a namespace is.
#[derive(Debug)]
pub(crate) struct Standing(AtomicU8);

const OPEN: u8 = 0;
const OWN: u8 = 1;
const ADOPTING: u8 = 2;
const CHILD: u8 = 3;

impl Standing {
    /// Of the program, whoever asks.
    pub(crate) const fn own() -> Self {
        Self(AtomicU8::new(OWN))
    }

    pub(crate) const fn open() -> Self {
        Self(AtomicU8::new(OPEN))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire) == OPEN
    }

    pub(crate) fn is_own(&self) -> bool {
        self.0.load(Ordering::Acquire) == OWN
    }

    /// Whether it is known whose it is.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.0.load(Ordering::Acquire), OWN | CHILD)
    }

    /// The program has it from now on; `false` when a parent was first.
    fn claim(&self) -> bool {
        self.leave_open(OWN)
    }

    /// A parent is about to have it; `false` when somebody else was first.
    pub(crate) fn adopt(&self) -> bool {
        self.leave_open(ADOPTING)
    }

    /// A parent has it, and everybody may see that.
    pub(crate) fn adopted(&self) {
        self.0.store(CHILD, Ordering::Release);
    }

    fn leave_open(&self, to: u8) -> bool {
        self.0.compare_exchange(OPEN, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// How a handle of a namespace was come by, which says what may be registered with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// By its name, as the program's own.
    Named,
    /// As one that has just been made, as long as that is being told. Then it is as one that is found.
    New,
    /// As one that is there, whoever it is of.
    Found,
}

/// What follows from that something is to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Refused,
    AsEver,
    /// The namespace is the program's own from now on.
    Claimed,
}

/// Of which parent a child is.
pub(crate) struct Lineage {
    pub(crate) parent: Arc<NamespaceCore>,
    /// What stands in the gaps of its name.
    pub(crate) params: Params,
}

/// What decides who may join.
pub(crate) struct Door {
    pub(crate) connect: ConnectFn,
    pub(crate) whose: Whose,
}

/// Whose a door is. Who was let in by one is not known to that of another, which may have the name by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    family: Option<Arc<str>>,
    own: bool,
}

impl NamespaceCore {
    /// Decides who may join; of a child the function that its parent has now, so that one that comes
    /// late leaves no child without it.
    pub(crate) fn door(&self, table: &Table) -> Option<Door> {
        let connect = match self.lineage() {
            Some(lineage) if !table.own_door => lineage.parent.table().connect.clone(),
            _ => table.connect.clone(),
        }?;
        let whose = Whose { family: self.its_family().cloned(), own: table.own_door };
        Some(Door { connect, whose })
    }

    /// Changes the functions, or something that goes with them, where that may be done with such a handle;
    /// where it may not, that is said. An open namespace becomes the program's own with it: under the lock
    /// of the table, so that nobody comes in between.
    pub(crate) fn register<R>(
        self: &Arc<Self>,
        hold: Hold,
        change: impl FnOnce(&mut Arc<Table>) -> R,
    ) -> Option<R> {
        let core = self.registry().filter(|_| self.standing.is_open());
        // Before the lock is taken, since the list of parents has one of its own.
        let stands = core.as_ref().map(|core| core.parents().stands(&self.name));
        let mut taken = Taken::Refused;
        let changed = self.change_shared(|table| {
            taken = self.take(hold, stands.as_ref());
            if taken == Taken::Claimed {
                Arc::make_mut(table).own_door = true;
            }
            (taken != Taken::Refused).then(|| change(table))
        });
        match (taken, core) {
            (Taken::Refused, _) => self.refuse_registration(),
            (Taken::Claimed, Some(core)) => {
                core.keep(self);
                if let Some(journal) = &self.journal {
                    journal.leave_family();
                }
                if matches!(stands, Some(Stands::Perhaps)) {
                    self.warn_without_door("of_matching");
                }
            }
            (Taken::AsEver | Taken::Claimed, _) => {}
        }
        changed
    }

    /// Whether something may be registered, where `stands` says who would have it if it is open.
    fn take(&self, hold: Hold, stands: Option<&Stands>) -> Taken {
        let is_new = hold == Hold::New && self.is_new();
        match stands {
            Some(Stands::Surely | Stands::Parent(..)) if self.standing.is_open() && !is_new => {
                Taken::Refused
            }
            Some(_) if !is_new && self.standing.claim() => Taken::Claimed,
            // Before it has the functions of its parent, which take the place of all that there are.
            _ if self.is_adopted() && (hold == Hold::Named || self.lineage().is_none()) => {
                Taken::Refused
            }
            _ => Taken::AsEver,
        }
    }

    pub(crate) fn is_adopted(&self) -> bool {
        matches!(self.standing.0.load(Ordering::Acquire), ADOPTING | CHILD)
    }

    #[cold]
    fn refuse_registration(&self) {
        self.count(|metrics| &metrics.registrations_refused);
        tracing::error!(
            namespace = ?self.name,
            "nothing is registered: a pattern or function stands for this namespace. Register it on what \
             of_pattern or of_matching gives, in on_new_namespace, or before the pattern is added"
        );
    }

    /// Says that the program's own namespace has no door, where a parent might have had one.
    pub(crate) fn warn_without_door(&self, parent: &str) {
        if self.table().connect.is_none() {
            tracing::warn!(
                namespace = ?self.name,
                parent,
                "this namespace is the program's own, and the connect function of the parent is not asked \
                 about it: everybody may join, unless it gets one of its own"
            );
        }
    }
}

#[cfg(test)]
impl Whose {
    pub(crate) const fn for_tests() -> Self {
        Self { family: None, own: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hello, Refusal, Server};

    /// Who sees that a namespace is the program's own finds what made it so.
    #[test]
    fn a_name_is_claimed_together_with_its_door() {
        let io = Server::new();
        let handle = io.of("/a");
        let (saw, seen) = std::sync::mpsc::channel();
        let client = std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                while !handle.core.standing.is_settled() {
                    std::thread::yield_now();
                }
                saw.send(()).unwrap();
                handle.core.table()
            });
            handle.core.register(Hold::Named, |table| {
                seen.recv().unwrap();
                Arc::make_mut(table).connect = Some(Arc::new(|_, _, _| None));
            });
            client.join().unwrap()
        });
        assert!(client.connect.is_some());
    }

    async fn refuses(_: Hello) -> Result<(), Refusal> {
        Err(Refusal::new("no"))
    }

    #[test]
    fn who_came_before_a_child_had_a_door_of_its_own_finds_that_of_its_parent() {
        let io = Server::new();
        let parent = io.of_pattern("/dyn-{id}");
        let _handle = io.of("/dyn-1");
        let child = io.find("/dyn-1").map(|found| found.core).unwrap();
        drop(parent.connect(refuses));
        let before = child.table();
        drop(io.find("/dyn-1").map(|found| found.connect(refuses)));
        let door = |table: &Table| child.door(table).unwrap().connect;
        assert!(Arc::ptr_eq(&door(&before), &door(&parent.core.table())));
        assert!(!Arc::ptr_eq(&door(&child.table()), &door(&before)));
    }
}
