//! [`Offset`]: where an entry stands in the log of an engine.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where an entry stands in a log: later entries have greater ones. It is written as Redis writes the id of an entry,
/// `1700000000000-0`, which is what official servers understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    major: u64,
    minor: u64,
}

impl Offset {
    /// Before every entry.
    pub const BEGINNING: Self = Self::new(0, 0);

    /// The last one that is before it; itself for that of the beginning.
    pub const fn before(self) -> Self {
        match (self.major, self.minor.checked_sub(1)) {
            (major, Some(minor)) => Self::new(major, minor),
            (0, None) => Self::BEGINNING,
            (major, None) => Self::new(major - 1, u64::MAX),
        }
    }

    /// The first one that is behind it.
    pub const fn after(self) -> Self {
        match self.minor.checked_add(1) {
            Some(minor) => Self::new(self.major, minor),
            None => Self::new(self.major.saturating_add(1), 0),
        }
    }

    /// One of its two numbers, of which the first counts more.
    pub const fn new(major: u64, minor: u64) -> Self {
        Self { major, minor }
    }

    /// The first number: in Redis Streams, milliseconds of its clock.
    pub const fn major(self) -> u64 {
        self.major
    }

    /// The second number.
    pub const fn minor(self) -> u64 {
        self.minor
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.major, self.minor)
    }
}

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|NotAnOffset| D::Error::custom("no offset"))
    }
}

/// A text is no offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnOffset;

impl FromStr for Offset {
    type Err = NotAnOffset;

    /// Two numbers of digits alone, so each offset has one text.
    fn from_str(text: &str) -> Result<Self, NotAnOffset> {
        let (major, minor) = text.split_once('-').ok_or(NotAnOffset)?;
        let number = |digits: &str| {
            let is_plain = !digits.is_empty()
                && digits.bytes().all(|digit| digit.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'));
            if is_plain { digits.parse().map_err(|_| NotAnOffset) } else { Err(NotAnOffset) }
        };
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_two_numbers_and_later_ones_are_greater() {
        let offset: Offset = "1700000000000-12".parse().unwrap();
        assert_eq!(offset.to_string(), "1700000000000-12");
        assert!(offset > "1700000000000-9".parse().unwrap());
        assert!(offset < "1700000000001-0".parse().unwrap());
        assert_eq!("0-0".parse(), Ok(Offset::BEGINNING));
        assert_eq!(Offset::new(7, 1).before(), Offset::new(7, 0));
        assert_eq!(Offset::new(7, 0).before(), Offset::new(6, u64::MAX));
        assert_eq!(Offset::BEGINNING.before(), Offset::BEGINNING);
        for text in ["", "-", "1", "1-", "-1", "01-1", "1-01", "+1-1", "1-1-1", "a-1", " 1-1"] {
            assert_eq!(text.parse::<Offset>(), Err(NotAnOffset), "{text}");
        }
        assert_eq!("18446744073709551616-0".parse::<Offset>(), Err(NotAnOffset));
    }
}
