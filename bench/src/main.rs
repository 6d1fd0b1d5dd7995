//! Measures servers side by side with clients that check every answer.

mod amplification;
mod cases;
mod clients;
mod data;
mod in_memory;
mod load;
mod machine;
mod plot;
mod process;
mod progress;
mod report;
mod run;
mod servers;
mod spread;
mod table;
mod targets;
mod words;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::data::Data;
use crate::run::Plan;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An error that is a text.
fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(text.into().into())
}

/// Measures servers side by side. Each figure is the median of several repetitions, in which the
/// servers take turns; every answer is checked, and a server that loses, doubles or reorders one
/// has failed that case.
///
/// To be run in the root of the repository. Without a command it is `bench run`.
#[derive(Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Subcommand)]
enum Command {
    /// Measures and prints the tables. Exit code 1 when Roomful or a bare server failed a case.
    Run(Plan),
    /// Measures clients side by side, with a bare server, and prints the tables. Exit code 1 when one
    /// of this repository failed a case.
    Clients(clients::Plan),
    /// Says what servers, clients and cases there are.
    List,
    /// Writes the tables of a run, with the method, as Markdown.
    Report(Drawing),
    /// Draws a run as SVG.
    Plot(Drawing),
    /// Attacks a server, and says what each byte of an attacker costs it: CPU, and memory that it holds.
    /// Exit code 1 when something costs too much and nothing bounds it.
    Amplification(amplification::Plan),
    /// The part of the cases in-memory-* that runs as a process of its own.
    #[command(hide = true)]
    InMemory(in_memory::Part),
}

#[derive(Args)]
struct Drawing {
    /// What `bench run --json DATA` wrote. Several, of different cases or servers, become one.
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// Where to [default: bench/RESULTS.md, or bench/results.svg].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { command, plan } = Arguments::parse();
    let done = match command.unwrap_or(Command::Run(plan)) {
        Command::Run(plan) => plan.run(),
        Command::Clients(plan) => plan.run(),
        Command::List => run::list().map(|()| true),
        Command::Report(drawing) => drawing.write("bench/RESULTS.md", report::whole),
        Command::Plot(drawing) => drawing.write("bench/results.svg", plot::draw),
        Command::Amplification(plan) => plan.run(),
        Command::InMemory(part) => in_memory::run(&part).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Drawing {
    fn write(&self, usual: &str, draw: impl Fn(&Data) -> String) -> Result<bool> {
        let path = self.output.clone().unwrap_or_else(|| usual.into());
        data::write(&path, &draw(&Data::read_all(&self.data)?))?;
        println!("{} is written", path.display());
        Ok(true)
    }
}
