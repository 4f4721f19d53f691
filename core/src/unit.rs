//! Units: the name that stands in a metric's name, and the exact factor from what is recorded to it.

use std::borrow::Cow;

/// An exact factor `multiplier / divisor` from recorded values to the base unit.
///
/// Kept as two integers because dividing by 10⁹ rounds correctly where multiplying by 10⁻⁹ does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    multiplier: u32,
    divisor: u32,
}

impl Scale {
    /// The scale of values that are already in their base unit.
    pub const ONE: Scale = Scale {
        multiplier: 1,
        divisor: 1,
    };

    /// A scale of `multiplier / divisor`; a zero in either becomes one.
    pub const fn new(multiplier: u32, divisor: u32) -> Scale {
        Scale {
            multiplier: if multiplier == 0 { 1 } else { multiplier },
            divisor: if divisor == 0 { 1 } else { divisor },
        }
    }

    /// The multiplier and the divisor.
    pub const fn parts(self) -> (u32, u32) {
        (self.multiplier, self.divisor)
    }

    /// Whether recorded values are exposed unchanged.
    pub const fn is_one(self) -> bool {
        self.multiplier == self.divisor
    }

    /// A recorded value in base units.
    pub fn apply(self, recorded: f64) -> f64 {
        recorded * f64::from(self.multiplier) / f64::from(self.divisor)
    }

    /// A value in base units as it is recorded.
    pub fn invert(self, base: f64) -> f64 {
        base * f64::from(self.divisor) / f64::from(self.multiplier)
    }

    pub(crate) const fn to_word(self) -> u64 {
        ((self.multiplier as u64) << 32) | self.divisor as u64
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "each half of the word is 32 bits"
    )]
    pub(crate) const fn from_word(word: u64) -> Scale {
        Scale::new((word >> 32) as u32, word as u32)
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.multiplier, self.divisor) {
            (multiplier, divisor) if multiplier == divisor => f.write_str("base units"),
            (multiplier, 1) => write!(f, "{multiplier} base units"),
            (multiplier, divisor) => write!(f, "{multiplier}/{divisor} of a base unit"),
        }
    }
}

/// The unit that a family's values are recorded in.
///
/// Values are recorded as they come (nanoseconds, bytes) and exposed in the base unit (seconds, bytes),
/// whose name must end the family's name: `request_duration_seconds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    base: Cow<'static, str>,
    scale: Scale,
}

impl Unit {
    /// No unit: a plain number.
    pub const NONE: Unit = Unit::custom("", 1, 1);
    /// Recorded in nanoseconds, exposed in seconds.
    pub const NANOSECONDS: Unit = Unit::custom("seconds", 1, 1_000_000_000);
    /// Recorded in microseconds, exposed in seconds.
    pub const MICROSECONDS: Unit = Unit::custom("seconds", 1, 1_000_000);
    /// Recorded in milliseconds, exposed in seconds.
    pub const MILLISECONDS: Unit = Unit::custom("seconds", 1, 1_000);
    /// Recorded and exposed in seconds.
    pub const SECONDS: Unit = Unit::custom("seconds", 1, 1);
    /// Recorded and exposed in bytes.
    pub const BYTES: Unit = Unit::custom("bytes", 1, 1);
    /// Recorded in KiB, exposed in bytes.
    pub const KIBIBYTES: Unit = Unit::custom("bytes", 1024, 1);
    /// Recorded and exposed as a ratio, 1 being all of it.
    pub const RATIO: Unit = Unit::custom("ratio", 1, 1);
    /// Recorded in percent, exposed as a ratio.
    pub const PERCENT: Unit = Unit::custom("ratio", 1, 100);

    /// A unit named `base`, with values recorded in `multiplier / divisor` of it.
    pub const fn custom(base: &'static str, multiplier: u32, divisor: u32) -> Unit {
        Unit {
            base: Cow::Borrowed(base),
            scale: Scale::new(multiplier, divisor),
        }
    }

    /// The same with a name that is known at run time only.
    pub fn owned(base: String, scale: Scale) -> Unit {
        Unit {
            base: Cow::Owned(base),
            scale,
        }
    }

    /// The base unit as it stands in names; empty for a plain number.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The factor from recorded values to the base unit.
    pub fn scale(&self) -> Scale {
        self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_gives_the_nearest_decimal() {
        assert_eq!(Unit::NANOSECONDS.scale().apply(5_000_000.0), 0.005);
        assert_eq!(Unit::NANOSECONDS.scale().apply(300.0), 3e-7);
        assert_eq!(Unit::PERCENT.scale().apply(7.0), 0.07);
        assert_eq!(Unit::KIBIBYTES.scale().apply(3.0), 3072.0);
    }

    #[test]
    fn a_scale_survives_its_word() {
        for unit in [
            Unit::NONE,
            Unit::NANOSECONDS,
            Unit::KIBIBYTES,
            Unit::PERCENT,
        ] {
            assert_eq!(Scale::from_word(unit.scale().to_word()), unit.scale());
        }
        assert_eq!(Scale::from_word(0), Scale::ONE);
    }
}
