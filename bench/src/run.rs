//! A run: all servers in all cases, several times.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cases::{self, Case, Figure, Scale};
use crate::data::{About, Data, Kind, Outcome, Run};
use crate::machine::{self, Machine};
use crate::progress::Progress;
use crate::servers::{self, Contestant};
use crate::{Result, clients, fail, process, report};

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

/// Says what servers, clients and cases there are.
pub(crate) fn list() -> Result<()> {
    for server in servers::all()? {
        let version = server.version().unwrap_or_else(|error| error.to_string());
        println!("server  {:22} {}: {version}", server.name, server.title);
    }
    for case in cases::all() {
        let form = if case.is_short() { "" } else { " [full form]" };
        println!("case    {:22} {}{form}", case.name(), case.title());
    }
    println!("\nOf `bench clients`:");
    for client in servers::all_clients()? {
        let version = client.version().unwrap_or_else(|error| error.to_string());
        println!("client  {:22} {}: {version}", client.name, client.title);
    }
    for case in clients::cases::all() {
        println!("case    {:22} {}", case.name(), case.title());
    }
    Ok(())
}

impl Plan {
    /// Measures, and prints the tables. Tells whether nothing of this repository has failed.
    pub(crate) fn run(&self) -> Result<bool> {
        let (contestants, about) = contestants("server", servers::all()?, &self.servers)?;
        let cases = self.cases()?;
        let seconds = self.seconds.unwrap_or(if self.full { 2.0 } else { 0.5 });
        let window = Duration::try_from_secs_f64(seconds)
            .map_err(|error| format!("--seconds {seconds}: {error}"))?;
        let mut data = Data {
            kind: Kind::Server,
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
            let once = |server: &Contestant| once(case.as_ref(), server, &scale);
            let runs = measure(&case.name(), at, &takers, data.repetitions, &mut progress, once);
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

    fn cases(&self) -> Result<Vec<Box<dyn Case>>> {
        let mut all = cases::all();
        if self.cases.is_empty() {
            all.retain(|case| self.full || case.is_short());
        } else {
            let names: Vec<String> = all.iter().map(|case| case.name()).collect();
            let chosen = chosen(&names, &self.cases)?;
            all.retain(|case| chosen.contains(&case.name()));
        }
        Ok(all)
    }
}

/// Of all that can be started, what takes part, and what it is. What is not installed is left out
/// with a word, unless it was asked for. `kind` is a server or a client.
pub(crate) fn contestants(
    kind: &str,
    all: Vec<Contestant>,
    wanted: &[String],
) -> Result<(Vec<Contestant>, Vec<About>)> {
    let (mut taking, mut about) = (Vec::new(), Vec::new());
    if let Some(name) = wanted.iter().find(|name| all.iter().all(|one| one.name != **name)) {
        return fail(format!("there is no {kind} `{name}`; `bench list` names them"));
    }
    for one in all {
        if !wanted.is_empty() && !wanted.contains(&one.name) {
            continue;
        }
        match one.version() {
            Ok(version) => {
                let (name, title) = (one.name.clone(), one.title.clone());
                about.push(About { name, title, version });
                taking.push(one);
            }
            Err(error) if wanted.is_empty() && !servers::is_own(&one.name) => {
                eprintln!("note: LEFT OUT: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok((taking, about))
}

/// The names of cases that these mean: a name, or the beginning of several.
pub(crate) fn chosen(names: &[String], wanted: &[String]) -> Result<Vec<String>> {
    let mut chosen = Vec::new();
    for text in wanted {
        // A whole name means only itself: there are `echo-1` and `echo-16`.
        let is_whole = names.contains(text);
        let means = |name: &&String| if is_whole { *name == text } else { name.starts_with(text) };
        let count = chosen.len();
        chosen.extend(names.iter().filter(means).cloned());
        if chosen.len() == count {
            return fail(format!("no case begins with `{text}`; `bench list` names them"));
        }
    }
    Ok(chosen)
}

fn takers<'a>(case: &dyn Case, contestants: &'a [Contestant]) -> Vec<&'a Contestant> {
    contestants.iter().filter(|server| case.takes(server)).collect()
}

/// Measures one case. The contestants take turns, so that a slow minute of the machine is a slow minute
/// for all. One that has failed is not asked again.
pub(crate) fn measure(
    case: &str,
    at: usize,
    takers: &[&Contestant],
    repetitions: usize,
    progress: &mut Progress,
    once: impl Fn(&Contestant) -> Result<Vec<Figure>>,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for repetition in 0..repetitions {
        for one in takers {
            let name = &one.name;
            if runs.iter().any(|run| run.server == *name && run.failure.is_some()) {
                progress.skip(at);
                continue;
            }
            progress.begin(&format!("{case}, {name}, {} of {repetitions}", repetition + 1));
            let began = Instant::now();
            let measured = once(one);
            let run = Run::of(name, repetition, measured, began.elapsed());
            progress.end(at);
            if let Some(why) = &run.failure {
                progress.note(&format!("FAILED: {case}, {name}: {why}"));
            }
            runs.push(run);
        }
    }
    runs
}

fn once(case: &dyn Case, server: &Contestant, scale: &Scale) -> Result<Vec<Figure>> {
    let contestant = match case.env() {
        Some((variable, value)) => &server.clone().with(variable, &value),
        None => server,
    };
    case.run(&contestant.start(case.cpus())?, scale)
}

/// How this was called.
pub(crate) fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("bench {}", arguments.join(" ")).trim_end().to_owned()
}
