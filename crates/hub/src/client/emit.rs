//! `roomful emit` and `roomful call`: events to the server, and its answers.

use std::time::Instant;

use roomful_client::Reconnection;

use super::connection::Connection;
use super::failure::{Failure, Kind};
use super::lines::Lines;
use super::options::{CallOptions, ConnectionOptions, EmitOptions};
use super::printer::Printer;
use super::style::{Style, is_error};
use super::value::Values;

/// Bytes that wait for the server, above which the next line of the input waits, too.
const WAITING_BYTES: usize = 1024 * 1024;

/// What is to be sent.
pub(crate) struct Emission {
    connection: Connection,
    event: String,
    values: Values,
    wants_ack: bool,
}

impl Emission {
    pub(crate) fn emit(
        options: &EmitOptions,
        printer: Printer,
        style: Style,
    ) -> Result<Self, Failure> {
        let EmitOptions { connection, event, arguments, ack } = options;
        Self::new(connection, event, arguments, *ack, printer, style)
    }

    pub(crate) fn call(
        options: &CallOptions,
        printer: Printer,
        style: Style,
    ) -> Result<Self, Failure> {
        let CallOptions { connection, event, arguments } = options;
        Self::new(connection, event, arguments, true, printer, style)
    }

    fn new(
        options: &ConnectionOptions,
        event: &str,
        arguments: &[String],
        wants_ack: bool,
        printer: Printer,
        style: Style,
    ) -> Result<Self, Failure> {
        let values = Values::read(arguments)?;
        // What was sent may have arrived, so it is not sent again.
        let connection = Connection::new(options, Reconnection::never(), printer, style)?;
        Ok(Self { connection, event: event.to_owned(), values, wants_ack })
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) async fn run(&self) -> Result<(), Failure> {
        self.connection.connect().await?;
        let mut done = Ok(());
        if self.values.wants_lines() {
            let mut lines = Lines::start();
            while let Some(line) = self.connection.while_connected(lines.next()).await?? {
                // Of several errors of the server the last is told.
                done = self.send(&self.values.with_line(&line)).await?.and(done);
            }
        } else {
            done = self.send(&self.values).await?;
        }
        if !self.wants_ack {
            self.connection.arrived().await?;
        }
        done
    }

    /// Sends one event. The inner result is the server's.
    async fn send(&self, values: &Values) -> Result<Result<(), Failure>, Failure> {
        let Connection { manager, socket, printer, style, .. } = &self.connection;
        if !self.wants_ack {
            socket.try_emit(&self.event, values)?;
            if manager.waiting_bytes() > WAITING_BYTES {
                self.connection.drained().await?;
            }
            return Ok(Ok(()));
        }
        let asked = Instant::now();
        let answer = self.connection.call(&self.event, values).await?;
        // An answer without arguments has no line.
        if style.json || !answer.is_empty() {
            printer.out_in_time(style.answer(&answer, asked.elapsed())).await;
        }
        Ok(match is_error(&answer) {
            true => Err(Failure::new(Kind::ServerError, "the server answered an error")),
            false => Ok(()),
        })
    }
}
