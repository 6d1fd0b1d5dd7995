//! [`Spread`]: what several repetitions gave.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` when there are no values.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

/// `1.82 (1.79..1.90)`; the median alone where nothing spreads.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&number(self.median))?;
        if self.min < self.max {
            write!(f, " ({}..{})", number(self.min), number(self.max))?;
        }
        Ok(())
    }
}

/// With as many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

/// A whole number, with commas between its thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        let behind = digits.len() - at;
        if at > 0 && behind % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_told_in_short() {
        let check = |values: &[f64], text: &str| {
            let spread = Spread::of(values.iter().copied());
            assert_eq!(spread.map(|spread| spread.to_string()).unwrap_or_default(), text);
        };
        check(&[], "");
        check(&[f64::NAN], "");
        check(&[1.5], "1.50");
        check(&[3.0, 1.0, 2.25], "2.25 (1.00..3.00)");
        check(&[10.0, 20.0], "15.0 (10.0..20.0)");
        check(&[123.4, 123_456.7, 1_234_567.0], "123,457 (123..1,234,567)");
    }
}
