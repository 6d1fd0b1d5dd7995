//! [`Printer`]: what waits to be printed, and the thread that prints it.
//!
//! A terminal that is stopped or a pipe that nobody reads holds up that thread alone. What comes meanwhile waits,
//! up to [`WAITING_BYTES_MAX`]; above that it is dropped and counted.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::failure::Failure;
use super::style::Style;

/// Bytes that wait to be printed.
pub(crate) const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is printed, without the end of its line.
#[derive(Debug)]
pub(crate) enum Line {
    /// What came from the server: to standard output.
    Out(String),
    /// All else: to standard error.
    Note(String),
}

impl Line {
    const fn len(&self) -> usize {
        match self {
            Self::Out(text) | Self::Note(text) => text.len(),
        }
    }
}

/// Where lines go in the end.
pub(crate) trait Sink: Send + 'static {
    fn print(&mut self, line: Line) -> io::Result<()>;

    /// Nothing more waits.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output and standard error.
pub(crate) struct Standard {
    out: BufWriter<io::Stdout>,
}

impl Standard {
    pub(crate) fn new() -> Self {
        Self { out: BufWriter::new(io::stdout()) }
    }
}

impl Sink for Standard {
    fn print(&mut self, line: Line) -> io::Result<()> {
        match line {
            Line::Out(text) => writeln!(self.out, "{text}"),
            Line::Note(text) => {
                self.out.flush()?;
                // Nobody may read it; what is on standard output is wanted all the same.
                let _ = writeln!(io::stderr(), "{text}");
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_mut().flush()
    }
}

/// Prints lines in their order. A handle.
#[derive(Clone)]
pub(crate) struct Printer {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// The thread waits for lines here.
    filled: Condvar,
    /// A line was printed, or none ever will be again.
    printed: Notify,
    bytes_max: usize,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Lines that were dropped, and of which nothing was said yet.
    dropped: u64,
    /// The thread holds a line.
    is_printing: bool,
    /// Nothing can be printed any more, and why.
    broken: Option<io::Error>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Printer {
    /// Starts the thread.
    pub(crate) fn start(style: Style, sink: impl Sink) -> Self {
        Self::start_with(style, sink, WAITING_BYTES_MAX)
    }

    fn start_with(style: Style, sink: impl Sink, bytes_max: usize) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            printed: Notify::new(),
            bytes_max,
        });
        let own = Arc::clone(&shared);
        // It ends with the process, whatever it hangs in.
        std::thread::spawn(move || work(&own, style, sink));
        Self { shared }
    }

    /// Prints what came from the server; whether there was room for it.
    pub(crate) fn out(&self, text: String) -> bool {
        self.push(Line::Out(text))
    }

    /// Prints something else; whether there was room for it.
    pub(crate) fn note(&self, text: String) -> bool {
        self.push(Line::Note(text))
    }

    /// Prints what came from the server as soon as there is room for it.
    pub(crate) async fn out_in_time(&self, text: String) {
        self.until(|queue| queue.lines.is_empty() || queue.bytes < self.shared.bytes_max / 2).await;
        self.out(text);
    }

    fn push(&self, line: Line) -> bool {
        let mut queue = self.shared.lock();
        // One line may be longer than all that may wait.
        let fits = queue.lines.is_empty() || queue.bytes + line.len() <= self.shared.bytes_max;
        if !fits || queue.broken.is_some() {
            queue.dropped += 1;
            return false;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line);
        self.shared.filled.notify_one();
        true
    }

    /// Waits until all is printed, or nobody reads it.
    pub(crate) async fn flushed(&self) {
        self.until(|queue| queue.lines.is_empty() && queue.dropped == 0 && !queue.is_printing)
            .await;
    }

    /// Waits until nothing can be printed any more.
    pub(crate) async fn broken(&self) {
        self.until(|_| false).await;
    }

    /// Why something could not be printed. Who has read enough and goes, as `head` does, is no failure.
    pub(crate) fn failure(&self) -> Result<(), Failure> {
        match &self.shared.lock().broken {
            Some(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::usage(format!("what came cannot be printed: {e}")))
            }
            _ => Ok(()),
        }
    }

    /// Waits until it is so, or nobody reads.
    async fn until(&self, mut done: impl FnMut(&Queue) -> bool) {
        loop {
            let printed = self.shared.printed.notified();
            {
                let queue = self.shared.lock();
                if queue.broken.is_some() || done(&queue) {
                    return;
                }
            }
            printed.await;
        }
    }
}

fn work(shared: &Shared, style: Style, mut sink: impl Sink) {
    loop {
        let line = next(shared, style);
        let mut result = sink.print(line);
        let is_last = shared.lock().lines.is_empty();
        if is_last {
            result = result.and_then(|()| sink.flush());
        }
        let mut queue = shared.lock();
        queue.is_printing = false;
        let is_broken = result.is_err();
        if is_broken {
            *queue = Queue { broken: result.err(), ..Queue::default() };
        }
        drop(queue);
        shared.printed.notify_waiters();
        if is_broken {
            return;
        }
    }
}

/// Waits for the next line: what was dropped is said behind what came before it.
fn next(shared: &Shared, style: Style) -> Line {
    let mut queue = shared.lock();
    loop {
        if let Some(line) = queue.lines.pop_front() {
            queue.bytes -= line.len();
            queue.is_printing = true;
            return line;
        }
        if queue.dropped > 0 {
            queue.is_printing = true;
            return Line::Note(style.dropped(std::mem::take(&mut queue.dropped)));
        }
        queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn style() -> Style {
        let cli = Cli::try_parse_from(["roomful", "listen", "localhost:1", "--color", "never"]);
        let Ok(Cli { command: Command::Listen(options) }) = cli else { panic!("not listen") };
        Style::of(&options.connection)
    }

    /// A sink that takes a line each time that it is let.
    struct Slow {
        allowed: mpsc::Receiver<()>,
        taken: Arc<Mutex<Vec<String>>>,
    }

    impl Sink for Slow {
        fn print(&mut self, line: Line) -> io::Result<()> {
            self.allowed.recv().map_err(io::Error::other)?;
            let (Line::Out(text) | Line::Note(text)) = line;
            self.taken.lock().unwrap().push(text);
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_not_printed_in_time_is_dropped_and_counted() {
        let (allow, allowed) = mpsc::channel();
        let taken = Arc::<Mutex<Vec<String>>>::default();
        let sink = Slow { allowed, taken: Arc::clone(&taken) };
        let printer = Printer::start_with(style(), sink, 100);
        let kept = (0..1000).filter(|n| printer.out(format!("{n:010}"))).count();
        // At most one more is in the hands of the thread.
        assert!((10..=11).contains(&kept), "{kept}");
        for _ in 0..=kept {
            allow.send(()).unwrap();
        }
        printer.flushed().await;
        let found = std::mem::take(&mut *taken.lock().unwrap());
        assert_eq!(found.len(), kept + 1);
        let dropped = format!("roomful: {} lines were dropped", 1000 - kept);
        assert!(found[kept].starts_with(&dropped), "{}", found[kept]);
        // A line alone may be longer.
        allow.send(()).unwrap();
        assert!(printer.out("x".repeat(1000)));
        printer.flushed().await;
        drop(allow);
        printer.out("nobody reads".to_owned());
        printer.broken().await;
        printer.flushed().await;
        assert!(!printer.out("more".to_owned()));
    }
}
