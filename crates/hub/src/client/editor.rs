//! [`Editor`]: the line that is typed at a terminal, with its history and completion.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{FileHistory, History as _, SearchDirection};
use rustyline::validate::Validator;
use rustyline::{Config, Context, ExternalPrinter, Helper};
use tokio::sync::oneshot;

use super::command::COMMANDS;
use super::failure::Failure;
use super::printer::{Line, Sink};

/// Lines that are remembered.
const HISTORY_LINES_MAX: usize = 1_000;
/// Names of events that are remembered for completion, and bytes of one.
const NAMES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 128;

/// Names of events that were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<Mutex<BTreeSet<String>>>);

impl Names {
    pub(crate) fn see(&self, name: &str) {
        let is_word = name.bytes().all(|byte| byte.is_ascii_graphic());
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_word
            && name.len() <= NAME_BYTES_MAX
            && names.len() < NAMES_MAX
            && !names.contains(name)
        {
            names.insert(name.to_owned());
        }
    }

    fn beginning_with(&self, start: &str) -> Vec<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = COMMANDS.iter().map(|&command| command.to_owned());
        let all = commands.chain(names.iter().cloned());
        all.filter(|name| name.starts_with(start)).collect()
    }
}

/// What was typed.
pub(crate) enum Typed {
    Line(String),
    /// Ctrl-C, whatever else was typed.
    Interrupt,
    /// Ctrl-D.
    End,
}

enum Request {
    Read { prompt: String, typed: oneshot::Sender<Result<Typed, Failure>> },
    History(oneshot::Sender<Vec<String>>),
    End(oneshot::Sender<()>),
}

/// The line editor, in a thread of its own. It reads only when it is asked to, so that the terminal is as it was
/// when the program ends.
pub(crate) struct Editor {
    requests: mpsc::Sender<Request>,
}

impl Editor {
    /// Starts it; also gives what prints around the line. There is none where the terminal can do nothing but
    /// print, such as a `dumb` one.
    pub(crate) fn start(
        names: Names,
        errors_are_here: bool,
    ) -> Result<Option<(Self, impl Sink)>, Failure> {
        let bad = |e: ReadlineError| Failure::usage(format!("the terminal cannot be used: {e}"));
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(bad)?
            .history_ignore_space(true)
            .auto_add_history(false)
            .build();
        let mut editor =
            rustyline::Editor::<Words, FileHistory>::with_config(config).map_err(bad)?;
        editor.set_helper(Some(Words(names)));
        let Ok(printer) = editor.create_external_printer() else {
            return Ok(None);
        };
        let sink = Around { printer, errors_are_here };
        let (requests, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let path = history_path();
            if let Some(path) = &path {
                // There is none at first.
                let _ = editor.load_history(path);
            }
            for request in receiver {
                match request {
                    Request::Read { prompt, typed } => {
                        // Who asked may be gone.
                        drop(typed.send(read(&mut editor, &prompt, path.as_deref())));
                    }
                    Request::History(lines) => drop(lines.send(history(editor.history()))),
                    Request::End(ended) => {
                        drop(editor);
                        let _ = ended.send(());
                        return;
                    }
                }
            }
        });
        Ok(Some((Self { requests }, sink)))
    }

    /// Reads a line.
    pub(crate) async fn read(&self, prompt: String) -> Result<Typed, Failure> {
        let (typed, line) = oneshot::channel();
        let gone = || Failure::usage("the terminal cannot be read any more");
        self.requests.send(Request::Read { prompt, typed }).map_err(|_| gone())?;
        line.await.map_err(|_| gone())?
    }

    /// The lines before.
    pub(crate) async fn history(&self) -> Vec<String> {
        let (sender, lines) = oneshot::channel();
        match self.requests.send(Request::History(sender)) {
            Ok(()) => lines.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// No line will be read any more: what is printed from now on has nothing to go around, and must not wait
    /// for it.
    pub(crate) async fn end(&self) {
        let (ended, end) = oneshot::channel();
        if self.requests.send(Request::End(ended)).is_ok() {
            let _ = end.await;
        }
    }
}

fn read(
    editor: &mut rustyline::Editor<Words, FileHistory>,
    prompt: &str,
    path: Option<&Path>,
) -> Result<Typed, Failure> {
    match editor.readline(prompt) {
        Ok(line) => {
            // A history that cannot be written is none; the line counts all the same.
            if let Some(kept) = kept(&line)
                && editor.add_history_entry(kept).unwrap_or_default()
                && let Some(path) = path
            {
                let _ = make_parent(path).map(|()| editor.append_history(path));
            }
            Ok(Typed::Line(line))
        }
        Err(ReadlineError::Interrupted) => Ok(Typed::Interrupt),
        Err(ReadlineError::Eof) => Ok(Typed::End),
        Err(e) => Err(Failure::usage(format!("the terminal cannot be read: {e}"))),
    }
}

/// What the history keeps of a line: of `/auth` not what it says.
fn kept(line: &str) -> Option<&str> {
    if line.starts_with(char::is_whitespace) || line.is_empty() {
        return None;
    }
    let command = line.split(char::is_whitespace).next().unwrap_or_default();
    Some(if command == "/auth" { command } else { line })
}

fn history(history: &FileHistory) -> Vec<String> {
    let line = |index| history.get(index, SearchDirection::Forward).ok().flatten();
    (0..history.len()).filter_map(|index| Some(line(index)?.entry.into_owned())).collect()
}

/// `roomful/history` in the user's directory for what programs remember.
fn history_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME")
        .or_else(|| Some(set("HOME")?.join(".local/state")))
        .or_else(|| set("LOCALAPPDATA"))?;
    Some(state.join("roomful").join("history"))
}

