//! [`Site`]: a server as HTTP sees it.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::ground::rate::throttle::Throttle;
use crate::http::hooks::ErrorFn;
use crate::http::refused::ConnectionError;
use crate::http::settings::HttpSettings;
use crate::node::core::Core;

/// What all requests to a server share. The server is found through it.
pub(crate) struct Site {
    pub(crate) core: Arc<Core>,
    pub(crate) settings: HttpSettings,
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
    pub(crate) fn new(core: Arc<Core>, settings: HttpSettings) -> Arc<Self> {
        Arc::new(Self::with(core, settings))
    }

    fn with(core: Arc<Core>, settings: HttpSettings) -> Self {
        Self {
            core,
            settings,
            followers: Mutex::default(),
            on_error: Arc::default(),
            origin_said: Throttle::default(),
            site_said: Throttle::default(),
            host_said: Throttle::default(),
        }
    }

    /// The same for another node of this process. It ends with this one.
    pub(crate) fn follow(&self, core: Arc<Core>) -> Arc<Self> {
        let on_error = Arc::clone(&self.on_error);
        let settings = self.settings.clone();
        let follower = Arc::new(Self { on_error, ..Self::with(core, settings) });
        self.followers.lock().push(Arc::downgrade(&follower));
        follower
    }

    /// This one, and those that follow it.
    pub(crate) fn all(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let followers = self.followers.lock();
        let followers = followers.iter().filter_map(Weak::upgrade);
        [Arc::clone(self)].into_iter().chain(followers).collect()
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

impl Deref for Site {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}
