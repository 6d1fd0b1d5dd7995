//! `roomful`: a Socket.IO hub as a program, and a client on the command line.

mod cli;
mod client;
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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Nobody may read it.
            let _ = e.print();
            // clap's own 2 would mean that there is no connection.
            return if e.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    // What goes wrong with a client is told as the outcome of its command.
    log(if matches!(cli.command, Command::Dev(_)) { "warn" } else { "off" });
    match cli.command {
        Command::Dev(options) => match dev::run(options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("roomful: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Connect(options) => client::connect(&options).await,
        Command::Emit(options) => client::emit(&options).await,
        Command::Listen(options) => client::listen(&options).await,
        Command::Call(options) => client::call(&options).await,
    }
}

/// Logs to standard error what `RUST_LOG` asks for, or that.
fn log(usual: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
