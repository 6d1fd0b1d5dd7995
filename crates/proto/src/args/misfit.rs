//! What is wrong with JSON that does not fit a type, said without what it holds.

/// Bytes of a [`misfit`], its mark of what was cut off not counted.
pub const MISFIT_BYTES_MAX: usize = 200;

/// How the texts begin in which `serde` quotes what it has read: values, names of variants, keys.
const QUOTING: [&str; 4] =
    ["invalid type: ", "invalid value: ", "unknown variant ", "unknown field "];
/// What follows the quotation, and is the program's own.
const EXPECTATIONS: [&str; 2] = [", expected ", ", there are no "];

/// What is wrong, without the value that `serde` quotes, in at most [`MISFIT_BYTES_MAX`] bytes: passwords and
/// tokens are of the wrong type, no known variant or a wrong key, too, and errors are logged and answered. A type
/// that reads itself may word an error of its own, which is only cut.
pub fn misfit(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let mut text = match QUOTING.into_iter().find(|beginning| text.starts_with(beginning)) {
        Some(beginning) => without_quotation(beginning, &text[beginning.len()..]),
        None => text,
    };
    cut(&mut text);
    text
}

fn without_quotation(beginning: &str, rest: &str) -> String {
    let beginning = beginning.trim_end_matches([':', ' ']);
    // The quotation may say anything, so it goes on up to the last of these.
    let Some(end) = EXPECTATIONS.into_iter().filter_map(|text| rest.rfind(text)).max() else {
        return beginning.to_owned();
    };
    let (quoted, expected) = rest.split_at(end);
    let kind = quoted.split(['"', '`']).next().unwrap_or_default().trim_end();
    let colon = if kind.is_empty() { "" } else { ": " };
    format!("{beginning}{colon}{kind}{expected}")
}

/// Cuts a long text at the end of a character.
fn cut(text: &mut String) {
    if text.len() > MISFIT_BYTES_MAX {
        let ends = |at: &usize| text.is_char_boundary(*at);
        let end = (0..=MISFIT_BYTES_MAX).rev().find(ends).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::*;

    #[track_caller]
    fn check<T: DeserializeOwned>(json: &str, expected: &str) {
        let error = serde_json::from_str::<T>(json).err().expect("it does not fit");
        assert_eq!(misfit(&error), expected);
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Guest,
    }

    #[derive(Deserialize)]
    enum Never {}

    #[derive(Deserialize)]
    struct Auth {
        #[serde(rename = "token")]
        _token: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[serde(rename = "token")]
        _token: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Empty {}

    /// Words its own error.
    struct Wordy;

    impl<'de> Deserialize<'de> for Wordy {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(text))
        }
    }

    #[test]
    fn what_does_not_fit_is_told_without_its_value() {
        let lie = r#""hunter2\"`, expected hunter3, there are no""#;
        check::<u8>(lie, "invalid type: string, expected u8 at line 1 column 44");
        check::<Auth>(
            r#"{"token":7331}"#,
            "invalid type: integer, expected a string at line 1 column 13",
        );
        check::<u8>("7331", "invalid value: integer, expected u8 at line 1 column 4");
        check::<Auth>("{}", "missing field `token` at line 1 column 2");
        let _ = Kind::Guest;
    }

    #[test]
    fn names_that_are_not_known_are_not_told_either() {
        let lie = r#""hunter2`, expected `x`, there are no variants""#;
        check::<Kind>(r#""hunter2""#, "unknown variant, expected `guest` at line 1 column 9");
        check::<Kind>(lie, "unknown variant, expected `guest` at line 1 column 47");
        check::<Never>(lie, "unknown variant, there are no variants at line 1 column 47");
        check::<Strict>(r#"{"hunter2":1}"#, "unknown field, expected `token` at line 1 column 10");
        check::<Empty>(
            r#"{"hunter2":1}"#,
            "unknown field, there are no fields at line 1 column 10",
        );
        check::<Wordy>(r#""unknown field `hunter2`""#, "unknown field");
    }

    #[test]
    fn a_long_text_is_cut_at_the_end_of_a_character() {
        let long = format!("\"{}\"", "é".repeat(1_000));
        check::<Wordy>(&long, &format!("{}…", "é".repeat(100)));
        let long = format!("\"x{}\"", "é".repeat(1_000));
        check::<Wordy>(&long, &format!("x{}…", "é".repeat(99)));
    }
}
