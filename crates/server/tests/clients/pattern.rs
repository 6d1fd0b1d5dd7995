//! Texts with names in them, such as `<sid>`: what the client sends is filled in, what the server
//! says is compared.

use std::collections::HashMap;

/// So long is each id that the server makes up.
const ID_LEN: usize = 20;

/// What the names stand for, as far as they are known.
#[derive(Clone)]
pub struct Names(HashMap<String, String>);

enum Part<'a> {
    Literal(&'a str),
    Name(&'a str),
    /// Any text.
    Any,
}

impl Names {
    pub fn new(known: &[(&str, &str)]) -> Self {
        Self(known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// A text that the client sends.
    pub fn fill(&self, pattern: &str) -> Result<String, String> {
        let mut filled = String::new();
        for part in parts(pattern) {
            match part {
                Part::Literal(text) => filled.push_str(text),
                Part::Name(name) => filled.push_str(&self.value(name)?),
                Part::Any => filled.push('…'),
            }
        }
        Ok(filled.replace('␞', "\u{1e}"))
    }

    /// Whether the server has said that. A name that was not known yet then stands for what is in
    /// its place.
    pub fn matches(&mut self, pattern: &str, text: &str) -> bool {
        let text = text.replace('\u{1e}', "␞");
        let mut names = self.clone();
        let same = names.matches_all(&parts(pattern), &text);
        if same {
            *self = names;
        }
        same
    }

    fn value(&self, name: &str) -> Result<String, String> {
        if let Some(value) = self.0.get(name) {
            return Ok(value.clone());
        }
        let repeated = name.split_once(' ').and_then(|(count, text)| {
            let count: usize = count.parse().ok()?;
            Some(text.repeat(count))
        });
        repeated.ok_or_else(|| format!("<{name}> is not known yet"))
    }

    /// What a new name stands for at the beginning of a text, and what is behind it.
    fn learn<'a>(&self, name: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
        if name.starts_with('#') {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            return text.split_at_checked(digits).filter(|(number, _)| !number.is_empty());
        }
        let (id, rest) = text.split_at_checked(ID_LEN)?;
        let is_id = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        // Two names never stand for the same id.
        let is_new = self.0.values().all(|known| known != id);
        (is_id && is_new).then_some((id, rest))
    }

    fn matches_all(&mut self, parts: &[Part<'_>], text: &str) -> bool {
        let Some((first, others)) = parts.split_first() else { return text.is_empty() };
        match first {
            Part::Literal(literal) => {
                text.strip_prefix(literal).is_some_and(|rest| self.matches_all(others, rest))
            }
            Part::Name(name) => match self.value(name) {
                Ok(value) => {
                    text.strip_prefix(&value).is_some_and(|rest| self.matches_all(others, rest))
                }
                Err(_) => {
                    let Some((value, rest)) = self.learn(name, text) else { return false };
                    self.0.insert((*name).to_owned(), value.to_owned());
                    self.matches_all(others, rest)
                }
            },
            Part::Any => {
                let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
                for at in ends {
                    let mut names = self.clone();
                    if names.matches_all(others, &text[at..]) {
                        *self = names;
                        return true;
                    }
                }
                false
            }
        }
    }
}

fn parts(pattern: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['<', '…']) {
        let (before, special) = rest.split_at(at);
        parts.push(Part::Literal(before));
        if let Some(after) = special.strip_prefix('…') {
            parts.push(Part::Any);
            rest = after;
            continue;
        }
        match special[1..].split_once('>') {
            Some((name, after)) => {
                parts.push(Part::Name(name));
                rest = after;
            }
            None => {
                parts.push(Part::Literal(special));
                return parts;
            }
        }
    }
    parts.push(Part::Literal(rest));
    parts
}
