//! What must hold. A later case is one more line in [`TARGETS`].

use crate::data::{At, Data};
use crate::servers::{FLOOR, FLOOR_EPOLL, ROOMFUL};
use crate::spread::{Spread, number};

pub(crate) struct Target {
    pub(crate) case: &'static str,
    pub(crate) figure: &'static str,
    /// What Roomful's figure is divided by; the figure itself counts without it.
    by: Option<By>,
    least: f64,
    most: f64,
}

/// What a figure is divided by.
#[derive(Clone, Copy)]
enum By {
    /// The same figure of another server.
    Server(&'static str),
    /// The same figure of another case; beside it the bare server's own ratio is shown.
    Case(&'static str),
    /// Another figure of the same run.
    Figure(&'static str),
}

/// What Roomful must reach.
const TARGETS: &[Target] = &[
    floor("echo-16", "cpu_us", 2.0),
    floor("echo-1", "cpu_us", 1.15),
    floor("paced-4000", "p50_us", 1.3),
    floor("paced-4000", "p99_us", 1.3),
    floor("paced-4000", "p999_us", 1.3),
    floor("room-1000-4", "cpu_us", 1.3),
    floor("room-1000-1", "cpu_us", 1.15),
    floor("room-5000-4", "cpu_us", 1.3),
    floor("connect", "cpu_us", 1.4),
    floor("size-16", "cpu_us", 2.0),
    floor("blob-16", "cpu_us", 2.0),
    server("polling", "cpu_us", FLOOR_EPOLL, 1.25),
    floor("eio3-echo-16", "cpu_us", 2.0),
    // One compression of 2 KiB for 5,000 who get it.
    floor("deflate-room-5000-4", "cpu_us", 1.5),
    absolute("recovery-5000", "p99_ms", 1_000.0),
    absolute("idle-10000", "kib", 3.0),
    figure("idle-10000", "kib_late_waves", "kib", 1.05),
    growth("room-18000-4", "cpu_us", "room-5000-4", 1.2),
    same("idle-1000", "kib", "idle-10000", 0.1),
    same("idle-18000", "kib", "idle-10000", 0.1),
    same("in-memory-1000", "kib", "in-memory-1000000", 0.1),
    same("in-memory-18000", "kib", "in-memory-1000000", 0.1),
    growth("many-rooms-echo-16", "cpu_us", "echo-16", 1.1),
    growth("many-rooms-room-1000-4", "cpu_us", "room-1000-4", 1.1),
    growth("many-namespaces-echo-16", "cpu_us", "echo-16", 1.1),
];

const fn server(case: &'static str, figure: &'static str, to: &'static str, most: f64) -> Target {
    Target { case, figure, by: Some(By::Server(to)), least: 0.0, most }
}

/// In relation to the bare server.
const fn floor(case: &'static str, figure: &'static str, most: f64) -> Target {
    server(case, figure, FLOOR, most)
}

const fn absolute(case: &'static str, figure: &'static str, most: f64) -> Target {
    Target { case, figure, by: None, least: 0.0, most }
}

const fn figure(case: &'static str, of: &'static str, to: &'static str, most: f64) -> Target {
    Target { case, figure: of, by: Some(By::Figure(to)), least: 0.0, most }
}

const fn growth(case: &'static str, figure: &'static str, from: &'static str, most: f64) -> Target {
    Target { case, figure, by: Some(By::Case(from)), least: 0.0, most }
}

/// Within a part of the figure of another case, on either side.
const fn same(case: &'static str, figure: &'static str, as_in: &'static str, part: f64) -> Target {
    Target { case, figure, by: Some(By::Case(as_in)), least: 1.0 - part, most: 1.0 + part }
}

/// All of them, in the order of the table.
pub(crate) const fn all() -> &'static [Target] {
    TARGETS
}

impl Target {
    /// What must hold, in words.
    pub(crate) fn wanted(&self) -> String {
        let most = number(self.most);
        let range = if self.least > 0.0 {
            format!("{} to {most}", number(self.least))
        } else {
            format!("at most {most}")
        };
        match self.by {
            None => range,
            Some(By::Server(server)) => format!("{range} × {server}"),
            Some(By::Case(case)) => format!("{range} × `{case}`"),
            Some(By::Figure(figure)) => format!("{range} × {figure}"),
        }
    }

    /// What was measured; `None` when it was not.
    pub(crate) fn measured(&self, data: &Data) -> Option<Spread> {
        self.measured_at(ROOMFUL, data)
    }

    /// The same of the bare server, where that tells something.
    pub(crate) fn beside(&self, data: &Data) -> Option<Spread> {
        matches!(self.by, Some(By::Case(_))).then(|| self.measured_at(FLOOR, data)).flatten()
    }

    pub(crate) fn holds(&self, measured: Spread) -> bool {
        (self.least..=self.most).contains(&measured.median)
    }

    /// Whether Roomful has failed the case.
    pub(crate) fn has_failed(&self, data: &Data) -> bool {
        data.case(self.case).is_some_and(|case| case.failure(ROOMFUL).is_some())
    }

    fn measured_at(&self, server: &str, data: &Data) -> Option<Spread> {
        let of = At { case: self.case, server, figure: self.figure };
        match self.by {
            None => data.spread(of),
            Some(By::Server(server)) => data.ratio(of, At { server, ..of }),
            Some(By::Case(case)) => data.ratio(of, At { case, ..of }),
            Some(By::Figure(figure)) => data.ratio(of, At { figure, ..of }),
        }
    }
}
