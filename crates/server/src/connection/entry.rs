//! How a client comes into a namespace: [`Visitor`] is who has been there before, [`decide`] says
//! whether it may come in, [`Entrance`] makes it a socket, a new one or its own.
//!
//! CONNECT is answered before the socket can be found: the answer goes into the outbox before the socket enters its
//! rooms, so no event overtakes it.
//!
//! The namespace decides about a client before anything of its old connection is touched. A secret alone gives nobody a
//! socket: the visitor must be the same, as `same_visitor` says. Without that function the auth payload, the cookies,
//! `Authorization` and the query must be the same, byte by byte.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::Revision;
use roomful_proto::{Letter, Parcel, RecoveryId, SocketId};

use crate::ground::errors::refusal::Refusal;
use crate::ground::parser::parcel;
use crate::ground::random;
use crate::ground::target::Reliability;
use crate::namespace::adapter::{EventLog, Line, Message};
use crate::namespace::erased::Data;
use crate::namespace::family::standing::{Door, Whose};
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::recovery::{
    AuthDigest, Beginning, Claim, Guard, KeptSession, Key, Newcomer, NotRecovered, Recovery,
    Search, credentials,
};
use crate::namespace::socket_core::{Entrance, Member, SocketCore};
use crate::namespace::table::Table;
use crate::transport::link::{Link, Pushed};

/// How long a client that comes back waits for the end of its old connection, if that has not ended by
/// itself.
const VACATE_TIMEOUT: Duration = Duration::from_secs(2);

/// When it is looked again whether another node has given up a socket that was connected to it.
const VACATE_PAUSES: [Duration; 3] =
    [Duration::from_millis(30), Duration::from_millis(90), Duration::from_millis(200)];

/// Whether a client that asks to come in has been there before.
#[derive(Default)]
pub(crate) struct Visitor {
    /// What it said about itself; only where sockets can be recovered.
    auth: Option<AuthDigest>,
    /// The socket that it wants back.
    claim: Option<Claim>,
    /// What it has missed as that, or why it does not get it back.
    search: Option<Result<Box<Search>, NotRecovered>>,
    /// What is to be remembered if it gets its socket back, where nobody was asked.
    kept: Option<Data>,
    /// Whether it is who it was, if that was decided.
    same: Option<bool>,
    /// Whose `connect` function has decided about it, or would have if that was not skipped.
    asked: Option<Whose>,
    /// It was let in since it has its socket back, and for nothing else.
    skipped: bool,
    /// The socket as the engine has kept it, where it was taken out of that.
    fetched: Option<Fetched>,
}

/// A socket that was taken out of the engine. It is given back when this is dropped and the socket still waits: its client
/// has gone in the middle, was not let in, or is somebody else. Not to be dropped while the journal is locked.
struct Fetched {
    namespace: Arc<NamespaceCore>,
    pid: RecoveryId,
    json: String,
    /// It waits at this node now.
    is_here: bool,
}

impl Fetched {
    /// It is not to be given back.
    fn forget(mut self) {
        self.json = String::new();
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if let Some(journal) = self.namespace.journal.as_ref().filter(|_| !self.json.is_empty())
            && let Some(log) = self.namespace.line().and_then(Line::log)
            && (!self.is_here || journal.gives_back(&self.pid))
        {
            log.keep(&self.pid, std::mem::take(&mut self.json), journal.window());
        }
    }
}

/// The socket that a client gets.
pub(crate) struct Identity {
    id: SocketId,
    /// Of a new socket, or that with which it comes back.
    recovery: RecoveryId,
    data: Data,
    /// What was remembered of it until now: dropped when no lock is held.
    replaced: Option<Data>,
    /// What was looked for, and whence it came; dropped when no lock is held, too.
    search: Option<Box<Search>>,
    fetched: Option<Fetched>,
    rooms: Vec<Arc<str>>,
    missed: Vec<Parcel>,
    beginning: Beginning,
    sent: u64,
    /// How long it may stay; `None` for ever.
    life: Option<Duration>,
}

