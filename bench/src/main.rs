//! Measures servers side by side with clients that check every answer.

mod cases;
mod load;
mod servers;

use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;

use crate::cases::{Case, Figure, Scale};
use crate::servers::Contestant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An error that is a text.
fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(text.into().into())
}

/// Measures servers side by side. Each figure is the median of several repetitions, in which the
/// servers take turns; every answer is checked, and one that is lost, doubled or out of order fails
/// the run.
#[derive(Parser)]
struct Arguments {
    /// Servers, by name, with commas between; all where none is named.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Cases, by name or by its beginning, with commas between; all where none is named.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Seconds that each is measured, after a third of that to warm up.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Says what servers and cases there are.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut contestants = servers::all()?;
    let mut cases = cases::all();
    if arguments.list {
        contestants
            .iter()
            .for_each(|server| println!("server {:24} {}", server.name, server.title));
        cases.iter().for_each(|case| println!("case {:26} {}", case.name(), case.title()));
        return Ok(());
    }
    if !arguments.servers.is_empty() {
        contestants.retain(|server| arguments.servers.contains(&server.name));
    }
    if !arguments.cases.is_empty() {
        let wanted = |name: &String| arguments.cases.iter().any(|start| name.starts_with(start));
        cases.retain(|case| wanted(&case.name()));
    }
    let window = Duration::from_secs_f64(arguments.seconds);
    let scale = Scale { warm: window / 3, window, idle_clients: 10_000, waves: 3 };
    take_own_cpu()?;
    for case in &cases {
        println!("{} ({})", case.title(), case.unit());
        let mut all = vec![Vec::new(); contestants.len()];
        for _ in 0..arguments.repetitions {
            // In turns, so that a slow minute of the machine is a slow minute for all.
            for (server, figures) in contestants.iter().zip(&mut all) {
                figures.push(once(case.as_ref(), server, &scale)?);
            }
        }
        for (server, figures) in contestants.iter().zip(&all) {
            print(&server.name, figures);
        }
    }
    Ok(())
}

fn once(case: &dyn Case, server: &Contestant, scale: &Scale) -> Result<Vec<Figure>> {
    let running = server.start("0")?;
    case.run(&running, scale)
        .map_err(|error| format!("{} at {}: {error}", case.name(), server.name).into())
}

/// The servers have the first CPU, the clients the second.
fn take_own_cpu() -> Result<()> {
    let own = std::process::id().to_string();
    let taken = Command::new("taskset").args(["-cp", "1", &own]).output()?;
    if taken.status.success() { Ok(()) } else { fail("two CPUs are needed, one for the clients") }
}

fn print(server: &str, all: &[Vec<Figure>]) {
    print!("  {server:22}");
    for (at, (name, _)) in all[0].iter().enumerate() {
        let mut values: Vec<f64> = all.iter().map(|figures| figures[at].1).collect();
        values.sort_by(f64::total_cmp);
        let median = values[values.len() / 2];
        print!("  {name} {median:.2}");
        if at == 0 {
            print!(" ({:.2}..{:.2})", values[0], values[values.len() - 1]);
        }
    }
    println!();
}
