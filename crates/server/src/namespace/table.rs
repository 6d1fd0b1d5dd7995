//! [`Table`]: the functions of a namespace.
//!
//! It is one table for all sockets. A socket keeps the table that was there when it came, so looking
//! up a handler takes no lock, and a handler that is registered later counts for those who come later.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::{Args, EncodeError, EventError, Reason};

use crate::ground::config::Config;
use crate::ground::errors::refusal::Refusal;
use crate::namespace::admission::BeforeJoin;
use crate::namespace::erased::{Data, DataType, Erased, Started};
use crate::namespace::expiry::OnExpire;
use crate::namespace::listeners::{Extras, Once};
use crate::namespace::namespace_core::NamespaceCore;
use crate::namespace::socket_core::SocketCore;
use crate::transport::link::Link;

/// The functions of a namespace.
#[derive(Clone, Default)]
pub(crate) struct Table {
    /// `None` lets everyone in.
    pub(crate) connect: Option<ConnectFn>,
    /// What that remembers of who comes from now on.
    pub(crate) given: DataType,
    /// What the function wants that was registered last, of those that want anything.
    pub(crate) wanted: DataType,
    /// Whether that is the program's own: in a child, whose parent has one too, and where the program has
    /// claimed the name. It stands here, so that nobody can take a table without it.
    pub(crate) own_door: bool,
    /// Whether who comes back is who was lost.
    pub(crate) same: Option<Same>,
    /// What goes over from the data of who was lost.
    pub(crate) carry: Option<Carry>,
    pub(crate) on_connect: Option<Greet>,
    pub(crate) on_disconnecting: Option<Parting>,
    pub(crate) on_disconnect: Option<Parting>,
    pub(crate) events: HashMap<Box<[u8]>, Erased, foldhash::fast::RandomState>,
    pub(crate) other: Option<Other>,
    pub(crate) on_slow: Option<Slow>,
    pub(crate) on_error: Option<OnError>,
    /// Asks whether a socket may stay whose time is over.
    pub(crate) on_expire: Option<OnExpire>,
    /// Decide whether a socket may join a room.
    pub(crate) before_join: Vec<BeforeJoin>,
    /// What else happens to an event.
    pub(crate) extras: Option<Arc<Extras>>,
    /// What other nodes may see of the data of a socket.
    pub(crate) share_data: Option<ShareData>,
    /// Makes data of that again, for a socket that was lost at another node.
    pub(crate) restore_data: Option<RestoreData>,
    /// For what other nodes send to this one.
    pub(crate) server_side: HashMap<Box<str>, ServerSide>,
}

/// Handlers that are in a table no more. They are functions of the user's, and so to be dropped without
/// any lock.
pub(crate) struct Removed {
    handler: Option<Erased>,
    once: Option<Arc<Once>>,
}

impl Removed {
    /// Whether there was any.
    pub(crate) const fn is_some(&self) -> bool {
        self.handler.is_some() || self.once.is_some()
    }
}

impl Table {
    /// One without functions, with the flow of events of the server.
    pub(crate) fn new(config: &Config) -> Self {
        let mut table = Self::default();
        if config.event_flow.is_set() {
            table.extras_mut().flow = config.event_flow.clone();
        }
        table
    }

    /// Notes that a function is for sockets of that data, if it is for any; `false` when those that come have
    /// other data.
    pub(crate) fn want(&mut self, data: DataType) -> bool {
        if !data.reads(DataType::default()) {
            self.wanted = data;
        }
        data.reads(self.given)
    }

    /// Notes what is remembered of who comes from now on; `false` when there are functions that are for sockets of
    /// other data.
    pub(crate) fn give(&mut self, data: DataType) -> bool {
        self.given = data;
        self.wanted.reads(data)
    }

    /// Removes the handlers of an event, and gives them.
    pub(crate) fn off(&mut self, event: &str) -> Removed {
        let name = event.as_bytes();
        let heard = self.extras.as_ref().is_some_and(|extras| extras.once.contains_key(name));
        let once = if heard { self.extras_mut().once.remove(name) } else { None };
        Removed { handler: self.events.remove(name), once }
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        Arc::make_mut(self.extras.get_or_insert_default())
    }
}

pub(crate) type ConnectFn =
    Arc<dyn Fn(&Arc<Link>, &Arc<NamespaceCore>, Option<Bytes>) -> Option<Deciding> + Send + Sync>;
pub(crate) type Deciding = Pin<Box<dyn Future<Output = Result<Data, Refusal>> + Send>>;
pub(crate) type Greet = Arc<dyn Fn(&Arc<SocketCore>) -> Option<Started> + Send + Sync>;
pub(crate) type Parting = Arc<dyn Fn(&Arc<SocketCore>, Reason) -> Option<Started> + Send + Sync>;
pub(crate) type Same = Arc<dyn Fn(&Data, &Data) -> bool + Send + Sync>;
pub(crate) type Carry = Arc<dyn Fn(&Data, &mut Data) + Send + Sync>;
pub(crate) type Slow = Arc<dyn Fn(&Arc<SocketCore>, usize) + Send + Sync>;
pub(crate) type OnError = Arc<dyn Fn(&Arc<SocketCore>, &str, &EventError) + Send + Sync>;
pub(crate) type ShareData = Arc<dyn Fn(&Data) -> serde_json::Value + Send + Sync>;
pub(crate) type RestoreData = Arc<dyn Fn(serde_json::Value) -> Option<Data> + Send + Sync>;
pub(crate) type ServerSide = Arc<dyn Fn(Args) -> ServerSideAnswer + Send + Sync>;
pub(crate) type ServerSideAnswer = Pin<Box<dyn Future<Output = Result<Args, EncodeError>> + Send>>;
pub(crate) type Other =
    Arc<dyn Fn(&Arc<SocketCore>, String, Args) -> Option<Started> + Send + Sync>;
