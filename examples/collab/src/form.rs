//! [`Form`]: the sections and fields that every document has, and what may stand in them.

use roomful::EventError;
use serde::Deserialize;
use serde_json::{Value, json};

/// Characters of the name of an item in a money table.
const ITEM_CHARS_MAX: usize = 80;
/// The largest amount in cents: what a number of JavaScript can still count.
const CENTS_MAX: i64 = 9_007_199_254_740_991;

/// What is in `form.json`, which the page reads, too.
#[derive(Deserialize)]
pub(crate) struct Form {
    sections: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    id: String,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
pub(crate) struct Field {
    id: String,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind {
    Text { max: usize },
    Number { min: f64, max: f64 },
    Date,
    Choice { options: Vec<String> },
    Money { rows_max: usize },
}

/// A row of a money table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    item: String,
    cents: i64,
}

impl Form {
    pub(crate) fn read() -> Result<Self, serde_json::Error> {
        serde_json::from_str(include_str!("../form.json"))
    }

    pub(crate) fn field(&self, id: &str) -> Result<&Field, EventError> {
        let mut fields = self.sections.iter().flat_map(|section| &section.fields);
        fields.find(|field| field.id == id).ok_or_else(no_field)
    }

    /// Whether there is such a section, and in it that field if one is named. Nowhere is a place, too.
    pub(crate) fn has(&self, section: Option<&str>, field: Option<&str>) -> bool {
        let Some(section) = section else { return field.is_none() };
        let is_in = |section: &Section, id| section.fields.iter().any(|field| field.id == id);
        let mut sections = self.sections.iter().filter(|found| found.id == section);
        sections.any(|section| field.is_none_or(|id| is_in(section, id)))
    }
}

impl Field {
    /// What stands in it before anybody has edited it.
    pub(crate) fn empty(&self) -> Value {
        match self.kind {
            Kind::Text { .. } | Kind::Date | Kind::Choice { .. } => json!(""),
            Kind::Number { .. } => Value::Null,
            Kind::Money { .. } => json!([]),
        }
    }

    /// Whether a value may stand in it; the error says what may.
    pub(crate) fn check(&self, value: &Value) -> Result<(), EventError> {
        if *value == self.empty() {
            return Ok(());
        }
        let text = value.as_str();
        let (fits, what) = match &self.kind {
            Kind::Text { max } => {
                let fits = text.is_some_and(|text| is_text(text, *max));
                (fits, format!("text, up to {max} characters"))
            }
            Kind::Number { min, max } => {
                let fits = value.as_f64().is_some_and(|number| (*min..=*max).contains(&number));
                (fits, format!("a number from {min} to {max}, or null"))
            }
            Kind::Date => (text.is_some_and(is_date), "a date as 2026-12-31, or empty".to_owned()),
            Kind::Choice { options } => {
                let fits = text.is_some_and(|text| options.iter().any(|option| option == text));
                (fits, format!("one of {}, or empty", options.join(", ")))
            }
            Kind::Money { rows_max } => {
                let rows = Vec::<Row>::deserialize(value).ok();
                let fits =
                    rows.is_some_and(|rows| rows.len() <= *rows_max && rows.iter().all(is_row));
                (fits, format!("up to {rows_max} rows of an item and its whole cents"))
            }
        };
        fits.then_some(()).ok_or_else(|| EventError::new("bad_value", format!("This is {what}.")))
    }
}

fn is_text(text: &str, chars_max: usize) -> bool {
    let is_control = |char: char| char.is_control() && char != '\n' && char != '\t';
    text.chars().count() <= chars_max && !text.contains(is_control)
}

fn is_row(row: &Row) -> bool {
    is_text(&row.item, ITEM_CHARS_MAX) && (-CENTS_MAX..=CENTS_MAX).contains(&row.cents)
}

/// Whether it is a day that there is, as `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let numbers: Vec<usize> = text.splitn(3, '-').flat_map(str::parse).collect();
    let [year, month, day] = numbers[..] else { return false };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [0, 31, 28 + usize::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_day = days.get(month).is_some_and(|days| (1..=*days).contains(&day));
    is_day && text.len() == 10 && format!("{year:04}-{month:02}-{day:02}") == text
}

pub(crate) fn no_field() -> EventError {
    EventError::new("bad_field", "The form has no such field.")
}
