//! [`Command`]: a line that is said at the prompt.

use serde_json::value::RawValue;

use super::failure::Failure;
use super::value::{self, Value, Values};

/// The commands, for completion.
pub(crate) const COMMANDS: [&str; 7] =
    ["/auth", "/connect", "/disconnect", "/help", "/history", "/namespace", "/quit"];

/// What a line says.
#[derive(Debug)]
pub(crate) enum Command {
    Emit { event: String, values: Values },
    Call { event: String, values: Values },
    Namespace(String),
    Auth(Box<RawValue>),
    Disconnect,
    Connect,
    History,
    Help,
    Quit,
    Nothing,
}

impl Command {
    pub(crate) fn read(line: &str) -> Result<Self, Failure> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(Self::Nothing);
        }
        if let Some(command) = line.strip_prefix('/') {
            let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
            return match (name, rest.trim()) {
                ("namespace", "") => Err(Failure::usage("which one? /namespace /chat")),
                ("namespace", name) => Ok(Self::Namespace(name.to_owned())),
                ("auth", json) => Ok(Self::Auth(value::auth(json)?)),
                ("disconnect", "") => Ok(Self::Disconnect),
                ("connect", "") => Ok(Self::Connect),
                ("history", "") => Ok(Self::History),
                ("help", "") => Ok(Self::Help),
                ("quit" | "exit", "") => Ok(Self::Quit),
                _ => Err(Failure::usage(format!("there is no command {line}: /help tells them"))),
            };
        }
        let mut words = words(line);
        let event = match words.remove(0) {
            Word::Plain(word) => word,
            // A name with a space in it.
            Word::Quoted(word) => serde_json::from_str(&word).unwrap_or(word),
        };
        let is_call =
            words.pop_if(|word| matches!(word, Word::Plain(word) if word == "?")).is_some();
        let read = |word: Word| match word {
            Word::Plain(word) => Value::read(&word),
            Word::Quoted(word) => Ok(Value::json_or_text(&word)),
        };
        let values = Values(words.into_iter().map(read).collect::<Result<_, _>>()?);
        Ok(if is_call { Self::Call { event, values } } else { Self::Emit { event, values } })
    }
}

enum Word {
    Plain(String),
    /// JSON, or what stands between '…'.
    Quoted(String),
}

/// The words of a line: JSON, '…', and all else as far as the next space.
fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, len) = json(rest).or_else(|| quoted(rest)).unwrap_or_else(|| {
            let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (Word::Plain(rest[..len].to_owned()), len)
        });
        words.push(word);
        rest = rest[len..].trim_start();
    }
    words
}

/// JSON that may have spaces in it, and is a word of its own.
fn json(rest: &str) -> Option<(Word, usize)> {
    rest.starts_with(['{', '[', '"']).then_some(())?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
    let json = values.next()?.ok()?.get();
    ends(&rest[json.len()..]).then(|| (Word::Quoted(json.to_owned()), json.len()))
}

fn quoted(rest: &str) -> Option<(Word, usize)> {
    let inner = rest.strip_prefix('\'')?;
    let len = inner.find('\'')?;
    ends(&inner[len + 1..]).then(|| (Word::Quoted(inner[..len].to_owned()), len + 2))
}

fn ends(rest: &str) -> bool {
    rest.chars().next().is_none_or(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use roomful_client::Args;

    use super::*;

    #[track_caller]
    fn check(line: &str, name: &str, json: &str, calls: bool) {
        let (event, values, is_call) = match Command::read(line).unwrap() {
            Command::Emit { event, values } => (event, values, false),
            Command::Call { event, values } => (event, values, true),
            other => panic!("{other:?}"),
        };
        let args = Args::new(&values).unwrap();
        assert_eq!((&*event, is_call), (name, calls));
        assert_eq!(std::str::from_utf8(args.as_json()).unwrap(), json);
    }

    #[test]
    fn a_line_is_an_event_with_its_arguments() {
        check("say", "say", "", false);
        check("  say  hello 1 ", "say", r#""hello",1"#, false);
        check(
            r#"say {"a": [1, "b c"]} "d e" [1] ?"#,
            "say",
            r#"{"a": [1, "b c"]},"d e",[1]"#,
            true,
        );
        check("say 'a b' '{\"x\": 1}' it's", "say", r#""a b",{"x": 1},"it's""#, false);
        check("say {not json", "say", r#""{not","json""#, false);
        check("say \"?\"", "say", r#""?""#, false);
        check("say ? ?", "say", r#""?""#, true);
        check("\"a b\" 1", "a b", "1", false);
        check("say {}x", "say", r#""{}x""#, false);
        assert!(Command::read("say @/none").is_err());
    }

    #[test]
    fn what_begins_with_a_slash_is_a_command() {
        assert!(matches!(Command::read("").unwrap(), Command::Nothing));
        assert!(matches!(Command::read("/quit").unwrap(), Command::Quit));
        assert!(
            matches!(Command::read("/namespace chat").unwrap(), Command::Namespace(n) if n == "chat")
        );
        assert!(matches!(Command::read("/auth {\"a\": 1}").unwrap(), Command::Auth(_)));
        for bad in ["/auth", "/auth x", "/namespace", "/nothing", "/quit now", "/"] {
            assert!(Command::read(bad).is_err(), "{bad}");
        }
        for command in COMMANDS {
            let argument = match command {
                "/auth" => " {}",
                "/namespace" => " /x",
                _ => "",
            };
            Command::read(&format!("{command}{argument}")).unwrap();
        }
    }
}
