//! The client on the command line: `roomful connect`, `emit`, `call` and `listen`, for any Socket.IO server.
//!
//! Its tests: `tests/client.rs`, `tests/terminal.rs` (the prompt at a pseudo-terminal), `interop/node/hub`, and
//! `interop/client/check-command.mjs` (TLS, proxies, old servers).

mod clock;
mod command;
mod connection;
mod editor;
mod emit;
mod failure;
mod lines;
mod listen;
pub(crate) mod options;
mod printer;
mod prompt;
mod report;
mod situation;
mod style;
mod value;

use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;

use self::connection::Connection;
use self::emit::Emission;
use self::failure::{Failure, Kind};
use self::listen::Listening;
use self::options::{CallOptions, ConnectionOptions, EmitOptions, ListenOptions, PromptOptions};
use self::printer::{Printer, Standard};
use self::prompt::Prompt;
use self::style::Style;

pub(crate) async fn emit(options: &EmitOptions) -> ExitCode {
    let (printer, style) = standard(&options.connection);
    let emission = match Emission::emit(options, printer.clone(), style) {
        Ok(emission) => emission,
        Err(failure) => return fail(style, &failure),
    };
    finish(emission.connection(), Box::pin(emission.run())).await
}

pub(crate) async fn call(options: &CallOptions) -> ExitCode {
    let (printer, style) = standard(&options.connection);
    let emission = match Emission::call(options, printer.clone(), style) {
        Ok(emission) => emission,
        Err(failure) => return fail(style, &failure),
    };
    finish(emission.connection(), Box::pin(emission.run())).await
}

pub(crate) async fn listen(options: &ListenOptions) -> ExitCode {
    let (printer, style) = standard(&options.connection);
    let listening = match Listening::new(options, printer.clone(), style) {
        Ok(listening) => listening,
        Err(failure) => return fail(style, &failure),
    };
    finish(listening.connection(), Box::pin(listening.run())).await
}

pub(crate) async fn connect(options: &PromptOptions) -> ExitCode {
    let style = Style::of(&options.connection);
    let prompt = match Prompt::new(options, style) {
        Ok(prompt) => prompt,
        Err(failure) => return fail(style, &failure),
    };
    finish(prompt.connection(), Box::pin(prompt.run())).await
}

fn standard(options: &ConnectionOptions) -> (Printer, Style) {
    let style = Style::of(options);
    (Printer::start(style, Standard::new()), style)
}

/// Runs a command until it has ended, the user interrupts, or nobody reads what it prints; then leaves in order.
async fn finish(
    connection: &Connection,
    command: impl Future<Output = Result<(), Failure>>,
) -> ExitCode {
    let printer = &connection.printer;
    let interruption = || Failure::new(Kind::Interrupted, "interrupted");
    let done = tokio::select! {
        biased;
        () = interrupted() => Err(interruption()),
        // As `head` does when it has enough.
        () = printer.broken() => Ok(()),
        done = command => done,
    };
    let done = match done {
        Err(Failure { kind: Kind::Interrupted, .. }) => {
            connection.close(true).await;
            done
        }
        done => tokio::select! {
            biased;
            () = interrupted() => Err(interruption()),
            () = async {
                connection.close(false).await;
                printer.flushed().await;
            } => done.and_then(|()| printer.failure()),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(connection.style, &failure),
    }
}

fn fail(style: Style, failure: &Failure) -> ExitCode {
    if !failure.is_silent() {
        // Nobody may read it.
        let _ = writeln!(std::io::stderr(), "{}", style.failure(failure));
    }
    failure.kind.exit_code().into()
}

/// Waits for Ctrl-C. Where it cannot be waited for, it ends the process as always.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
