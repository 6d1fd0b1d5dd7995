//! [`Pattern`]: the names of many namespaces, as one text with gaps, such as `/room-{id}`.

/// What stands in the gaps of a name, by the names of the gaps.
pub(crate) type Params = Box<[(Box<str>, Box<str>)]>;

/// Names with gaps. A gap is one character at least and no slash; in braces behind a star, as the last
/// part, it is all that is left. A brace that is not closed is a character as any other.
#[derive(Debug)]
pub(crate) struct Pattern {
    parts: Vec<Vec<Piece>>,
    rest: Option<Box<str>>,
}

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    Gap(Box<str>),
}

impl Pattern {
    /// From a text without its first slash.
    pub(crate) fn new(text: &str) -> Self {
        let (text, rest) = match text.rsplit_once('/').unwrap_or(("", text)) {
            (before, last) if last.starts_with("{*") && last.ends_with('}') => {
                (before, last.strip_prefix("{*").and_then(|name| name.strip_suffix('}')))
            }
            _ => (text, None),
        };
        let whole = rest.is_some() && text.is_empty();
        let parts = if whole { Vec::new() } else { text.split('/').map(pieces).collect() };
        Self { parts, rest: rest.map(Into::into) }
    }

    /// What stands in the gaps of a name, given without its first slash; `None` when it does not fit.
    pub(crate) fn fill(&self, name: &str) -> Option<Params> {
        let mut params = Vec::new();
        let mut left = Some(name);
        for part in &self.parts {
            let text = left?;
            let (text, rest) = match text.split_once('/') {
                Some((text, rest)) => (text, Some(rest)),
                None => (text, None),
            };
            fill(part, text, &mut params)?;
            left = rest;
        }
        match (&self.rest, left) {
            (None, None) => {}
            (Some(name), Some(left)) if !left.is_empty() => {
                params.push((name.clone(), left.into()))
            }
            _ => return None,
        }
        Some(params.into_boxed_slice())
    }
}

fn pieces(mut text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some((before, (name, behind))) =
        text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        pieces.push(Piece::Gap(name.into()));
        text = behind;
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    pieces
}

/// A gap ends where what stands behind it comes first; what stands last must end the text.
fn fill(pieces: &[Piece], text: &str, params: &mut Vec<(Box<str>, Box<str>)>) -> Option<()> {
    let mut pieces = pieces;
    let mut text = text;
    loop {
        let (name, end) = match pieces {
            [] => return text.is_empty().then_some(()),
            [Piece::Text(own), behind @ ..] => {
                text = text.strip_prefix(&**own)?;
                pieces = behind;
                continue;
            }
            [Piece::Gap(name)] => (name, text.len()),
            [Piece::Gap(name), Piece::Text(last)] => (name, text.strip_suffix(&**last)?.len()),
            [Piece::Gap(name), Piece::Text(next), ..] => {
                let first = text.chars().next()?.len_utf8();
                (name, first + text.get(first..)?.find(&**next)?)
            }
            [Piece::Gap(name), ..] => (name, text.chars().next()?.len_utf8()),
        };
        let (value, behind) = text.split_at_checked(end).filter(|(value, _)| !value.is_empty())?;
        params.push((name.clone(), value.into()));
        text = behind;
        pieces = pieces.get(1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(pattern: &str, name: &str) -> Option<String> {
        let params = Pattern::new(pattern).fill(name)?;
        let params: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some(params.join(" "))
    }

    #[test]
    fn gaps_take_what_stands_there() {
        for (pattern, name, expected) in [
            ("room-{id}", "room-7", Some("id=7")),
            ("room-{id}", "room-é", Some("id=é")),
            ("room-{id}", "room-", None),
            ("room-{id}", "room-7/x", None),
            ("room-{id}", "xroom-7", None),
            ("{id}", "7", Some("id=7")),
            ("{id}", "", None),
            ("tenant/{id}", "tenant/a", Some("id=a")),
            ("tenant/{id}", "tenant/", None),
            ("tenant/{id}", "tenant", None),
            ("tenant/{id}/chat", "tenant/a/chat", Some("id=a")),
            ("tenant/{id}/chat", "tenant/a/b/chat", None),
            ("{a}-{b}", "1-2-3", Some("a=1 b=2-3")),
            ("{a}-{b}", "--2", Some("a=- b=2")),
            ("{a}-{b}", "-2", None),
            ("{a}-{b}.x", "1-2.x.x", Some("a=1 b=2.x")),
            ("{a}{b}", "é2", Some("a=é b=2")),
            ("{a}{b}", "1", None),
            ("plain", "plain", Some("")),
            ("plain", "other", None),
        ] {
            assert_eq!(fill(pattern, name).as_deref(), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_star_takes_all_that_is_left() {
        assert_eq!(fill("files/{*path}", "files/a/b").as_deref(), Some("path=a/b"));
        assert_eq!(fill("files/{*path}", "files/"), None);
        assert_eq!(fill("files/{*path}", "files"), None);
        assert_eq!(fill("{*all}", "a/b").as_deref(), Some("all=a/b"));
        assert_eq!(fill("{*all}", ""), None);
    }

    #[test]
    fn a_brace_that_is_not_closed_is_a_character() {
        assert_eq!(fill("a{b", "a{b").as_deref(), Some(""));
        assert_eq!(fill("{a}{b", "x{b").as_deref(), Some("a=x"));
        assert_eq!(fill("a}b", "a}b").as_deref(), Some(""));
    }
}
