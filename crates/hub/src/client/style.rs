//! [`Style`]: how things are written, as text or as JSON.

use std::fmt::Write as _;
use std::io::{IsTerminal, stderr, stdout};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roomful_client::{Args, Bytes};
use serde_json::json;

use super::clock::rfc3339;
use super::failure::Failure;
use super::options::{ColorChoice, ConnectionOptions};

/// Bytes of an attachment that a text shows.
const SHOWN_BYTES_MAX: usize = 32;
const TIME: &str = "2";
const NAME: &str = "1;36";
const WARNING: &str = "33";
const ERROR: &str = "1;31";

/// How things are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Colours on standard output.
    color: bool,
    /// Colours on standard error.
    error_color: bool,
}

impl Style {
    pub(crate) fn of(options: &ConnectionOptions) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = |is_terminal: bool| match options.color {
            ColorChoice::Auto => is_terminal && !plain && !options.json,
            ColorChoice::Always => !options.json,
            ColorChoice::Never => false,
        };
        let (color, error_color) = (color(stdout().is_terminal()), color(stderr().is_terminal()));
        Self { json: options.json, quiet: options.quiet, color, error_color }
    }

    /// An event that has come.
    pub(crate) fn event(
        &self,
        namespace: &str,
        name: &str,
        args: &Args,
        wants_ack: bool,
    ) -> String {
        let time = rfc3339(SystemTime::now());
        if self.json {
            return format!(
                "{{\"time\":\"{time}\",\"namespace\":{},\"event\":{},\"args\":{},\"ack\":{wants_ack}}}",
                quoted(namespace),
                quoted(name),
                self.list(args),
            );
        }
        // The time of day alone.
        let mut line = paint(self.color, TIME, &time[11..]);
        line.push(' ');
        line.push_str(&paint(self.color, NAME, &shown_name(name)));
        for arg in self.each(args) {
            line.push(' ');
            line.push_str(&arg);
        }
        if wants_ack {
            line.push_str(&paint(self.color, TIME, " (wants an ack)"));
        }
        line
    }

    /// The answer to an event: a line for each argument, or an object.
    pub(crate) fn answer(&self, args: &Args, time: Duration) -> String {
        if self.json {
            let ms = time.as_secs_f64() * 1e3;
            return format!("{{\"answer\":{},\"ms\":{ms:.3}}}", self.list(args));
        }
        self.each(args).collect::<Vec<_>>().join("\n")
    }

    /// The answer at the prompt, where other things stand around it.
    pub(crate) fn reply(&self, name: &str, args: &Args, time: Duration) -> String {
        if self.json {
            return self.answer(args, time);
        }
        let mut line = paint(self.color, NAME, &format!("{} =", shown_name(name)));
        for arg in self.each(args) {
            line.push(' ');
            line.push_str(&arg);
        }
        let time = format!(" ({:.1} ms)", time.as_secs_f64() * 1e3);
        line.push_str(&paint(self.color, TIME, &time));
        line
    }

    /// What happens to the connection, which `text` says and `json` says for programs.
    pub(crate) fn status(&self, text: &str, json: &serde_json::Value) -> String {
        match self.json {
            true => escaped(&json.to_string()),
            false => paint(self.error_color, WARNING, &format!("roomful: {}", escaped_text(text))),
        }
    }

    /// Lines that were dropped.
    pub(crate) fn dropped(&self, lines: u64) -> String {
        let text = format!("{lines} lines were dropped, since they were not taken in time");
        self.status(&text, &json!({ "status": "dropped", "lines": lines }))
    }

    pub(crate) fn failure(&self, failure: &Failure) -> String {
        match self.json {
            true => escaped(&failure.to_json().to_string()),
            false => {
                let who = paint(self.error_color, ERROR, "roomful:");
                let fix = failure.fix.map(|fix| format!("\n  {fix}")).unwrap_or_default();
                format!("{who} {}{fix}", escaped_text(&failure.message))
            }
        }
    }

    fn each<'a>(&'a self, args: &'a Args) -> impl Iterator<Item = String> + 'a {
        args.iter().map(|json| written(json, args.attachments(), self.json))
    }

    fn list(&self, args: &Args) -> String {
        let each: Vec<_> = self.each(args).collect();
        format!("[{}]", each.join(","))
    }
}

/// Whether the answer says that there was an error: an object whose `error` is neither null nor false.
pub(crate) fn is_error(answer: &Args) -> bool {
    let first = answer.get::<serde_json::Value>(0).unwrap_or_default();
    first.get("error").is_some_and(|error| !error.is_null() && *error != false)
}

