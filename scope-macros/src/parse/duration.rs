//! Lengths of time as people write them: `3s`, `1.5h`, `1m30s`, `1 m 30 s`.

use std::fmt;
use std::time::Duration;

const SECOND: u128 = 1_000_000_000;

/// From large to small: the order in which they may follow each other.
const UNITS: [(&str, u128); 8] = [
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// What other notations call our units.
const SYNONYMS: [(&str, &[&str]); 7] = [
    ("d", &["day", "days", "D"]),
    ("h", &["hr", "hrs", "hour", "hours", "H"]),
    ("m", &["min", "mins", "minute", "minutes", "M"]),
    ("s", &["sec", "secs", "second", "seconds", "S"]),
    ("ms", &["msec", "msecs", "milli", "millis", "millisecond", "milliseconds", "MS", "Ms"]),
    ("us", &["usec", "usecs", "micro", "micros", "microsecond", "microseconds", "μs"]),
    ("ns", &["nsec", "nsecs", "nano", "nanos", "nanosecond", "nanoseconds"]),
];

/// Why a text is no duration. Displays as the problem and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Empty,
    NoNumber { text: String },
    NoUnit { text: String },
    UnknownUnit { unit: String, number: String, meant: Option<&'static str> },
    Order { text: String },
    TooFine { text: String },
    TooLong { text: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Empty => write!(f, "this duration is empty; write \"3s\" or \"3ms\""),
            Problem::NoNumber { text } => {
                write!(f, "`{text}` is no duration; write a number and a unit, as in \"3s\" or \"1m30s\"")
            }
            Problem::NoUnit { text } => {
                write!(f, "`{text}` has no unit; write \"{text}s\" or \"{text}ms\"")
            }
            Problem::UnknownUnit { unit, number, meant: Some(meant) } => {
                write!(f, "unknown unit `{unit}`; write \"{number}{meant}\"")
            }
            Problem::UnknownUnit { unit, number: _, meant: None } => {
                write!(f, "unknown unit `{unit}`; the units are `d`, `h`, `m`, `s`, `ms`, `us` and `ns`")
            }
            Problem::Order { text } => {
                write!(
                    f,
                    "the units of `{text}` are out of order; write each once, large ones first, as in \"1m30s\""
                )
            }
            Problem::TooFine { text } => {
                write!(f, "`{text}` is finer than a nanosecond; write whole nanoseconds")
            }
            Problem::TooLong { text } => {
                write!(f, "`{text}` does not fit into a `Duration`; leave the option out for no limit")
            }
        }
    }
}

/// Whether a word is a unit, or another name for one.
pub(crate) fn is_unit(word: &str) -> bool {
    UNITS.iter().any(|(unit, _)| *unit == word) || SYNONYMS.iter().any(|(_, others)| others.contains(&word))
}

/// Reads a duration out of a string's contents, or out of a literal such as `1m30s`.
pub(crate) fn parse(text: &str) -> Result<Duration, Problem> {
    let written = || text.trim().to_owned();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(Problem::Empty);
    }
    let mut nanos: u128 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let number = take(&mut rest, |c| c.is_ascii_digit() || c == '_' || c == '.');
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Problem::NoNumber { text: written() });
        }
        let unit = take(&mut rest, char::is_alphabetic);
        if unit.is_empty() {
            return Err(if rest.is_empty() {
                Problem::NoUnit { text: written() }
            } else {
                Problem::NoNumber { text: written() }
            });
        }
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            let meant = SYNONYMS.iter().find(|(_, others)| others.contains(&unit)).map(|(name, _)| *name);
            return Err(Problem::UnknownUnit { unit: unit.to_owned(), number: number.to_owned(), meant });
        };
        if index < next_unit {
            return Err(Problem::Order { text: written() });
        }
        next_unit = index + 1;
        nanos = scaled(number, UNITS[index].1)
            .ok_or_else(|| Problem::NoNumber { text: written() })?
            .map_err(|range| match range {
                Range::Above => Problem::TooLong { text: written() },
                Range::Below => Problem::TooFine { text: written() },
            })?
            .checked_add(nanos)
            .ok_or_else(|| Problem::TooLong { text: written() })?;
    }
    match (u64::try_from(nanos / SECOND), u32::try_from(nanos % SECOND)) {
        (Ok(seconds), Ok(nanos)) => Ok(Duration::new(seconds, nanos)),
        _ => Err(Problem::TooLong { text: written() }),
    }
}

