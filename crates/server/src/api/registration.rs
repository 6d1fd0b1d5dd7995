//! How functions of the user's come into the table of a namespace, and what is said where that is likely a mistake:
//! one takes the place of another, or is for sockets that do not come.

use crate::api::namespace::Namespace;
use crate::namespace::erased::DataType;
use crate::namespace::table::Table;

impl<A: Send + Sync + 'static, U: Send + Sync + 'static> Namespace<A, U> {
    /// Registers a function that is given sockets of this namespace. What falls out of the table is dropped without
    /// its lock.
    pub(crate) fn add<R>(&self, function: &str, change: impl FnOnce(&mut Table) -> R) -> Option<R> {
        let wanted = DataType::of::<U>();
        let (fits, changed) = self.change(|table| (table.want(wanted), change(table)))?;
        if !fits {
            tracing::error!(
                namespace = ?self.core.name,
                function,
                wanted = wanted.name,
                "this function will not be called: another connect has taken the place of the one whose data it is \
                 for. Register it on what the last connect has given"
            );
        }
        Some(changed)
    }

    /// Registers one of which there can be only one.
    pub(crate) fn put<T>(
        &self,
        function: &str,
        change: impl FnOnce(&mut Table) -> Option<T>,
    ) -> &Self {
        let old = self.add(function, change);
        self.warn_replaced(function, old.flatten().is_some());
        self
    }

    /// Registers one of which there can be only one for each event.
    pub(crate) fn put_for<T>(
        &self,
        function: &str,
        event: &str,
        change: impl FnOnce(&mut Table, Box<[u8]>) -> Option<T>,
    ) -> &Self {
        let old = self.add(function, |table| change(table, event.as_bytes().into()));
        self.warn_replaced_for(function, event, old.flatten().is_some());
        self
    }

    pub(crate) fn warn_replaced_for(&self, function: &str, event: &str, replaced: bool) {
        if replaced && self.is_first_hand() {
            tracing::warn!(
                namespace = ?self.core.name,
                function,
                event,
                "a handler takes the place of another for the same event, which is not called any more"
            );
        }
    }

    pub(crate) fn warn_replaced(&self, function: &str, replaced: bool) {
        if replaced && self.is_first_hand() {
            tracing::warn!(
                namespace = ?self.core.name,
                function,
                "a function takes the place of another, which is not called any more"
            );
        }
    }

    /// Whether what is in the table was registered here: a child begins with the functions of its parent, and it is
    /// no mistake to give it others.
    fn is_first_hand(&self) -> bool {
        self.core.lineage().is_none()
    }
}
