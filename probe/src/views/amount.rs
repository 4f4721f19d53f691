//! Numbers and labels.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use tachograph::{Number, Scale};

/// A number in base units; integers stay exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Amount {
    Unsigned(u128),
    Signed(i64),
    Float(f64),
}

impl Amount {
    /// A recorded number in base units.
    pub(crate) fn new(number: Number, scale: Scale) -> Amount {
        match number.scaled(scale) {
            Number::Unsigned(value) => Amount::Unsigned(value.into()),
            Number::Signed(value) => Amount::Signed(value),
            Number::Float(value) => Amount::Float(value),
        }
    }

    /// The difference; exact where both are integers and it fits one.
    pub(crate) fn minus(self, other: Amount) -> Amount {
        let exact = match (self, other) {
            (Amount::Unsigned(a), Amount::Unsigned(b)) if a >= b => {
                return Amount::Unsigned(a - b);
            }
            (Amount::Unsigned(a), Amount::Unsigned(b)) => {
                i64::try_from(b - a).ok().map(i64::wrapping_neg)
            }
            (Amount::Signed(a), Amount::Signed(b)) => a.checked_sub(b),
            _ => None,
        };
        match exact {
            Some(difference) => Amount::Signed(difference),
            None => Amount::Float(self.as_f64() - other.as_f64()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Amount::Unsigned(value) => value as f64,
            Amount::Signed(value) => value as f64,
            Amount::Float(value) => value,
        }
    }
}

/// JSON has no NaN and no infinities: they are strings.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Amount::Unsigned(value) => match u64::try_from(value) {
                Ok(value) => serializer.serialize_u64(value),
                Err(_) => serializer.serialize_u128(value),
            },
            Amount::Signed(value) => serializer.serialize_i64(value),
            Amount::Float(value) if value.is_finite() => serializer.serialize_f64(value),
            Amount::Float(value) if value.is_nan() => serializer.serialize_str("NaN"),
            Amount::Float(value) if value > 0.0 => serializer.serialize_str("+Inf"),
            Amount::Float(_) => serializer.serialize_str("-Inf"),
        }
    }
}

/// A label set: an object in JSON, `{name="value"}` in text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels(pub(crate) Vec<(String, String)>);

impl Labels {
    pub(crate) fn new(labels: &tachograph::Labels) -> Labels {
        Labels(
            labels
                .iter()
                .map(|label| (label.name.to_string(), label.value.to_string()))
                .collect(),
        )
    }

    /// These labels and `more`.
    pub(crate) fn with<const N: usize>(&self, more: [(&str, String); N]) -> Labels {
        let more = more.map(|(name, value)| (name.to_owned(), value));
        Labels(self.0.iter().cloned().chain(more).collect())
    }

    /// What stands between the braces: `method="get",code="200"`.
    pub(crate) fn inner(&self) -> String {
        let name = self.series_name("", &[]);
        name.trim_start_matches('{')
            .trim_end_matches('}')
            .to_owned()
    }

    /// The series of `family` with these labels and `more`, as the expositions write it.
    pub(crate) fn series_name(&self, family: &str, more: &[(&str, String)]) -> String {
        let own = self.0.iter().map(|(name, value)| (name.as_str(), value));
        let more = more.iter().map(|(name, value)| (*name, value));
        let all: Vec<String> = own
            .chain(more)
            .map(|(name, value)| format!("{}={value:?}", word_or_quoted(name)))
            .collect();
        match (word_or_quoted(family), all.join(",")) {
            (Cow::Borrowed(family), labels) if labels.is_empty() => family.to_owned(),
            (Cow::Borrowed(family), labels) => format!("{family}{{{labels}}}"),
            (Cow::Owned(quoted), labels) if labels.is_empty() => format!("{{{quoted}}}"),
            (Cow::Owned(quoted), labels) => format!("{{{quoted},{labels}}}"),
        }
    }
}

/// A name, in quotes where it is not of letters, digits and underscores.
fn word_or_quoted(name: &str) -> Cow<'_, str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let begins = |first: char| !first.is_ascii_digit();
    match name.chars().all(is_part) && name.starts_with(begins) || name.is_empty() {
        true => Cow::Borrowed(name),
        false => Cow::Owned(format!("{name:?}")),
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_in_json() {
        let json = |amount| serde_json::to_string(&amount).unwrap();
        assert_eq!(
            json(Amount::Unsigned(u64::MAX.into())),
            "18446744073709551615"
        );
        assert_eq!(json(Amount::Unsigned(1 << 64)), "18446744073709551616");
        assert_eq!(json(Amount::Signed(i64::MIN)), "-9223372036854775808");
        assert_eq!(json(Amount::Float(0.1)), "0.1");
        assert_eq!(json(Amount::Float(f64::NAN)), "\"NaN\"");
        assert_eq!(json(Amount::Float(f64::INFINITY)), "\"+Inf\"");
        assert_eq!(json(Amount::Float(f64::NEG_INFINITY)), "\"-Inf\"");
    }

    #[test]
    fn labels_are_quoted_as_in_expositions() {
        let labels = Labels(vec![("path".into(), "a\"b\\c\n".into())]);
        assert_eq!(
            labels.series_name("x_total", &[("pid", "7".into())]),
            r#"x_total{path="a\"b\\c\n",pid="7"}"#
        );
        assert_eq!(Labels::default().series_name("x", &[]), "x");
        let labels = Labels(vec![("http.method".into(), "GET".into())]);
        assert_eq!(
            labels.series_name("http.requests_total", &[("pid", "7".into())]),
            r#"{"http.requests_total","http.method"="GET",pid="7"}"#
        );
        assert_eq!(labels.inner(), r#""http.method"="GET""#);
        assert_eq!(
            Labels::default().series_name("a\x1b.\"b", &[]),
            r#"{"a\u{1b}.\"b"}"#
        );
    }
}
