//! `roomful listen`: prints events as they come.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use roomful_client::Reconnection;
use tokio::sync::oneshot;

use super::connection::{Connection, closed};
use super::failure::{Failure, Kind};
use super::options::ListenOptions;
use super::printer::Printer;
use super::style::Style;
use super::value::{Value, Values};

/// What is listened for.
pub(crate) struct Listening {
    connection: Connection,
    names: HashSet<String>,
    count: Option<u64>,
    duration: Option<Duration>,
    answer: Option<Values>,
}

impl Listening {
    pub(crate) fn new(
        options: &ListenOptions,
        printer: Printer,
        style: Style,
    ) -> Result<Self, Failure> {
        let answer = options.answer.as_deref().map(Value::read).transpose()?;
        let connection =
            Connection::new(&options.connection, Reconnection::default(), printer, style)?;
        Ok(Self {
            connection,
            names: options.events.iter().cloned().collect(),
            count: options.count,
            duration: options.duration,
            answer: answer.map(|value| Values(vec![value])),
        })
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let Connection { socket, .. } = &self.connection;
        self.connection.report(socket);
        let enough = self.listen();
        let enough = async move {
            // It is never enough without a number.
            if enough.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let time = async {
            match self.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        // Behind the first connection there is a way back; before it most likely something is wrong.
        let lost = async {
            match self.connection.connect().await {
                Ok(()) => closed(&socket.closed().await),
                Err(failure) => failure,
            }
        };
        tokio::select! {
            biased;
            () = enough => Ok(()),
            () = time => match self.count {
                None => Ok(()),
                Some(count) => Err(Failure::new(
                    Kind::Timeout,
                    format!("fewer than {count} events have come in the time of --for"),
                )),
            },
            failure = lost => Err(failure),
        }
    }

    /// Prints what comes from now on; tells when it is enough.
    fn listen(&self) -> oneshot::Receiver<()> {
        let Connection { socket, printer, style, .. } = &self.connection;
        let (printer, style, namespace) = (printer.clone(), *style, socket.namespace().to_owned());
        let (names, answer) = (self.names.clone(), self.answer.clone());
        let (enough, receiver) = oneshot::channel();
        let left = Mutex::new((self.count, Some(enough)));
        let left = Arc::new(left);
        socket.on_unhandled(move |name, args, ack| {
            if !names.is_empty() && !names.contains(name) {
                return;
            }
            let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
            if left.0 == Some(0) {
                return;
            }
            let was_taken = printer.out(style.event(&namespace, name, &args, ack.is_wanted()));
            if let Some(answer) = &answer {
                ack.send(answer);
            }
            if was_taken && let Some(count) = &mut left.0 {
                *count -= 1;
                if *count == 0 {
                    // Nobody may wait any more.
                    left.1.take().map(|enough| enough.send(()));
                }
            }
        });
        receiver
    }
}
