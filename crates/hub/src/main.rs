//! `roomful`: a Socket.IO hub as a program.

mod cli;
mod dev;
mod pages;
mod room;

use std::process::ExitCode;

use clap::Parser;
// Takes the place of the system's `malloc`, since it is linked: cheaper for what is small and short-lived.
use mimalloc as _;

use crate::cli::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let done = match cli.command {
        Command::Dev(options) => dev::run(options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roomful: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error: warnings, or what `RUST_LOG` asks for.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
