//! [`Data`]: all that a run has measured, as it is kept in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cases::Figure;
use crate::machine::Machine;
use crate::spread::Spread;
use crate::{Result, fail};

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Data {
    /// What was measured.
    #[serde(default)]
    pub(crate) kind: Kind,
    pub(crate) date: String,
    /// A line for each part of a run that was made in parts.
    pub(crate) command: String,
    /// At most, where a run was made in parts.
    pub(crate) repetitions: usize,
    /// That each was measured, after a third of that to warm up.
    pub(crate) seconds: f64,
    pub(crate) machine: Machine,
    /// Or clients.
    pub(crate) servers: Vec<About>,
    pub(crate) cases: Vec<Outcome>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    #[default]
    Server,
    Client,
}

/// A server, or a client.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) version: String,
}

/// What came of one case.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) title: String,
    /// What the first figure is.
    pub(crate) unit: String,
    pub(crate) runs: Vec<Run>,
}

/// One server or client, measured once.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    pub(crate) server: String,
    /// From 0.
    pub(crate) repetition: usize,
    /// By their names; the first is the one that counts.
    pub(crate) figures: Vec<(String, f64)>,
    /// Why there are no figures.
    pub(crate) failure: Option<String>,
    /// Seconds that all of it took, the start of the server too.
    pub(crate) took_s: f64,
}

/// Where a figure stands.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) case: &'a str,
    pub(crate) server: &'a str,
    pub(crate) figure: &'a str,
}

impl Data {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            format!("cannot read {}: {error}; `bench run --json FILE` writes it", path.display())
        })?;
        serde_json::from_str(&text)
            .map_err(|error| format!("{} is not of this program: {error}", path.display()).into())
    }

    /// Several runs as one, as a long one is made in parts. What a server did in a later one takes
    /// the place of what it did in that case before.
    pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Self> {
        let mut runs = paths.iter().map(|path| Self::read(path));
        let mut all = runs.next().ok_or("no data")??;
        for run in runs {
            let run = run?;
            if run.kind != all.kind {
                return fail("some of these are of servers, and others of clients");
            }
            all.join(run);
        }
        Ok(all)
    }

    fn join(&mut self, run: Self) {
        self.command = format!("{}\n{}", self.command, run.command);
        self.repetitions = self.repetitions.max(run.repetitions);
        let is_new = |about: &About| !self.servers.iter().any(|known| known.name == about.name);
        let servers: Vec<About> = run.servers.into_iter().filter(is_new).collect();
        self.servers.extend(servers);
        for case in run.cases {
            match self.cases.iter_mut().find(|known| known.name == case.name) {
                Some(known) => known.replace(case.runs),
                None => self.cases.push(case),
            }
        }
    }

    /// How often each server was measured in a case: a number, or the least and the most of all cases.
    pub(crate) fn measured(&self) -> String {
        let last = |case: &Outcome| case.runs.iter().map(|run| run.repetition).max();
        let counts = self.cases.iter().filter_map(last).map(|last| last + 1);
        match (counts.clone().min(), counts.max()) {
            (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
            _ => self.repetitions.to_string(),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write(path, &format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    pub(crate) fn case(&self, name: &str) -> Option<&Outcome> {
        self.cases.iter().find(|case| case.name == name)
    }

    pub(crate) fn spread(&self, at: At<'_>) -> Option<Spread> {
        let case = self.case(at.case)?;
        if case.failure(at.server).is_some() { None } else { case.spread(at.server, at.figure) }
    }

    /// One figure divided by another, both of the same repetition: the speed of a machine drifts.
    pub(crate) fn ratio(&self, of: At<'_>, to: At<'_>) -> Option<Spread> {
        let (above, below) = (self.case(of.case)?, self.case(to.case)?);
        if above.failure(of.server).is_some() || below.failure(to.server).is_some() {
            return None;
        }
        Spread::of((0..self.repetitions).filter_map(|repetition| {
            let above = above.value(of.server, of.figure, repetition)?;
            Some(above / below.value(to.server, to.figure, repetition)?)
        }))
    }

    /// What failed at these servers: case, server and why.
    pub(crate) fn failures(&self, of: impl Fn(&str) -> bool) -> Vec<(&str, &str, &str)> {
        let mut failures = Vec::new();
        for case in &self.cases {
            for run in case.runs.iter().filter(|run| of(&run.server)) {
                if let Some(why) = &run.failure {
                    failures.push((case.name.as_str(), run.server.as_str(), why.as_str()));
                }
            }
        }
        failures
    }
}

impl Outcome {
    fn replace(&mut self, runs: Vec<Run>) {
        self.runs.retain(|known| !runs.iter().any(|run| run.server == known.server));
        self.runs.extend(runs);
    }

    /// The name of the first figure, if anything was measured.
    pub(crate) fn first(&self) -> Option<&str> {
        let mut names = self.runs.iter().filter_map(|run| run.figures.first());
        names.next().map(|(name, _)| name.as_str())
    }

    /// The names of all figures, in their order.
    pub(crate) fn figures(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for (name, _) in self.runs.iter().flat_map(|run| &run.figures) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    pub(crate) fn failure(&self, server: &str) -> Option<&str> {
        self.runs.iter().filter(|run| run.server == server).find_map(|run| run.failure.as_deref())
    }

    pub(crate) fn spread(&self, server: &str, figure: &str) -> Option<Spread> {
        Spread::of(
            self.runs.iter().filter(|run| run.server == server).filter_map(|run| run.get(figure)),
        )
    }

    fn value(&self, server: &str, figure: &str, repetition: usize) -> Option<f64> {
        let is_it = |run: &&Run| run.server == server && run.repetition == repetition;
        self.runs.iter().find(is_it)?.get(figure)
    }
}

impl Kind {
    /// As it is called in a table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl Run {
    pub(crate) fn of(
        server: &str,
        repetition: usize,
        measured: Result<Vec<Figure>>,
        took: Duration,
    ) -> Self {
        let (figures, failure) = match measured {
            Ok(figures) => (figures, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        // The others cannot be written as JSON.
        let figures = figures.into_iter().filter(|(_, value)| value.is_finite());
        let figures = figures.map(|(name, value)| (name.to_owned(), value)).collect();
        let (server, took_s) = (server.to_owned(), took.as_secs_f64());
        Self { server, repetition, figures, failure, took_s }
    }

    fn get(&self, figure: &str) -> Option<f64> {
        self.figures.iter().find(|(name, _)| name == figure).map(|(_, value)| *value)
    }
}

/// Writes a file, with the directories above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let cannot = |error| format!("cannot write {}: {error}", path.display());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(cannot)?;
    }
    fs::write(path, text).map_err(|error| cannot(error).into())
}