fn paint(color: bool, code: &str, text: &str) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// The name of an event: as it is where it is a word.
fn shown_name(name: &str) -> String {
    let is_word =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if is_word { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    escaped(&serde_json::Value::from(text).to_string())
}

/// What a terminal would obey, or what would show a text in another order than it has.
const fn is_unsafe(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// JSON on one line, without space between its parts, in which nothing is left that a terminal obeys. It stays
/// the same value.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_text, mut behind_backslash) = (false, false);
    for c in json.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' if !in_text => continue,
            '"' if !behind_backslash => in_text = !in_text,
            _ => {}
        }
        behind_backslash = c == '\\' && !behind_backslash;
        match is_unsafe(c) {
            true => drop(write!(out, "\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// A text for a terminal, on one line: what a server says of itself could look like a line of this program.
fn escaped_text(text: &str) -> String {
    let replaced = |c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_unsafe(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(replaced).collect()
}

/// An argument, with its bytes in the place of their placeholders.
fn written(json: &[u8], attachments: &[Bytes], as_json: bool) -> String {
    let json = escaped(&String::from_utf8_lossy(json));
    if attachments.is_empty() {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = &*json;
    // In a text there is a backslash before each quote, so this is never one.
    while let Some(at) = rest.find("{\"") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match placeholder(from).and_then(|(number, len)| Some((attachments.get(number)?, len))) {
            Some((bytes, len)) => {
                push_bytes(&mut out, bytes, as_json);
                rest = &from[len..];
            }
            None => {
                out.push_str("{\"");
                rest = &from[2..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The number of the placeholder that a text begins with, and its length.
fn placeholder(json: &str) -> Option<(usize, usize)> {
    const FORMS: [(&str, &str); 2] =
        [("{\"_placeholder\":true,\"num\":", "}"), ("{\"num\":", ",\"_placeholder\":true}")];
    FORMS.iter().find_map(|(before, behind)| {
        let rest = json.strip_prefix(before)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[digits..].starts_with(behind).then_some(())?;
        Some((rest[..digits].parse().ok()?, before.len() + digits + behind.len()))
    })
}

fn push_bytes(out: &mut String, bytes: &[u8], as_json: bool) {
    if as_json {
        out.push_str("{\"_bytes\":\"");
        STANDARD.encode_string(bytes, out);
        out.push_str("\"}");
        return;
    }
    let unit = if bytes.len() == 1 { "byte" } else { "bytes" };
    // Writing to a text cannot fail.
    let _ = write!(out, "<{} {unit}", bytes.len());
    for byte in bytes.iter().take(SHOWN_BYTES_MAX) {
        let _ = write!(out, " {byte:02x}");
    }
    out.push_str(if bytes.len() > SHOWN_BYTES_MAX { " …>" } else { ">" });
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Style = Style { json: false, quiet: false, color: false, error_color: false };
    const JSON: Style = Style { json: true, ..TEXT };

    fn args(values: &(impl roomful_client::ToArgs + ?Sized)) -> Args {
        Args::new(values).unwrap()
    }

    #[test]
    fn bytes_are_shown_in_hexadecimal_or_as_base64() {
        let bytes = Bytes::from_static(&[0, 1, 255]);
        let deep = std::collections::BTreeMap::from([("a", (1, bytes.clone()))]);
        let found = args(&(bytes, "x", deep, Bytes::from_static(&[7]), Bytes::from(vec![1; 40])));
        let lines = TEXT.answer(&found, Duration::ZERO);
        let many = format!("<40 bytes{} …>", " 01".repeat(32));
        let expected = format!(
            "<3 bytes 00 01 ff>\n\"x\"\n{{\"a\":[1,<3 bytes 00 01 ff>]}}\n<1 byte 07>\n{many}"
        );
        assert_eq!(lines, expected);
        let json: serde_json::Value =
            serde_json::from_str(&JSON.answer(&found, Duration::from_micros(1500))).unwrap();
        assert_eq!(json["answer"][0], json!({ "_bytes": "AAH/" }));
        assert_eq!(json["answer"][2]["a"][1]["_bytes"], "AAH/");
        assert_eq!(json["ms"], 1.5);
    }

    #[test]
    fn nothing_that_comes_commands_the_terminal() {
        let found = args("a\x1b[2J\u{9b}2J\u{7f}\u{202e}\u{61c}\nb");
        let shown = TEXT.event("/", "evil\x1b[1m", &found, false);
        assert!(!shown.chars().any(is_unsafe), "{shown:?}");
        let json: serde_json::Value =
            serde_json::from_str(&JSON.event("/", "evil\x1b[1m", &found, true)).unwrap();
        assert_eq!(json["event"], "evil\x1b[1m");
        assert_eq!(json["args"][0], "a\x1b[2J\u{9b}2J\u{7f}\u{202e}\u{61c}\nb");
        assert_eq!(json["ack"], true);
        let failure = TEXT.failure(&Failure::usage("a\x1b[2J\nroomful: b"));
        assert_eq!(failure, "roomful: a\u{fffd}[2J roomful: b");
    }

    #[test]
    fn an_argument_is_one_line_and_keeps_its_texts() {
        assert_eq!(escaped("{ \"a b\" :\n [ 1 , \"\\\" c\" ] }"), "{\"a b\":[1,\"\\\" c\"]}");
        assert_eq!(
            written(br#""{\"_placeholder\":true,\"num\":0}""#, &[Bytes::new()], true),
            r#""{\"_placeholder\":true,\"num\":0}""#
        );
        assert_eq!(
            written(br#"{"num": 0, "_placeholder": true}"#, &[Bytes::new()], false),
            "<0 bytes>"
        );
        assert_eq!(
            written(br#"{"a":{"_placeholder":true,"num":7}}"#, &[Bytes::new()], false),
            r#"{"a":{"_placeholder":true,"num":7}}"#
        );
    }

    #[test]
    fn an_error_is_an_object_that_has_one() {
        for (answer, expected) in [
            (json!({ "error": { "code": "x" } }), true),
            (json!({ "ok": false, "error": "no" }), true),
            (json!({ "error": null }), false),
            (json!({ "error": false }), false),
            (json!({ "ok": 1 }), false),
            (json!("error"), false),
        ] {
            assert_eq!(is_error(&args(&answer)), expected, "{answer}");
        }
        assert!(!is_error(&args(&())));
    }
}
