//! Dates as JavaScript writes them.

use std::io::Write as _;

const MS_PER_DAY: i64 = 24 * 60 * 60 * 1000;
/// The furthest that a JavaScript date is from 1970, in milliseconds: 100 million days.
const MS_MAX: i64 = 100_000_000 * MS_PER_DAY;

/// From the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: i64 = 719_468;
/// After 400 years the calendar repeats itself.
const DAYS_PER_ERA: i64 = 146_097;

/// Appends a date, in milliseconds since 1970, as the text that `toISOString` gives, in quotes; or
/// `null` for what is no date in JavaScript.
pub(super) fn push_iso(json: &mut Vec<u8>, ms: Option<i64>) {
    let Some(ms) = ms.filter(|ms| (-MS_MAX..=MS_MAX).contains(ms)) else {
        return json.extend_from_slice(b"null");
    };
    let (year, month, day) = civil(ms.div_euclid(MS_PER_DAY));
    let time = ms.rem_euclid(MS_PER_DAY);
    let (second, ms) = (time / 1000, time % 1000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    // A vector takes all that is written to it.
    let _ =
        write!(json, r#""{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z""#);
}

/// Year, month and day of a day, counted from 1970, in the Gregorian calendar. Years are counted
/// from March here, so that the leap day is the last one.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + DAYS_TO_1970;
    let (era, day) = (day.div_euclid(DAYS_PER_ERA), day.rem_euclid(DAYS_PER_ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March on have 153 days, and so have the next five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `new Date(ms).toJSON()` gives in Node.
    #[test]
    fn dates_are_written_as_javascript_does() {
        let check = |ms: i64, expected: &str| {
            let mut json = Vec::new();
            push_iso(&mut json, Some(ms));
            assert_eq!(String::from_utf8(json).unwrap(), expected, "{ms}");
        };
        check(0, r#""1970-01-01T00:00:00.000Z""#);
        check(-1, r#""1969-12-31T23:59:59.999Z""#);
        check(951_782_400_000, r#""2000-02-29T00:00:00.000Z""#);
        check(-2_203_891_200_000, r#""1900-03-01T00:00:00.000Z""#);
        check(1_709_210_096_789, r#""2024-02-29T12:34:56.789Z""#);
        check(4_107_542_399_999, r#""2100-02-28T23:59:59.999Z""#);
        check(253_402_300_799_999, r#""9999-12-31T23:59:59.999Z""#);
        check(253_402_300_800_000, r#""+010000-01-01T00:00:00.000Z""#);
        check(-62_167_219_200_000, r#""0000-01-01T00:00:00.000Z""#);
        check(-62_167_219_200_001, r#""-000001-12-31T23:59:59.999Z""#);
        check(MS_MAX, r#""+275760-09-13T00:00:00.000Z""#);
        check(-MS_MAX, r#""-271821-04-20T00:00:00.000Z""#);
        for far in [MS_MAX + 1, -MS_MAX - 1, i64::MAX, i64::MIN] {
            check(far, "null");
        }
    }

    /// Each day is the one after the day before, over a whole era and more.
    #[test]
    fn no_day_is_left_out() {
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (-100, 1, 1);
        for count in -756_052.. {
            assert_eq!(civil(count), (year, month, day), "{count}");
            let days = match month {
                2 => 28 + i64::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > days {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
            if year > 500 {
                break;
            }
        }
    }
}
