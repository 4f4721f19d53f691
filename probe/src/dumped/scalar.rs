//! Numbers of a dump.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use tachograph::{Kind, Number};

/// A number as JSON has it, or as a string where JSON has none.
#[derive(Clone, Copy)]
pub(super) enum Scalar {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Scalar {
    /// The number as a family of this kind records it.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a float was written without its point"
    )]
    pub(super) fn number(self, kind: Kind) -> Option<Number> {
        match kind {
            Kind::Counter => match self {
                Scalar::Unsigned(value) => Some(Number::Unsigned(value)),
                _ => None,
            },
            Kind::Gauge(_) | Kind::StateSet(_) => match self {
                Scalar::Unsigned(value) => Some(Number::Signed(value.try_into().ok()?)),
                Scalar::Signed(value) => Some(Number::Signed(value)),
                Scalar::Float(_) => None,
            },
            Kind::CounterF64 | Kind::GaugeF64(_) => Some(Number::Float(match self {
                Scalar::Unsigned(value) => value as f64,
                Scalar::Signed(value) => value as f64,
                Scalar::Float(value) => value,
            })),
            Kind::Histogram | Kind::Info => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"NaN\", \"+Inf\" or \"-Inf\"")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Scalar, E> {
        match text {
            "NaN" => Ok(Scalar::Float(f64::NAN)),
            "+Inf" => Ok(Scalar::Float(f64::INFINITY)),
            "-Inf" => Ok(Scalar::Float(f64::NEG_INFINITY)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}
