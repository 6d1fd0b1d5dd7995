//! The prompt of `roomful connect` at a terminal: a pseudo-terminal, whose screen is what a person would see.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod screen;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use roomful::{Args, Server, Socket};
use screen::Screen;
use tokio::net::TcpListener;

/// Nothing in a test takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
const UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// A terminal in which the prompt runs.
struct Terminal {
    child: Child,
    keys: File,
    shown: Arc<(Mutex<Screen>, Condvar)>,
    home: PathBuf,
}

impl Terminal {
    /// Starts the prompt, and waits until it can be typed.
    fn start(url: &str, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let terminal = Self::open(url, options, variables);
        terminal.until(|screen| screen.line().ends_with("> "));
        terminal
    }

    fn open(url: &str, options: &[&str], variables: &[(&str, &str)]) -> Self {
        static HOMES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = HOMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("roomful-terminal-{}-{number}", std::process::id());
        let home = std::env::temp_dir().join(name);
        let size =
            Winsize { ws_row: 24, ws_col: screen::COLUMNS as u16, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let slave = |fd: &OwnedFd| fd.try_clone().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomful"));
        command.arg("connect").arg(url).args(options);
        for name in ["NO_COLOR", "RUST_LOG", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color").env("XDG_STATE_HOME", &home);
        command.envs(variables.iter().copied());
        command.stdin(slave(&pty.slave)).stdout(slave(&pty.slave)).stderr(pty.slave);
        let child = command.spawn().unwrap();
        // The command holds the other end, too, and the reader would not see its end.
        drop(command);
        let keys = File::from(pty.master);
        let shown = Arc::new((Mutex::new(Screen::default()), Condvar::new()));
        let (mut output, own) = (keys.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The last one who has it open has gone when it fails.
            while let Ok(len @ 1..) = output.read(&mut bytes) {
                own.0.lock().unwrap().show(&bytes[..len]);
                own.1.notify_all();
            }
        });
        Self { child, keys, shown, home }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is so.
    #[track_caller]
    fn until(&self, is_so: impl Fn(&Screen) -> bool) {
        let (screen, changed) = &*self.shown;
        let wait = changed
            .wait_timeout_while(screen.lock().unwrap(), PATIENCE, |screen| !is_so(screen))
            .unwrap();
        assert!(!wait.1.timed_out(), "it never was so on the screen:\n{}", wait.0.text());
    }

    /// Waits until the line with the cursor is this one.
    #[track_caller]
    fn until_typed(&self, line: &str) {
        self.until(|screen| screen.line() == line);
    }

    /// Waits until there is such a line, whatever the time in front of it.
    #[track_caller]
    fn until_shown(&self, line: &str) {
        self.until(|screen| screen.lines().any(|shown| shown.ends_with(line)));
    }

    fn text(&self) -> String {
        self.shown.0.lock().unwrap().text()
    }

    fn is_painted(&self) -> bool {
        self.shown.0.lock().unwrap().is_painted
    }

    /// Whether lines are edited by the system again, as before.
    fn is_restored(&self) -> bool {
        let flags = tcgetattr(self.keys.as_fd()).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    #[track_caller]
    fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn history(&self) -> PathBuf {
        self.home.join("roomful/history")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// A server, and its address.
async fn site() -> (Server, String) {
    let io = Server::new();
    io.on_connect(async |me: Socket| me.emit("welcome", ()));
    io.on("add", async |_: Socket, a: i64, b: i64| a + b);
    io.on("echo", async |me: Socket, args: Args| me.emit("echoed", args));
    io.on("flood", async |me: Socket, n: usize| (0..n).for_each(|i| me.emit("drop", i)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = io.clone();
    tokio::spawn(async move { server.serve_on(listener).await });
    (io, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_printed_above_the_prompt() {
    let (_io, url) = site().await;
    let mut terminal = Terminal::start(&url, &[], &[]);
    terminal.until_shown(" welcome");
    terminal.until_shown("roomful: type EVENT ARG… to send, and /help for more");
    terminal.press("add 1 2 ?\r");
    terminal.until(|screen| screen.lines().any(|line| line.starts_with("add = 3 (")));
    terminal.until_typed("> ");
    terminal.press("/disconnect\r");
    terminal.until_shown("roomful: disconnected");
    terminal.until_typed("> ");
    terminal.press("echo 1\r");
    terminal.until_shown("roomful: not connected: /connect comes first");
    terminal.until_typed("> ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_typed_line_stands_while_events_come() {
    let (io, url) = site().await;
    let mut terminal = Terminal::start(&url, &[], &[]);
    terminal.until_shown(" welcome");
    terminal.press("echo ha");
    terminal.until_typed("> echo ha");
    for n in 0..50 {
        io.emit("news", (n, "é😀"));
    }
    terminal.until_shown("news 49 \"é😀\"");
    terminal.until_typed("> echo ha");
    let shown = terminal.text();
    let news = shown.lines().filter_map(|line| Some(line.split_once(" news ")?.1.to_owned()));
    assert_eq!(
        news.collect::<Vec<_>>(),
        (0..50).map(|n| format!("{n} \"é😀\"")).collect::<Vec<_>>()
    );
    terminal.press("lf\r");
    terminal.until_shown(" echoed \"half\"");
    // Of a line that is longer than the screen is wide nothing is left above, either.
    let long = "x".repeat(screen::COLUMNS + 20);
    let (above, line) = (format!("> echo {}", &long[27..]), &long[..27]);
    let stands = |screen: &Screen| screen.line() == line && screen.above() == above;
    terminal.press(&format!("echo {long}"));
    terminal.until(stands);
    io.emit("news", "long");
    terminal.until_shown(" news \"long\"");
    terminal.until(stands);
    assert_eq!(terminal.text().matches("> echo x").count(), 1, "{}", terminal.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn tab_completes_commands_and_events_that_were_seen() {
    let (_io, url) = site().await;
    let mut terminal = Terminal::start(&url, &[], &[]);
    terminal.until_shown(" welcome");
    terminal.press("wel\t");
    terminal.until_typed("> welcome");
    terminal.press("\x15/he\t");
    terminal.until_typed("> /help");
    terminal.press("\r");
    terminal.until_shown("/quit           ends, as Ctrl-D does");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_there_the_next_time_and_has_no_secret() {
    let (_io, url) = site().await;
    let mut terminal = Terminal::start(&url, &[], &[]);
    for line in ["echo 1", "/auth {\"token\":\"s3cret\"}", " echo s3cret", "echo 2"] {
        terminal.press(line);
        terminal.until_typed(&format!("> {line}"));
        terminal.press("\r");
        terminal.until_typed("> ");
    }
    for before in ["echo 2", "/auth", "echo 1"] {
        terminal.press(UP);
        terminal.until_typed(&format!("> {before}"));
    }
    terminal.press("\x15/history\r");
    terminal.until(|screen| screen.text().contains("\necho 1\n/auth\necho 2\n"));
    let history = std::fs::read_to_string(terminal.history()).unwrap();
    assert!(history.contains("echo 1") && !history.contains("s3cret"), "{history}");
    let mode = std::fs::metadata(terminal.history()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    terminal.until_typed("> ");
    terminal.press(CTRL_D);
    assert_eq!(terminal.end().code(), Some(0));

    let home = terminal.home.to_str().unwrap().to_owned();
    let mut again = Terminal::start(&url, &[], &[("XDG_STATE_HOME", &home)]);
    for before in ["/history", "echo 2"] {
        again.press(UP);
        again.until_typed(&format!("> {before}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_as_it_is_told_and_leaves_the_terminal_as_it_was() {
    let (_io, url) = site().await;
    let ends = [("/quit\r", 0), (CTRL_D, 0), (CTRL_C, 130), ("half a line\x03", 130)];
    for (keys, code) in ends {
        let mut terminal = Terminal::start(&url, &[], &[]);
        assert!(!terminal.is_restored());
        terminal.press(keys);
        assert_eq!(terminal.end().code(), Some(code), "{keys:?}: {}", terminal.text());
        assert!(terminal.is_restored(), "{keys:?}");
    }
    // What is sent from outside does the same as the key.
    let mut terminal = Terminal::start(&url, &[], &[]);
    let pid = terminal.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(terminal.end().code(), Some(130));
    assert!(terminal.is_restored());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_in_the_midst_of_a_flood() {
    let (_io, url) = site().await;
    for (keys, code) in [("/quit\r", 0), (CTRL_D, 0), (CTRL_C, 130)] {
        let mut terminal = Terminal::start(&url, &[], &[]);
        terminal.press("flood 5000\r");
        terminal.until(|screen| screen.text().contains(" drop 99") && screen.line() == "> ");
        terminal.press(keys);
        assert_eq!(terminal.end().code(), Some(code), "{keys:?}");
        assert!(terminal.is_restored(), "{keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_painted_unless_told_otherwise() {
    let (_io, url) = site().await;
    let painted = |options: &[&str], variables: &[(&str, &str)]| {
        let terminal = Terminal::start(&url, options, variables);
        terminal.until(|screen| screen.text().contains("welcome"));
        terminal.is_painted()
    };
    assert!(painted(&[], &[]));
    assert!(painted(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!painted(&["--color", "never"], &[]));
    assert!(!painted(&["--json"], &[]));
    assert!(!painted(&[], &[("NO_COLOR", "1")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_can_only_print_takes_lines() {
    let (_io, url) = site().await;
    let mut terminal = Terminal::open(&url, &["-q"], &[("TERM", "dumb")]);
    terminal.until_shown(" welcome");
    terminal.press("add 1 2 ?\n");
    terminal.until(|screen| screen.lines().any(|line| line.starts_with("add = 3 (")));
    assert!(!terminal.is_painted());
    terminal.press(CTRL_D);
    assert_eq!(terminal.end().code(), Some(0));
}

/// What is pasted comes at once, and only its first line was taken.
#[tokio::test(flavor = "multi_thread")]
async fn several_lines_at_once_are_taken_one_after_the_other() {
    let (_io, url) = site().await;
    let mut terminal = Terminal::start(&url, &[], &[]);
    terminal.until_shown(" welcome");
    terminal.press("echo first\recho second\recho thi");
    terminal.until_shown(" echoed \"first\"");
    terminal.until_shown(" echoed \"second\"");
    terminal.until(|screen| screen.line() == "> echo thi");
}