impl Visitor {
    /// Takes the claim out of the auth payload.
    pub(crate) fn new(
        namespace: &NamespaceCore,
        link: &Link,
        auth: Option<Bytes>,
    ) -> (Self, Option<Bytes>) {
        let Some(recovery) = namespace.recovery.as_ref().filter(|_| namespace.journal.is_some())
        else {
            return (Self::default(), auth);
        };
        let (claim, auth) = Claim::take(auth);
        let registry = namespace.registry();
        let own = registry.as_ref().and_then(|registry| registry.config.own_cookie.as_deref());
        let counts = |name: &str| own != Some(name) && recovery.counts(name);
        let credentials = credentials(&link.handshake, counts);
        let digest = AuthDigest::new(auth.as_deref(), &credentials);
        (Self { auth: Some(digest), claim, ..Self::default() }, auth)
    }

    /// Whether it wants a socket back.
    pub(crate) const fn is_returning(&self) -> bool {
        self.claim.is_some()
    }

    fn newcomer(&self, link: &Arc<Link>, data: &Data) -> Newcomer {
        Newcomer::new(link, self.auth, Arc::clone(data), self.same, self.asked.clone())
    }

    /// The data of the socket that it wants back, where it is known what that is.
    fn old_data(&self, namespace: &NamespaceCore) -> Option<Data> {
        let (claim, journal) = self.claim.as_ref().zip(namespace.journal.as_ref())?;
        journal.lock().data(claim).filter(|data| !data.is::<Unknown>())
    }

    /// Takes the socket that it wants back out of the engine, which keeps those that were lost at any node, unless it is
    /// known here.
    async fn fetch(&mut self, link: &Arc<Link>, namespace: &Arc<NamespaceCore>) {
        let (Some(claim), Some(journal)) = (&self.claim, &namespace.journal) else {
            return;
        };
        let Some(log) =
            namespace.line().and_then(Line::log).filter(|_| !journal.lock().knows(claim))
        else {
            return;
        };
        let Some(json) = self.take(claim, namespace, log).await else {
            return;
        };
        let Some(kept) = KeptSession::read(&json) else {
            tracing::debug!("a session that the engine has kept cannot be read");
            return;
        };
        let data = namespace.restored(kept.data()).unwrap_or_else(|| Arc::new(Unknown));
        let newcomer = self.newcomer(link, &data);
        let (namespace, pid) = (Arc::clone(namespace), claim.id);
        // Until it is here, too: who gives up meanwhile leaves it to another attempt.
        let mut fetched = Fetched { namespace, pid, json, is_here: false };
        match journal.import(kept, claim, &newcomer, log).await {
            Ok(()) => {
                fetched.is_here = true;
                self.fetched = Some(fetched);
            }
            Err(why) => {
                fetched.forget();
                self.search = Some(Err(why));
            }
        }
    }