fn make_parent(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(parent)
}

/// Prints around the line that is typed.
struct Around<P> {
    printer: P,
    /// Whether standard error is this terminal, too.
    errors_are_here: bool,
}

impl<P: ExternalPrinter + Send + 'static> Sink for Around<P> {
    fn print(&mut self, line: Line) -> io::Result<()> {
        match line {
            Line::Note(text) if !self.errors_are_here => {
                let _ = writeln!(io::stderr(), "{text}");
                Ok(())
            }
            Line::Out(text) | Line::Note(text) => {
                let text = format!("{text}\n");
                // It fails where the editor has ended meanwhile. A line that the editor had taken by then and
                // not printed is lost.
                self.printer.print(text.clone()).or_else(|_| write!(io::stdout(), "{text}"))
            }
        }
    }
}

/// Completes names of events and commands.
struct Words(Names);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        // What is typed may stand in the middle of a character only if the editor errs.
        let start = line.get(..position).unwrap_or_default();
        match start.contains(char::is_whitespace) {
            true => Ok((position, Vec::new())),
            false => Ok((0, self.0.beginning_with(start))),
        }
    }
}

impl Helper for Words {}
impl Highlighter for Words {}
impl Validator for Words {}

impl Hinter for Words {
    type Hint = String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_keeps_no_secret() {
        assert_eq!(kept("say hello"), Some("say hello"));
        assert_eq!(kept("/auth {\"token\":\"x\"}"), Some("/auth"));
        assert_eq!(kept("/auth\t{}"), Some("/auth"));
        for line in [" say hello", " /auth {}", ""] {
            assert_eq!(kept(line), None, "{line:?}");
        }
    }

    #[test]
    fn names_that_were_seen_are_completed_and_bounded() {
        let names = Names::default();
        for name in ["say", "sing", "a b", &"x".repeat(NAME_BYTES_MAX + 1)] {
            names.see(name);
        }
        assert_eq!(names.beginning_with("s"), ["say", "sing"]);
        assert_eq!(names.beginning_with("/he"), ["/help"]);
        assert!(names.beginning_with("a").is_empty() && names.beginning_with("x").is_empty());
        (0..1000).for_each(|n| names.see(&format!("n{n}")));
        assert_eq!(names.beginning_with("").len(), COMMANDS.len() + NAMES_MAX);
    }
}
