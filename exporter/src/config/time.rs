//! Times as people write them.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("ms", 1), ("s", 1000)];

/// Reads `5s`, `0.5s`, `500ms`, `2m`, `1h` or `5`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let milliseconds = match unit {
        "" => Some(1000),
        unit => UNITS.iter().find(|it| it.0 == unit).map(|it| it.1),
    };
    let number = number.parse::<f64>().ok().zip(milliseconds);
    number
        .map(|(number, milliseconds)| number * Duration::from_millis(milliseconds).as_secs_f64())
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| "give a time up to a day, as in 5s, 500ms or 2m".into())
}

/// The shortest text that [`parse`] reads as `time`.
fn show(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let whole = |(_, size): &&(&str, u64)| milliseconds.is_multiple_of(u128::from(*size));
    match [UNITS[0], UNITS[1], UNITS[3]].iter().find(whole) {
        Some((unit, size)) => format!("{}{unit}", milliseconds / u128::from(*size)),
        None => format!("{}s", time.as_secs_f64()),
    }
}

pub(crate) fn serialize<S: Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&show(*time))
}

pub(crate) fn deserialize<'a, D: Deserializer<'a>>(input: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(input)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, milliseconds, shown) in [
            ("5s", 5000, "5s"),
            ("0.5", 500, "0.5s"),
            ("250ms", 250, "0.25s"),
            ("1.5m", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("1h", 3_600_000, "1h"),
        ] {
            let time = Duration::from_millis(milliseconds);
            assert_eq!(parse(text), Ok(time), "{text}");
            assert_eq!(show(time), shown, "{text}");
            assert_eq!(parse(shown), Ok(time), "{text}");
        }
        for wrong in ["", "s", "0", "-1s", "NaN", "inf", "25h", "1d", "1e9", "1 s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