    /// Takes a session out of the engine. Where that does not have it, the socket may still be connected to another node,
    /// which has not noticed yet that its client is gone.
    async fn take(
        &self,
        claim: &Claim,
        namespace: &NamespaceCore,
        log: &dyn EventLog,
    ) -> Option<String> {
        let taken = log.take(&claim.id).await;
        if taken.is_some() || log.reached().is_none() {
            return taken;
        }
        let (line, auth) = namespace.line().zip(self.auth)?;
        let (socket, visitor) = (Key::of(claim).to_string(), auth.to_string());
        line.send(Message::Vacate { socket, visitor });
        for pause in VACATE_PAUSES {
            tokio::time::sleep(pause).await;
            let taken = log.take(&claim.id).await;
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// The same, for whoever is not to carry it: most do not come back.
    async fn fetch_apart(&mut self, link: &Arc<Link>, namespace: &Arc<NamespaceCore>) {
        if self.claim.is_some() {
            Box::pin(self.fetch(link, namespace)).await;
        }
    }

    /// That data, if the socket is to be given back without anybody being asked.
    fn expected_data(&self, link: &Arc<Link>, namespace: &NamespaceCore) -> Option<Data> {
        let (claim, journal) = self.claim.as_ref().zip(namespace.journal.as_ref())?;
        let skips = namespace.recovery.as_ref().is_some_and(Recovery::skips_connect);
        let newcomer = self.newcomer(link, &nothing());
        skips.then(|| journal.lock().expects(claim, &newcomer)).flatten()
    }

    /// Makes everything ready to give it its socket back, if it wants one; `false` if that fails. Only for
    /// who was let in: the old connection ends.
    async fn prepare(&mut self, link: &Arc<Link>, namespace: &Arc<NamespaceCore>) -> bool {
        // Apart: large, and most decisions are about somebody who does not come back.
        Box::pin(self.search(link, namespace)).await
    }

    async fn search(&mut self, link: &Arc<Link>, namespace: &Arc<NamespaceCore>) -> bool {
        let Some((claim, journal)) = self.claim.as_ref().zip(namespace.journal.as_ref()) else {
            return false;
        };
        if self.search.is_some() {
            // It could not be taken over from the engine.
            return false;
        }
        if journal.vacate(claim, &self.newcomer(link, &nothing()), VACATE_TIMEOUT).await {
            // The engine has it since then, where there is one that keeps it.
            self.fetch(link, namespace).await;
        }
        let Some((claim, journal)) = self.claim.as_ref().zip(namespace.journal.as_ref()) else {
            return false;
        };
        // What may be sent to it now is another matter.
        let found = journal.search(claim, &self.newcomer(link, &nothing())).await;
        self.search.get_or_insert(found.map(Box::new)).is_ok()
    }
}

/// What is remembered of a socket of another node where nobody can tell what it was.
struct Unknown;

/// What is remembered where there is nothing to remember.
fn nothing() -> Data {
    Arc::new(())
}

/// Whether a client may come in, and what is to be remembered of it.
pub(crate) async fn decide(
    link: Arc<Link>,
    namespace: Arc<NamespaceCore>,
    door: Option<Door>,
    table: Arc<Table>,
    mut visitor: Visitor,
    auth: Option<Bytes>,
) -> (Result<Data, Refusal>, Visitor) {
    let Some(Door { connect, whose }) = door else {
        // Nobody is asked here who anybody is.
        visitor.fetch_apart(&link, &namespace).await;
        visitor.kept = visitor.old_data(&namespace);
        visitor.prepare(&link, &namespace).await;
        return (Ok(nothing()), visitor);
    };
    visitor.asked = Some(whose);
    if let Some(old) = visitor.expected_data(&link, &namespace)
        && visitor.prepare(&link, &namespace).await
    {
        visitor.skipped = true;
        return (Ok(old), visitor);
    }
    let Some(deciding) = connect(&link, &namespace, auth) else {
        return (Err(Refusal::new("Internal error")), visitor);
    };
    let mut new = match deciding.await {
        Ok(new) => new,
        Err(refusal) => return (Err(refusal), visitor),
    };
    visitor.fetch_apart(&link, &namespace).await;
    let old = visitor.old_data(&namespace);
    if let (Some(same), Some(old)) = (&table.same, &old) {
        visitor.same = Some(same(old, &new));
    }
    if visitor.prepare(&link, &namespace).await
        && let (Some(carry), Some(old)) = (&table.carry, &old)
    {
        carry(old, &mut new);
    }
    (Ok(new), visitor)
}

impl Entrance {
    /// Makes the client a socket, and tells it so before anything else can be sent to it. What it has
    /// missed follows: sent before, as other servers do, an official client would keep it for when it
    /// is connected, and hear it twice if its connection was lost just then.
    ///
    /// `None` when it was to have its socket back, nobody else was asked whether it may come in, and now
    /// it cannot have it.
    pub(crate) fn admit(
        self,
        link: &Arc<Link>,
        mut new: Identity,
        visitor: Visitor,
    ) -> Option<Arc<SocketCore>> {
        let namespace = Arc::clone(&self.namespace);
        // Until the socket is in its rooms: nothing is sent between what was missed and what comes.
        let mut journal = namespace.journal.as_ref().map(|journal| journal.lock());
        if let Some(journal) = &mut journal {
            new.enter(journal, link, visitor)?;
        }
        let recovery = journal.as_ref().map(|_| new.recovery);
        let connected = match link.dialect.revision {
            Revision::V4 => Letter::connected(&namespace.name, new.id, recovery),
            Revision::V3 => Letter::connected_v2(&namespace.name),
        };
        match parcel(connected, namespace.parser.as_ref()) {
            Ok(connected) => push(link, &namespace, connected),
            Err(error) => namespace.note_unwritten("an accepted connection", &error),
        }
        for missed in new.missed {
            push(link, &namespace, missed);
        }
        let socket = Arc::new(SocketCore::new(
            new.id,
            Arc::clone(link),
            self,
            new.data,
            new.beginning,
            new.sent,
        ));
        if let Some(life) = new.life {
            // Before anybody can find it, and say otherwise.
            socket.expire_after(life);
        }
        namespace.rooms.enter(new.id, Member::new(&socket));
        for room in &new.rooms {
            // It was in them before, so nobody is asked again.
            let _ = namespace.rooms.join(new.id, room, usize::MAX);
        }
        drop(journal);
        namespace.tell_rooms();
        if let Some(recovery) = &namespace.recovery {
            recovery.keep_tidy();
        }
        namespace.note_beginning(new.beginning);
        Some(socket)
    }
}

impl Identity {
    /// A new one; `None` when the system gives no randomness for it.
    pub(crate) fn new(data: Data) -> Option<Self> {
        Some(Self {
            id: SocketId::from_random(random::random()?),
            recovery: RecoveryId::from_random(random::random()?),
            data,
            replaced: None,
            search: None,
            fetched: None,
            rooms: Vec::new(),
            missed: Vec::new(),
            beginning: Beginning::New,
            sent: 0,
            life: None,
        })
    }

    /// Enters the journal: as the socket that is claimed, if that is given back, and as a new one
    /// otherwise; `None` when it is not, and was let in only for that.
    fn enter(
        &mut self,
        journal: &mut Guard<'_>,
        link: &Arc<Link>,
        mut visitor: Visitor,
    ) -> Option<()> {
        let (skipped, kept) = (visitor.skipped, visitor.kept.take());
        self.fetched = visitor.fetched.take();
        let returner = visitor.newcomer(link, kept.as_ref().unwrap_or(&self.data));
        let newcomer = visitor.newcomer(link, &self.data);
        self.beginning = match (visitor.claim, visitor.search) {
            (None, _) => Beginning::New,
            (Some(claim), Some(search)) => {
                let recovered = search.and_then(|search| {
                    journal.recover(&claim, &returner, self.search.insert(search))
                });
                match recovered {
                    Ok(recovered) => {
                        self.data = returner.data;
                        self.id = recovered.id;
                        self.recovery = claim.id;
                        self.replaced = Some(recovered.data);
                        self.rooms = recovered.rooms;
                        self.sent = recovered.sent;
                        self.life = recovered.life;
                        let missed = recovered.missed.len();
                        self.missed = recovered.missed;
                        self.beginning = Beginning::Recovered { missed };
                        return Some(());
                    }
                    Err(_) if skipped => return None,
                    Err(why) => Beginning::Refused(why),
                }
            }
            (Some(_), None) => Beginning::Refused(NotRecovered::Unknown),
        };
        // Perhaps nobody else has it any more, and its end is a function of the user's.
        self.replaced = kept;
        journal.enter(self.id, &self.recovery, &newcomer);
        self.sent = journal.last();
        Some(())
    }
}

fn push(link: &Arc<Link>, namespace: &NamespaceCore, parcel: Parcel) {
    if link.push(parcel, Reliability::Reliable) == Pushed::Overflow {
        namespace.count(|metrics| &metrics.slow_peers);
    }
}
