//! [`Site`]: the servers, and what each cannot do.

use roomful_client::Revision;

/// A server that serves the site of `interop/client`.
pub(crate) struct Site {
    pub(crate) title: &'static str,
    /// From the root of the repository; the first word of our own may be elsewhere.
    pub(crate) command: &'static [&'static str],
    pub(crate) revision: Revision,
    /// In the words of the README, that `names` acks.
    pub(crate) cannot: &'static [&'static str],
    /// What else it does not do, for which the sites have no word.
    pub(crate) lacks: &'static [&'static str],
}

impl Site {
    pub(crate) fn can(&self, what: &str) -> bool {
        !self.cannot.contains(&what) && !self.lacks.contains(&what)
    }

    pub(crate) fn is_old(&self) -> bool {
        self.revision == Revision::V3
    }
}

const NODE: &str = "interop/client/servers/site.mjs";

/// All of them.
pub(crate) const SITES: [Site; 7] = [
    Site {
        title: "Node 4.8",
        command: &["node", NODE, "--version", "4.8"],
        revision: Revision::V4,
        cannot: &[],
        lacks: &[],
    },
    Site {
        title: "Node 4.5",
        command: &["node", NODE, "--version", "4.5"],
        revision: Revision::V4,
        cannot: &["recovery"],
        lacks: &[],
    },
    Site {
        title: "Node 3.1",
        command: &["node", NODE, "--version", "3.1"],
        revision: Revision::V4,
        cannot: &["recovery"],
        lacks: &[],
    },
    Site {
        title: "Node 2.5",
        command: &["node", NODE, "--version", "2.5"],
        revision: Revision::V3,
        cannot: &["auth", "recovery"],
        lacks: &[],
    },
    Site {
        title: "Bun",
        command: &["interop/client/node_modules/.bin/bun", "interop/client/servers/bun.mjs"],
        revision: Revision::V4,
        cannot: &["cut-polling", "no-upgrade", "transports"],
        lacks: &["answers-deflated"],
    },
    Site {
        title: "Python",
        command: &["target/python-venv/bin/python", "-B", "interop/client/servers/site.py"],
        revision: Revision::V4,
        cannot: &["message", "msgpack", "recovery", "volatile"],
        lacks: &["big-posts"],
    },
    Site {
        title: "ours",
        command: &["target/debug/site"],
        revision: Revision::V4,
        cannot: &["cut-needs-key", "no-upgrade"],
        lacks: &[],
    },
];
