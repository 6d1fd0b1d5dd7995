//! [`Traffic`]: what goes to and fro, in colour on a terminal, and as lines of JSON otherwise.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Those that names have, one after the other, by their first letters: they are legible on light and dark.
const COLOURS: [u8; 6] = [32, 33, 34, 35, 36, 31];

/// What one program sends and hears.
#[derive(Clone)]
pub(crate) struct Traffic {
    who: String,
    is_terminal: bool,
}

impl Traffic {
    pub(crate) fn of(who: &str) -> Self {
        let is_terminal = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { who: who.to_owned(), is_terminal }
    }

    /// Shows an event that was sent, and to whom.
    pub(crate) fn sends(&self, event: &str, args: &Value, to: &str) {
        self.show("sends", event, args, to);
    }

    /// Shows an event that has come, and from whom.
    pub(crate) fn hears(&self, event: &str, args: &Value, from: &str) {
        self.show("hears", event, args, from);
    }

    /// Shows something that has happened here.
    pub(crate) fn notes(&self, event: &str, what: &Value) {
        self.show("notes", event, what, "");
    }

    fn show(&self, way: &str, event: &str, args: &Value, peer: &str) {
        let line = if self.is_terminal {
            let colour = COLOURS[self.who.bytes().map(usize::from).sum::<usize>() % COLOURS.len()];
            let sign = match way {
                "sends" => "→",
                "hears" => "←",
                _ => "·",
            };
            format!(
                "\x1b[{colour}m{:<8}\x1b[0m {sign} \x1b[1m{event}\x1b[0m {args} \x1b[2m{peer}\x1b[0m",
                self.who
            )
        } else {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            json!({ "at": at, "who": self.who, "way": way, "event": event, "args": args, "peer": peer }).to_string()
        };
        // Whoever has read enough closes the pipe, which is no reason to end.
        let _ = writeln!(stdout(), "{line}");
    }
}

/// The arguments of an event as one value.
pub(crate) fn list(args: &[u8]) -> Value {
    serde_json::from_slice(&[b"[", args, b"]"].concat()).unwrap_or_default()
}
