//! [`Site`]: a server as HTTP sees it.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use roomful_proto::SessionId;

use crate::forwarding::{Finds, Forwarding, SessionBus};
use crate::ground::rate::throttle::Throttle;
use crate::http::hooks::ErrorFn;
use crate::http::refused::ConnectionError;
use crate::http::settings::HttpSettings;
use crate::node::core::Core;
use crate::transport::link::Link;

/// What all requests to a server share. The server is found through it.
pub(crate) struct Site {
    pub(crate) core: Arc<Core>,
    pub(crate) settings: HttpSettings,
    /// Where requests go whose session is not in this process. All nodes of the process share it.
    pub(crate) forwarding: Option<Arc<Forwarding>>,
    /// The node of this program that this one follows.
    leader: Option<Arc<Self>>,
    /// The other nodes of this program, which end with this one.
    followers: Mutex<Vec<Weak<Self>>>,
    on_error: Arc<RwLock<Option<ErrorFn>>>,
    /// The line in the log about a refused origin.
    pub(crate) origin_said: Throttle,
    /// The one about a page of another site that names no origin.
    pub(crate) site_said: Throttle,
    /// The one about a refused host.
    pub(crate) host_said: Throttle,
}

impl Site {
    pub(crate) fn new(
        core: Arc<Core>,
        settings: HttpSettings,
        bus: Option<&dyn SessionBus>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let finds: Weak<Self> = Weak::clone(this);
            let forwarding = bus.and_then(|bus| Forwarding::open(&core, finds, bus));
            Self { forwarding, ..Self::with(core, settings) }
        })
    }

    fn with(core: Arc<Core>, settings: HttpSettings) -> Self {
        Self {
            core,
            settings,
            forwarding: None,
            leader: None,
            followers: Mutex::default(),
            on_error: Arc::default(),
            origin_said: Throttle::default(),
            site_said: Throttle::default(),
            host_said: Throttle::default(),
        }
    }

    /// The same for another node of this process. It ends with this one.
    pub(crate) fn follow(self: &Arc<Self>, core: Arc<Core>) -> Arc<Self> {
        let leader = self.leader();
        let on_error = Arc::clone(&leader.on_error);
        let settings = leader.settings.clone();
        let known = Some(Arc::clone(&leader));
        let forwarding = leader.forwarding.clone();
        let with = Self::with(core, settings);
        let follower = Arc::new(Self { leader: known, on_error, forwarding, ..with });
        let mut followers = leader.followers.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(&follower));
        drop(followers);
        if leader.is_closing() {
            // Nobody would close it any more.
            drop(follower.begin_close());
        }
        follower
    }

    fn leader(self: &Arc<Self>) -> Arc<Self> {
        Arc::clone(self.leader.as_ref().unwrap_or(self))
    }

    /// This one, and those that follow it.
    pub(crate) fn all(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut followers = self.followers.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        let followers = followers.iter().filter_map(Weak::upgrade);
        [Arc::clone(self)].into_iter().chain(followers).collect()
    }

    /// The connection of a session, at whichever node of this program it is. A request may come to any of them.
    pub(crate) fn session(self: &Arc<Self>, id: &str) -> Option<Arc<Link>> {
        let own = self.sessions.by_id(id);
        own.or_else(|| self.leader().all().iter().find_map(|site| site.sessions.by_id(id)))
    }

    /// From now on tells this function of requests that are refused.
    pub(crate) fn set_on_error(&self, on_error: ErrorFn) {
        let _old = self.on_error.write().replace(on_error);
    }

    /// Tells whoever wants to know of a request that is refused.
    pub(crate) fn tell_error(&self, error: &ConnectionError<'_>) {
        let on_error = self.on_error.read().clone();
        if let Some(on_error) = on_error {
            self.guarded("the function of on_connection_error", || on_error(error));
        }
    }
}

impl Finds for Site {
    fn find(&self, session: SessionId) -> Option<(Arc<Core>, Arc<Link>)> {
        let found = |core: &Arc<Core>| Some((Arc::clone(core), core.sessions.by_id(&session)?));
        // Whoever takes part in a bus leads: those that follow it share its part.
        found(&self.core).or_else(|| {
            let followers = self.followers.lock().clone();
            followers.iter().filter_map(Weak::upgrade).find_map(|site| found(&site.core))
        })
    }
}

impl Deref for Site {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}