/// Splits off what matches, and drops the white space behind it.
fn take<'a>(rest: &mut &'a str, matches: impl Fn(char) -> bool) -> &'a str {
    let end = rest.find(|c| !matches(c)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(end);
    *rest = left.trim_start();
    taken
}

enum Range {
    Above,
    Below,
}

/// `number` of a unit that has `unit` nanoseconds; `None` if it is no number.
fn scaled(number: &str, unit: u128) -> Option<Result<u128, Range>> {
    let digits = number.replace('_', "");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    if fraction.contains('.') {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    // More digits than a nanosecond needs in a day can't be exact.
    if fraction.len() > 14 {
        return Some(Err(Range::Below));
    }
    let Some(whole) = whole.parse::<u128>().ok().and_then(|whole| whole.checked_mul(unit)) else {
        return Some(Err(Range::Above));
    };
    if fraction.is_empty() {
        return Some(Ok(whole));
    }
    let parts = fraction.parse::<u128>().ok()? * unit;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    if !parts.is_multiple_of(scale) {
        return Some(Err(Range::Below));
    }
    Some(whole.checked_add(parts / scale).ok_or(Range::Above))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[track_caller]
    fn is(text: &str, duration: Duration) {
        assert_eq!(parse(text), Ok(duration), "{text}");
    }

    #[track_caller]
    fn fails(text: &str, message: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
    }

    #[test]
    fn units_combine_with_or_without_spaces() {
        is("3s", Duration::from_secs(3));
        is("1.5s", Duration::from_millis(1500));
        is("500ms", Duration::from_millis(500));
        is("1m30s", Duration::from_secs(90));
        is(" 1 m 30 s ", Duration::from_secs(90));
        is("250us", Duration::from_micros(250));
        is("250µs", Duration::from_micros(250));
        is("10ns", Duration::from_nanos(10));
        is("2h", Duration::from_secs(7200));
        is("1d", Duration::from_secs(86_400));
        is("1_000ms", Duration::from_secs(1));
        is("0s", Duration::ZERO);
        is("0.5ms", Duration::from_micros(500));
        is("18446744073709551615s999999999ns", Duration::MAX);
    }

    #[test]
    fn a_number_without_a_unit_is_told_both_likely_units() {
        fails("3", "`3` has no unit; write \"3s\" or \"3ms\"");
        fails("1m30", "`1m30` has no unit; write \"1m30s\" or \"1m30ms\"");
    }

    #[test]
    fn other_notations_are_translated() {
        fails("3sec", "unknown unit `sec`; write \"3s\"");
        fails("3 minutes", "unknown unit `minutes`; write \"3m\"");
        fails("3x", "unknown unit `x`; the units are `d`, `h`, `m`, `s`, `ms`, `us` and `ns`");
        fails("1e3s", "unknown unit `e`; the units are `d`, `h`, `m`, `s`, `ms`, `us` and `ns`");
    }

    #[test]
    fn nonsense_is_named() {
        fails("", "this duration is empty; write \"3s\" or \"3ms\"");
        fails("soon", "`soon` is no duration; write a number and a unit, as in \"3s\" or \"1m30s\"");
        fails("-3s", "`-3s` is no duration; write a number and a unit, as in \"3s\" or \"1m30s\"");
        fails("1.2.3s", "`1.2.3s` is no duration; write a number and a unit, as in \"3s\" or \"1m30s\"");
        fails(
            "30s1m",
            "the units of `30s1m` are out of order; write each once, large ones first, as in \"1m30s\"",
        );
        fails("0.5ns", "`0.5ns` is finer than a nanosecond; write whole nanoseconds");
    }

    #[test]
    fn overflow_is_told_and_never_panics() {
        let message = |text: &str| {
            format!("`{text}` does not fit into a `Duration`; leave the option out for no limit")
        };
        for text in [
            "18446744073709551616s",
            "99999999999999999999999999999999999999999999d",
            "340282366920938463463374607431768211455ns1ns",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error == message(text) || error.contains("out of order"), "{error}");
        }
    }
}
