//! Clients side by side: what an event, a connection and an idle client cost the process that has them.

pub(crate) mod cases;
#[cfg(test)]
#[expect(dead_code, reason = "the client programs are called with it")]
mod contract;
mod program;

use std::path::PathBuf;

use clap::Args;

use crate::data::{Data, Kind, Outcome};
use crate::machine::{self, Machine};
use crate::progress::Progress;
use crate::servers::{self, Contestant};
use crate::{Result, report, run};

/// What is measured, and how long.
#[derive(Args)]
pub(crate) struct Plan {
    /// Only these clients, by name, with commas between.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    clients: Vec<String>,
    /// Only these cases, by name or its beginning, with commas between.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    cases: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    repetitions: u16,
    /// Seconds that each is measured, after a half of that to warm up.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Writes everything that was measured there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Plan {
    /// Measures, and prints the tables. Tells whether nothing of this repository has failed.
    pub(crate) fn run(&self) -> Result<bool> {
        let (contestants, about) =
            run::contestants("client", servers::all_clients()?, &self.clients)?;
        let mut cases = cases::all();
        if !self.cases.is_empty() {
            let names: Vec<String> = cases.iter().map(cases::Case::name).collect();
            let chosen = run::chosen(&names, &self.cases)?;
            cases.retain(|case| chosen.contains(&case.name()));
        }
        let mut data = Data {
            kind: Kind::Client,
            date: machine::date(),
            command: run::command(),
            repetitions: self.repetitions.into(),
            seconds: self.seconds,
            machine: Machine::here()?,
            servers: about,
            cases: Vec::new(),
        };
        let takers: Vec<&Contestant> = contestants.iter().collect();
        let mut progress = Progress::new(cases.iter().map(|_| takers.len() * data.repetitions));
        println!("{}\n", report::head(&data));
        for (at, case) in cases.iter().enumerate() {
            let once = |client: &Contestant| case.run(client, self.seconds);
            let runs =
                run::measure(&case.name(), at, &takers, data.repetitions, &mut progress, once);
            data.cases.push(Outcome {
                name: case.name(),
                title: case.title(),
                unit: case.unit().to_owned(),
                runs,
            });
            progress.clear();
            println!("{}", report::case(&data, &data.cases[at]));
            // After each case, so that an interrupted run leaves what it has.
            if let Some(path) = &self.json {
                data.write(path)?;
            }
        }
        let failures = report::failures(&data);
        print!("{failures}");
        Ok(failures.is_empty())
    }
}
