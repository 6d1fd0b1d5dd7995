//! [`Books`]: what handlers and clients write down about each other, to be compared.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use roomful::{Reason, SocketId};

/// The books of one server. All but the [faults](Self::faults) are closed after each wave.
#[derive(Default)]
pub struct Books {
    /// The next number of each room, by namespace and room. Whoever holds a number is the only one who
    /// sends to that room, or lets somebody in or out.
    numbers: Mutex<HashMap<String, Arc<Mutex<u64>>>>,
    accounts: Mutex<HashMap<SocketId, Account>>,
    /// Clients of whom some sockets are not known to themselves: they were cut while they joined, or
    /// break rules.
    vague: Mutex<HashSet<u64>>,
    tally: Mutex<BTreeMap<&'static str, u64>>,
    faults: Mutex<Vec<String>>,
}

/// One socket, as its client and as its server see it.
#[derive(Default)]
struct Account {
    client: u64,
    came: usize,
    /// Why it ended, each time that it did.
    ends: Vec<Reason>,
    /// Why its client thinks that it has ended.
    expected: Vec<&'static [Reason]>,
}

impl Books {
    /// The lock around the next number of a room; `*` is the room of everyone.
    pub fn number(&self, namespace: &str, room: &str) -> Arc<Mutex<u64>> {
        Arc::clone(self.numbers.lock().entry(format!("{namespace} {room}")).or_default())
    }

    pub fn count(&self, what: &'static str) {
        self.count_all(what, 1);
    }

    pub fn count_all(&self, what: &'static str, count: u64) {
        *self.tally.lock().entry(what).or_default() += count;
    }

    /// Notes what must not be.
    pub fn fault(&self, fault: String) {
        self.faults.lock().push(fault);
    }

    pub fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut self.faults.lock())
    }

    pub fn came(&self, id: SocketId, client: u64) {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry(id).or_default();
        account.client = client;
        account.came += 1;
    }

    pub fn ended(&self, id: SocketId, reason: Reason) {
        self.accounts.lock().entry(id).or_default().ends.push(reason);
    }

    /// What the client of a socket thinks why it has ended.
    pub fn expect(&self, id: SocketId, reasons: &'static [Reason]) {
        self.accounts.lock().entry(id).or_default().expected.push(reasons);
    }

    /// Why the latest end of a socket was that its client has not heard of before.
    pub fn end_of(&self, id: SocketId) -> Option<Reason> {
        let accounts = self.accounts.lock();
        let account = accounts.get(&id)?;
        account.ends.get(account.expected.len()).copied()
    }

    /// Whose socket it is.
    pub fn client_of(&self, id: SocketId) -> Option<u64> {
        self.accounts.lock().get(&id).map(|account| account.client)
    }

    /// Whether a socket has ended.
    pub fn has_ended(&self, id: SocketId) -> bool {
        self.accounts.lock().get(&id).is_some_and(|account| !account.ends.is_empty())
    }

    /// Some sockets of this client may not be known to itself.
    pub fn is_vague(&self, client: u64) {
        self.vague.lock().insert(client);
    }

    /// Sockets that came and have not ended.
    pub fn present(&self) -> usize {
        self.accounts.lock().values().map(|a| a.came.saturating_sub(a.ends.len())).sum()
    }

    /// Compares what clients and server say about the ends of sockets, and begins new books; gives what
    /// was counted.
    pub fn close(&self) -> BTreeMap<&'static str, u64> {
        let vague = std::mem::take(&mut *self.vague.lock());
        for (id, account) in std::mem::take(&mut *self.accounts.lock()) {
            let Account { client, came, ends, expected } = account;
            if came != ends.len() {
                self.fault(format!(
                    "client {client}, socket {id}: came {came} times, ended {ends:?}"
                ));
            }
            for reason in &ends {
                self.count(reason.as_str());
            }
            let agree = ends.len() == expected.len()
                && ends.iter().zip(&expected).all(|(end, expected)| expected.contains(end));
            if !agree && !vague.contains(&client) {
                self.fault(format!(
                    "client {client}, socket {id}: ended {ends:?}, and its client expected {expected:?}"
                ));
            }
        }
        self.numbers.lock().clear();
        self.numbers.lock().shrink_to_fit();
        std::mem::take(&mut self.tally.lock())
    }
}
