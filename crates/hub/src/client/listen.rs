//! `roomful listen`: prints events as they come.

use std::collections::HashSet;
use std::time::Duration;

use roomful_client::{Ack, Args, Reconnection, Socket};
use tokio::sync::watch;

use super::command::Command;
use super::connection::Connection;
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
    /// What is emitted each time that it has connected.
    emits: Vec<(String, Values)>,
}

impl Listening {
    pub(crate) fn new(
        options: &ListenOptions,
        printer: Printer,
        style: Style,
    ) -> Result<Self, Failure> {
        let answer = options.answer.as_deref().map(Value::read).transpose()?;
        let emits = options.emits.iter().map(|line| emitted(line)).collect::<Result<_, _>>()?;
        let connection =
            Connection::new(&options.connection, Reconnection::default(), printer, style)?;
        Ok(Self {
            connection,
            names: options.events.iter().cloned().collect(),
            count: options.count,
            duration: options.duration,
            answer: answer.map(|value| Values(vec![value])),
            emits,
        })
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let Connection { socket, .. } = &self.connection;
        self.connection.report(socket, self.greeting());
        let progress = self.listen();
        let time = async {
            match self.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        // Behind the first connection there is a way back; before it most likely something is wrong.
        let lost = async {
            match self.connection.connect().await {
                Ok(()) => self.connection.closed(&socket.closed().await),
                Err(failure) => failure,
            }
        };
        tokio::select! {
            biased;
            () = until(progress.clone(), |progress| progress.is_enough) => Ok(()),
            () = time => match self.count {
                None => Ok(()),
                Some(count) => Err(Failure::new(
                    Kind::Timeout,
                    format!("fewer than {count} events have come in the time of --for"),
                )),
            },
            failure = lost => {
                // What came before counts, and may still be on its way to the printer.
                let came = self.connection.manager.stats().events;
                until(progress.clone(), |progress| progress.heard >= came).await;
                if progress.borrow().is_enough { Ok(()) } else { Err(failure) }
            }
        }
    }

    /// Emits what the server wants to hear first, unless it knows that still.
    fn greeting(&self) -> impl Fn(&Socket) + Send + Sync + 'static {
        let Connection { printer, style, .. } = &self.connection;
        let (printer, style, emits) = (printer.clone(), *style, self.emits.clone());
        move |socket| {
            if socket.is_recovered() {
                return;
            }
            for (event, values) in &emits {
                if let Err(e) = socket.try_emit(event, values) {
                    printer.note(style.failure(&e.into()));
                }
            }
        }
    }

    /// Prints what comes from now on; tells how far it is.
    fn listen(&self) -> watch::Receiver<Progress> {
        let Connection { socket, printer, style, .. } = &self.connection;
        let (printer, style, namespace) = (printer.clone(), *style, socket.namespace().to_owned());
        let (names, answer, count) = (self.names.clone(), self.answer.clone(), self.count);
        let (sender, receiver) = watch::channel(Progress::default());
        let print = move |name: &str, args: &Args, ack: Ack| {
            let was_taken = printer.out(style.event(&namespace, name, args, ack.is_wanted()));
            if let Some(answer) = &answer {
                ack.send(answer);
            }
            was_taken
        };
        socket.on_unhandled(move |name, args, ack| {
            let is_wanted = names.is_empty() || names.contains(name);
            let was_printed = is_wanted && !sender.borrow().is_enough && print(name, &args, ack);
            sender.send_modify(|progress| {
                progress.heard += 1;
                progress.printed += u64::from(was_printed);
                progress.is_enough = count.is_some_and(|count| progress.printed >= count);
            });
        });
        receiver
    }
}

fn emitted(line: &str) -> Result<(String, Values), Failure> {
    match Command::read(line)? {
        Command::Emit { event, values } => Ok((event, values)),
        _ => Err(Failure::usage("what is emitted is 'EVENT ARG…', as at the prompt")),
    }
}

/// How far a listener is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    heard: u64,
    printed: u64,
    is_enough: bool,
}

async fn until(mut progress: watch::Receiver<Progress>, is_so: impl FnMut(&Progress) -> bool) {
    if progress.wait_for(is_so).await.is_err() {
        // Nobody hears anything any more.
        std::future::pending::<()>().await;
    }
}
