//! A run: all servers in all cases, several times.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cases::{self, Case, Scale};
use crate::data::{About, Data, Outcome, Run};
use crate::machine::{self, Machine};
use crate::progress::Progress;
use crate::servers::{self, Contestant};
use crate::{Result, fail, process, report};

/// What is measured, and how long.
#[derive(Args)]
pub(crate) struct Plan {
    /// Fewer cases, and fewer clients in those about memory: some minutes. The default.
    #[arg(long, conflicts_with = "full")]
    short: bool,
    /// All cases: more than an hour.
    #[arg(long)]
    full: bool,
    /// Only these servers, by name, with commas between.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    servers: Vec<String>,
    /// Only these cases, by name or its beginning, with commas between; those of the full form too.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    cases: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    repetitions: u16,
    /// Seconds that each is measured, after a third of that to warm up [default: 0.5, or 2 in the
    /// full form].
    #[arg(long)]
    seconds: Option<f64>,
    /// Writes everything that was measured there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Says what servers and cases there are.
pub(crate) fn list() -> Result<()> {
    for server in servers::all()? {
        let version = server.version().unwrap_or_else(|error| error.to_string());
        println!("server  {:22} {}: {version}", server.name, server.title);
    }
    for case in cases::all() {
        let form = if case.is_short() { "" } else { " [full form]" };
        println!("case    {:22} {}{form}", case.name(), case.title());
    }
    Ok(())
}

impl Plan {
    /// Measures, and prints the tables. Tells whether nothing of this repository has failed.
    pub(crate) fn run(&self) -> Result<bool> {
        let (contestants, about) = self.contestants()?;
        let cases = self.cases()?;
        let seconds = self.seconds.unwrap_or(if self.full { 2.0 } else { 0.5 });
        let window = Duration::try_from_secs_f64(seconds)
            .map_err(|error| format!("--seconds {seconds}: {error}"))?;
        let mut data = Data {
            date: machine::date(),
            command: command(),
            repetitions: self.repetitions.into(),
            seconds,
            machine: Machine::here()?,
            servers: about,
            cases: Vec::new(),
        };
        process::take_second_cpu()?;
        let scale = Scale { warm: window / 3, window, short: !self.full };
        let counts = cases.iter().map(|case| takers(case.as_ref(), &contestants).len());
        let mut progress = Progress::new(counts.map(|count| count * data.repetitions));
        println!("{}\n", report::head(&data));
        for (at, case) in cases.iter().enumerate() {
            let takers = takers(case.as_ref(), &contestants);
            let runs = measure(case.as_ref(), at, &takers, data.repetitions, &scale, &mut progress);
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
        print!("{}", report::targets(&data));
        let failures = report::failures(&data);
        if failures.is_empty() {
            return Ok(true);
        }
        print!("\n{failures}");
        Ok(false)
    }

    /// The servers that take part, and what they are. One that is not installed is left out with
    /// a word, unless it was asked for.
    fn contestants(&self) -> Result<(Vec<Contestant>, Vec<About>)> {
        let (mut taking, mut about) = (Vec::new(), Vec::new());
        let all = servers::all()?;
        if let Some(name) =
            self.servers.iter().find(|name| all.iter().all(|one| one.name != **name))
        {
            return fail(format!("there is no server `{name}`; `bench list` names them"));
        }
        for server in all {
            if !self.servers.is_empty() && !self.servers.contains(&server.name) {
                continue;
            }
            match server.version() {
                Ok(version) => {
                    let (name, title) = (server.name.clone(), server.title.clone());
                    about.push(About { name, title, version });
                    taking.push(server);
                }
                Err(error) if self.servers.is_empty() && !servers::is_own(&server.name) => {
                    eprintln!("note: LEFT OUT: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok((taking, about))
    }

    fn cases(&self) -> Result<Vec<Box<dyn Case>>> {
        let mut all = cases::all();
        let unknown =
            |start: &&String| all.iter().all(|case| !case.name().starts_with(start.as_str()));
        if let Some(start) = self.cases.iter().find(unknown) {
            return fail(format!("no case begins with `{start}`; `bench list` names them"));
        }
        if self.cases.is_empty() {
            all.retain(|case| self.full || case.is_short());
        } else {
            let names: Vec<String> = all.iter().map(|case| case.name()).collect();
            // A whole name means only itself: there are `echo-1` and `echo-16`.
            let means = |text: &String, name: &str| {
                if names.contains(text) { name == text } else { name.starts_with(text) }
            };
            all.retain(|case| self.cases.iter().any(|text| means(text, &case.name())));
        }
        Ok(all)
    }
}

fn takers<'a>(case: &dyn Case, contestants: &'a [Contestant]) -> Vec<&'a Contestant> {
    contestants.iter().filter(|server| case.takes(server)).collect()
}

/// Measures one case. The servers take turns, so that a slow minute of the machine is a slow minute
/// for all. One that has failed is not asked again.
fn measure(
    case: &dyn Case,
    at: usize,
    takers: &[&Contestant],
    repetitions: usize,
    scale: &Scale,
    progress: &mut Progress,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for repetition in 0..repetitions {
        for server in takers {
            if runs.iter().any(|run| run.server == server.name && run.failure.is_some()) {
                progress.skip(at);
                continue;
            }
            let (case_name, name) = (case.name(), &server.name);
            progress.begin(&format!("{case_name}, {name}, {} of {repetitions}", repetition + 1));
            let run = once(case, server, repetition, scale);
            progress.end(at);
            if let Some(why) = &run.failure {
                progress.note(&format!("FAILED: {case_name}, {name}: {why}"));
            }
            runs.push(run);
        }
    }
    runs
}

fn once(case: &dyn Case, server: &Contestant, repetition: usize, scale: &Scale) -> Run {
    let began = Instant::now();
    let contestant = match case.env() {
        Some((variable, value)) => &server.clone().with(variable, &value),
        None => server,
    };
    let measured = contestant.start(case.cpus()).and_then(|running| case.run(&running, scale));
    let (figures, failure) = match measured {
        Ok(figures) => (figures, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    // The others cannot be written as JSON.
    let figures = figures.into_iter().filter(|(_, value)| value.is_finite());
    let figures = figures.map(|(name, value)| (name.to_owned(), value)).collect();
    let took_s = began.elapsed().as_secs_f64();
    Run { server: server.name.clone(), repetition, figures, failure, took_s }
}

/// How this was called.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("bench {}", arguments.join(" ")).trim_end().to_owned()
}
