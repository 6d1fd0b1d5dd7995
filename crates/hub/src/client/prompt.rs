//! `roomful connect`: prints what comes while a prompt reads what is to be sent.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::sync::Mutex;
use std::time::Instant;

use roomful_client::{Reconnection, Socket};
use serde_json::json;

use super::command::Command;
use super::connection::Connection;
use super::editor::{Editor, Names, Typed};
use super::failure::{Failure, Kind};
use super::lines::Lines;
use super::options::{PROMPT, PromptOptions};
use super::printer::{Printer, Standard};
use super::style::{Style, is_error};
use super::value::Values;

/// The prompt, and what is connected behind it.
pub(crate) struct Prompt {
    connection: Connection,
    names: Names,
    /// Absent where the input is no terminal, but lines.
    editor: Option<Editor>,
    /// Namespaces that are heard already.
    heard: Mutex<Vec<String>>,
}

impl Prompt {
    pub(crate) fn new(options: &PromptOptions, style: Style) -> Result<Self, Failure> {
        let names = Names::default();
        let is_terminal = stdin().is_terminal() && stdout().is_terminal();
        let editor = match is_terminal {
            true => Editor::start(names.clone(), stderr().is_terminal())?,
            false => None,
        };
        let (editor, printer) = match editor {
            Some((editor, sink)) => (Some(editor), Printer::start(style, sink)),
            None => (None, Printer::start(style, Standard::new())),
        };
        let connection =
            Connection::new(&options.connection, Reconnection::default(), printer, style)?;
        Ok(Self { connection, names, editor, heard: Mutex::default() })
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) async fn run(&self) -> Result<(), Failure> {
        let mut socket = self.connection.socket.clone();
        self.hear(&socket);
        let connected = self.connection.connect().await;
        match &self.editor {
            Some(editor) => {
                match connected {
                    Ok(()) => self.tell("type EVENT ARG… to send, and /help for more"),
                    // It may be mended here, by `/auth` for example.
                    Err(failure) => self.connection.complain(&failure),
                }
                let done = self.terminal(editor, &mut socket).await;
                editor.end().await;
                done
            }
            None => {
                connected?;
                self.lines(&mut socket).await
            }
        }
    }

    async fn terminal(&self, editor: &Editor, socket: &mut Socket) -> Result<(), Failure> {
        loop {
            let prompt = match socket.namespace() {
                "/" => "> ".to_owned(),
                name => format!("{name}> "),
            };
            let line = match editor.read(prompt).await? {
                Typed::Line(line) => line,
                Typed::Interrupt => return Err(Failure::new(Kind::Interrupted, "interrupted")),
                Typed::End => break,
            };
            match Command::read(&line) {
                Ok(Command::Quit) => break,
                Ok(Command::History) => {
                    let lines = editor.history().await;
                    self.connection.printer.out(lines.join("\n"));
                }
                // An answer is not waited for: more can be said meanwhile.
                Ok(Command::Call { event, values }) => {
                    let asked = Asked::new(self, socket, event, values);
                    tokio::spawn(async move {
                        if let Err(failure) = asked.answered().await {
                            asked.connection.complain(&failure);
                        }
                    });
                }
                Ok(command) => {
                    if let Err(failure) = self.perform(socket, command).await {
                        self.connection.complain(&failure);
                    }
                }
                Err(failure) => self.connection.complain(&failure),
            }
        }
        Ok(())
    }

    /// Each line is done when the next one begins. The first failure, which was told when it came, is that of
    /// the program in the end.
    async fn lines(&self, socket: &mut Socket) -> Result<(), Failure> {
        let mut lines = Lines::start();
        let mut done = Ok(());
        while let Some(line) = lines.next().await? {
            let result = match Command::read(&line) {
                Ok(Command::Quit) => break,
                Ok(command) => self.perform(socket, command).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = &result {
                self.connection.complain(failure);
            }
            done = done.and(result);
        }
        if socket.is_active() {
            let arrived = self.connection.with(socket).arrived().await;
            return done.map_err(Failure::told).and(arrived);
        }
        done.map_err(Failure::told)
    }

    async fn perform(&self, socket: &mut Socket, command: Command) -> Result<(), Failure> {
        match command {
            Command::Nothing | Command::Quit => {}
            Command::Emit { event, values } => {
                is_there(socket)?;
                self.names.see(&event);
                socket.try_emit(&event, &values)?;
            }
            Command::Call { event, values } => {
                is_there(socket)?;
                Asked::new(self, socket, event, values).answered().await?;
            }
            Command::Namespace(name) => {
                let next = self.connection.manager.socket(&name);
                if next.namespace() != socket.namespace() {
                    self.hear(&next);
                    let connected = self.connection.with(&next).connect().await;
                    connected.inspect_err(|_| next.disconnect())?;
                    socket.disconnect();
                    *socket = next;
                }
            }
            Command::Auth(json) => {
                socket.auth(json)?;
                self.tell("this is said with the next /connect");
            }
            Command::Disconnect => {
                socket.disconnect();
                self.tell("disconnected");
            }
            Command::Connect => self.connection.with(socket).connect().await?,
            Command::Help => {
                self.connection.printer.out(PROMPT.to_owned());
            }
            Command::History => {
                return Err(Failure::usage("there is a history at a terminal only"));
            }
        }
        Ok(())
    }

    /// Prints what comes for a socket from now on, and what happens to it.
    fn hear(&self, socket: &Socket) {
        let namespace = socket.namespace().to_owned();
        let mut heard = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if heard.contains(&namespace) {
            return;
        }
        heard.push(namespace.clone());
        self.connection.report(socket, |_| ());
        let Connection { printer, style, .. } = &self.connection;
        let (printer, style, names) = (printer.clone(), *style, self.names.clone());
        socket.on_unhandled(move |name, args, ack| {
            names.see(name);
            printer.out(style.event(&namespace, name, &args, ack.is_wanted()));
        });
    }

    fn tell(&self, text: &str) {
        let Connection { printer, style, .. } = &self.connection;
        if !style.quiet {
            printer.note(style.status(text, &json!({ "status": "hint", "text": text })));
        }
    }
}

/// Nothing is sent to a namespace that was left: it would wait for ever.
fn is_there(socket: &Socket) -> Result<(), Failure> {
    match socket.is_active() {
        true => Ok(()),
        false => Err(Failure::new(Kind::Connection, "not connected: /connect comes first")),
    }
}

/// An event whose answer is waited for.
struct Asked {
    connection: Connection,
    event: String,
    at: Instant,
    values: Values,
}

impl Asked {
    fn new(prompt: &Prompt, socket: &Socket, event: String, values: Values) -> Self {
        prompt.names.see(&event);
        Self { connection: prompt.connection.with(socket), event, at: Instant::now(), values }
    }

    async fn answered(&self) -> Result<(), Failure> {
        let Connection { socket, printer, style, .. } = &self.connection;
        is_there(socket)?;
        let answer = self.connection.call(&self.event, &self.values).await?;
        printer.out_in_time(style.reply(&self.event, &answer, self.at.elapsed())).await;
        match is_error(&answer) {
            true => Err(Failure::new(Kind::ServerError, "the server answered an error")),
            false => Ok(()),
        }
    }
}
