//! [`Progress`]: says on the standard error how far a run is.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

pub(crate) struct Progress {
    cases: Vec<Work>,
    began: Instant,
    /// A line is rewritten there; elsewhere lines follow each other.
    terminal: bool,
}

/// What there is to do for one case.
struct Work {
    total: usize,
    done: usize,
    took: Duration,
}

impl Progress {
    /// For cases with so many runs each.
    pub(crate) fn new(runs: impl Iterator<Item = usize>) -> Self {
        let work = |total| Work { total, done: 0, took: Duration::ZERO };
        Self {
            cases: runs.map(work).collect(),
            began: Instant::now(),
            terminal: stderr().is_terminal(),
        }
    }

    /// The next run, of the case with this index, begins.
    pub(crate) fn begin(&mut self, what: &str) {
        let (done, total) = self.count();
        let left = self.left().map_or(String::new(), |left| format!("; {} left", told(left)));
        let line = format!("[{:>3}/{total}] {what}{left}", done + 1);
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            // What cannot be shown is not worth an error.
            let _ = stderr().flush();
        } else {
            eprintln!("{line}");
        }
        self.began = Instant::now();
    }

    /// That run has ended.
    pub(crate) fn end(&mut self, case: usize) {
        let work = &mut self.cases[case];
        work.done += 1;
        work.took += self.began.elapsed();
    }

    /// A run of that case will not be made.
    pub(crate) fn skip(&mut self, case: usize) {
        self.cases[case].total -= 1;
    }

    /// Takes the line away, so that something else can be written.
    pub(crate) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }

    /// Says something that stays.
    pub(crate) fn note(&self, text: &str) {
        self.clear();
        eprintln!("{text}");
    }

    fn count(&self) -> (usize, usize) {
        let sum = |of: fn(&Work) -> usize| self.cases.iter().map(of).sum();
        (sum(|work| work.done), sum(|work| work.total))
    }

    /// A run takes as long as others of its case did, or as the average of all.
    fn left(&self) -> Option<Duration> {
        let done = self.count().0;
        let took: Duration = self.cases.iter().map(|work| work.took).sum();
        let average = took.checked_div(u32::try_from(done).ok()?)?;
        let left = self.cases.iter().map(|work| {
            let each = work.took.checked_div(work.done as u32).unwrap_or(average);
            each * (work.total - work.done) as u32
        });
        Some(left.sum())
    }
}

fn told(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..100 => format!("{seconds} s"),
        seconds @ ..6000 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}
