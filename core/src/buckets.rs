//! Value ↔ bucket arithmetic, pure.
//!
//! Two layouts. **Log-linear** is HdrHistogram's: values below `2^(p+1)` have a bucket each, and every
//! further octave is cut into `2^p` equal buckets, so a bucket is never wider than `2^-p` of its lower
//! bound. With `b = max(0, bits(v) - (p + 1))` the index is `(b << p) + (v >> b)`, the same as
//! `counts_index` of HdrHistogram with `unit_magnitude` 0 (<https://hdrhistogram.org>).
//! **Explicit** bounds are inclusive upper bounds, exact.
//!
//! Both end in one overflow bucket for what lies above the highest bound.

use std::fmt;
use std::num::NonZeroU64;

use crate::error::Error;
use crate::word::{low_half, to_usize};

/// Largest precision of a log-linear layout, in bits: HdrHistogram's five significant digits.
const PRECISION_MAX: u8 = 17;
/// Most explicit bounds a family may have.
pub(crate) const BOUNDS_MAX: usize = 512;

/// How a histogram sorts values into buckets. Values are integers in the family's recorded unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    layout: Layout,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    LogLinear { precision: u8, highest: u64 },
    Explicit(Box<[u64]>),
}

impl Default for Buckets {
    /// Log-linear, at most 3.1 % wide, up to 2⁴² − 1: 73 minutes in nanoseconds, 4 TiB in bytes.
    fn default() -> Self {
        Buckets {
            layout: Layout::LogLinear {
                precision: 5,
                highest: (1 << 42) - 1,
            },
        }
    }
}

impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.layout {
            Layout::LogLinear { precision, highest } => {
                write!(f, "log-linear, precision {precision}, to {highest}")
            }
            Layout::Explicit(bounds) => {
                write!(f, "{} bounds:", bounds.len())?;
                bounds.iter().try_for_each(|bound| write!(f, " {bound}"))
            }
        }
    }
}

impl Buckets {
    /// Log-linear buckets no wider than `2^-precision` of their value, for values up to `highest`.
    ///
    /// # Errors
    /// [`Error::Buckets`] when `precision` is above 17 or `highest` is zero.
    pub fn log_linear(precision: u8, highest: u64) -> Result<Buckets, Error> {
        if precision > PRECISION_MAX {
            return Err(Error::Buckets(format!(
                "precision is {precision} bits; give at most {PRECISION_MAX}"
            )));
        }
        if highest == 0 {
            return Err(Error::Buckets(
                "the highest value is 0; give at least 1".into(),
            ));
        }
        Ok(Buckets {
            layout: Layout::LogLinear { precision, highest },
        })
    }

    /// HdrHistogram's layout with `significant_digits` (0 to 5) for values up to `highest`: the bucket
    /// indexes are those of an `hdrhistogram::Histogram` with the same digits.
    ///
    /// # Errors
    /// [`Error::Buckets`] when there are more than five digits or `highest` is zero.
    pub fn hdr(significant_digits: u8, highest: u64) -> Result<Buckets, Error> {
        if significant_digits > 5 {
            return Err(Error::Buckets(format!(
                "{significant_digits} significant digits; give at most 5"
            )));
        }
        let single_unit = 2 * 10u64.pow(u32::from(significant_digits));
        let precision = single_unit.next_power_of_two().trailing_zeros() - 1;
        Buckets::log_linear(precision.to_le_bytes()[0], highest)
    }

    /// Explicit inclusive upper bounds, in recorded units, strictly ascending. `+Inf` is implied.
    ///
    /// # Errors
    /// [`Error::Buckets`] when there are none, more than 512, or they do not ascend.
    pub fn explicit(bounds: impl Into<Vec<u64>>) -> Result<Buckets, Error> {
        let bounds = bounds.into();
        if bounds.is_empty() || bounds.len() > BOUNDS_MAX {
            return Err(Error::Buckets(format!(
                "{} bounds; give 1 to {BOUNDS_MAX}",
                bounds.len()
            )));
        }
        if let Some(pair) = bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Error::Buckets(format!(
                "bound {} follows {}; bounds must ascend strictly",
                pair[1], pair[0]
            )));
        }
        Ok(Buckets {
            layout: Layout::Explicit(bounds.into()),
        })
    }

    /// Explicit bounds given in the base unit of `unit`, as in `[0.005, 0.01, 0.025]` seconds.
    ///
    /// # Errors
    /// [`Error::Buckets`] as for [`Buckets::explicit`], and when a bound is not a positive number.
    pub fn explicit_in(unit: &crate::Unit, bounds: &[f64]) -> Result<Buckets, Error> {
        let recorded = bounds.iter().map(|&bound| {
            to_recorded(bound, unit.scale())
                .ok_or_else(|| Error::Buckets(format!("bound {bound} is not a number from 0 up")))
        });
        Buckets::explicit(recorded.collect::<Result<Vec<u64>, Error>>()?)
    }

    /// How many buckets there are, the overflow bucket included.
    pub fn count(&self) -> usize {
        match &self.layout {
            Layout::LogLinear { precision, highest } => log_linear_index(*highest, *precision) + 2,
            Layout::Explicit(bounds) => bounds.len() + 1,
        }
    }

    /// The bucket of `value`; the last one for values above the highest bound.
    pub fn index(&self, value: u64) -> usize {
        match &self.layout {
            Layout::LogLinear { precision, .. } => {
                log_linear_index(value, *precision).min(self.count() - 1)
            }
            Layout::Explicit(bounds) => bounds.partition_point(|&bound| bound < value),
        }
    }

    /// The largest value that falls into bucket `index`; `u64::MAX` for the overflow bucket and beyond.
    pub fn upper_bound(&self, index: usize) -> u64 {
        if index + 1 >= self.count() {
            return u64::MAX;
        }
        match &self.layout {
            Layout::LogLinear { precision, .. } => {
                // Past the last octave the bound is 2^64, which wraps to 0.
                log_linear_lower_bound(index + 1, *precision).wrapping_sub(1)
            }
            Layout::Explicit(bounds) => bounds[index],
        }
    }

    /// The smallest value that falls into bucket `index`.
    pub fn lower_bound(&self, index: usize) -> u64 {
        match index.min(self.overflow_index()) {
            0 => 0,
            index => self.upper_bound(index - 1).saturating_add(1),
        }
    }

    /// The index of the bucket that takes what lies above the highest bound.
    pub fn overflow_index(&self) -> usize {
        self.count() - 1
    }

    /// The explicit bounds; `None` for a log-linear layout.
    pub fn explicit_bounds(&self) -> Option<&[u64]> {
        match &self.layout {
            Layout::Explicit(bounds) => Some(bounds),
            Layout::LogLinear { .. } => None,
        }
    }

    /// Precision in bits and highest value of a log-linear layout; `None` for explicit bounds.
    pub fn log_linear_parts(&self) -> Option<(u8, u64)> {
        match self.layout {
            Layout::LogLinear { precision, highest } => Some((precision, highest)),
            Layout::Explicit(_) => None,
        }
    }

    /// The buckets to expose as classic `le` buckets: `(index, inclusive upper bound)`, `+Inf` not among them.
    ///
    /// Explicit bounds are all exposed. A log-linear layout is exposed at the ends of its octaves,
    /// where the cumulative count is exact; there are at most 32 of them, starting from the top.
    pub fn exposed(&self) -> Vec<(usize, u64)> {
        match &self.layout {
            Layout::Explicit(bounds) => bounds.iter().copied().enumerate().collect(),
            Layout::LogLinear { highest, .. } => {
                let top = 64 - highest.leading_zeros();
                (top.saturating_sub(31).max(1)..=top.min(63))
                    .map(|bits| (1u64 << bits) - 1)
                    .map(|bound| (self.index(bound), bound))
                    .filter(|&(index, bound)| self.upper_bound(index) == bound)
                    .collect()
            }
        }
    }
}

/// HdrHistogram's index of `value` with `2^precision` buckets an octave.
pub(crate) fn log_linear_index(value: u64, precision: u8) -> usize {
    let floor = (2u64 << precision) - 1;
    let octave = (value | floor).ilog2() - u32::from(precision);
    ((octave as usize) << precision) + to_usize(value >> octave)
}

/// [`log_linear_index`] for a precision that is known before, in one word.
///
/// The exponent of a float and the first bits of its mantissa, taken as one number, are a log-linear index
/// but for an offset. That saves the search for the highest bit, which takes eight operations where the
/// processor is only known to be an x86-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogLinearIndex {
    /// Bits to drop from the float (low half) and the offset (high half).
    word: NonZeroU64,
}

/// Integers below it are floats without loss.
const EXACT_FLOAT: u64 = 1 << 53;
/// Bits of a float's mantissa.
const MANTISSA_BITS: u32 = 52;

impl LogLinearIndex {
    pub(crate) const fn new(precision: u8) -> LogLinearIndex {
        let bits = precision as u64;
        // The exponent of 1.0 is stored as 1023; the first octave with buckets of its own is the second.
        let offset = (1022 + bits) << bits;
        let word = (offset << 32) | (MANTISSA_BITS as u64 - bits);
        LogLinearIndex {
            word: NonZeroU64::new(word).expect("a precision is below 52 bits"),
        }
    }

    const fn shift(self) -> u32 {
        low_half(self.word.get())
    }

    #[inline(always)]
    #[expect(
        clippy::cast_precision_loss,
        reason = "the value was found to be exact as a float"
    )]
    pub(crate) fn of(self, value: u64) -> usize {
        if value >= EXACT_FLOAT {
            return self.of_large(value);
        }
        let float = (value.cast_signed() as f64).to_bits();
        let index = (float >> self.shift()).wrapping_sub(self.word.get() >> 32);
        let linear = (1 << MANTISSA_BITS) >> self.shift();
        to_usize(if value < linear { value } else { index })
    }

    #[cold]
    #[inline(never)]
    fn of_large(self, value: u64) -> usize {
        let precision = MANTISSA_BITS - self.shift();
        log_linear_index(value, precision.to_le_bytes()[0])
    }
}

/// The smallest value whose [`log_linear_index`] is `index`; 0 where that would be 2^64.
pub(crate) fn log_linear_lower_bound(index: usize, precision: u8) -> u64 {
    let per_octave = 1usize << precision;
    if index < 2 * per_octave {
        return index as u64;
    }
    let octave = index / per_octave - 1;
    let within = (index % per_octave + per_octave) as u64;
    u32::try_from(octave)
        .ok()
        .and_then(|octave| within.checked_shl(octave))
        .unwrap_or(0)
}

/// A value of the base unit in recorded units, rounded; `None` for NaN, negative and infinite values.
pub(crate) fn to_recorded(base: f64, scale: crate::Scale) -> Option<u64> {
    let recorded = scale.invert(base).round();
    // 2^64 is the first float beyond u64; NaN fails both comparisons.
    if !(0.0..18_446_744_073_709_551_616.0).contains(&recorded) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range was checked on the line above"
    )]
    Some(recorded as u64)
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layouts() -> Vec<Buckets> {
        let mut all = vec![
            Buckets::default(),
            Buckets::explicit([0, 1, 5, 1000, u64::MAX - 1]).unwrap(),
        ];
        for precision in [0, 1, 4, 5, 7, 10] {
            for highest in [1, 2, 63, 64, 1000, 1 << 42, u64::MAX] {
                all.push(Buckets::log_linear(precision, highest).unwrap());
            }
        }
        all
    }

    #[test]
    fn buckets_tile_the_values_without_gap_or_overlap() {
        for buckets in layouts() {
            assert_eq!(buckets.lower_bound(0), 0, "{buckets:?}");
            for index in 0..buckets.overflow_index() {
                let upper = buckets.upper_bound(index);
                assert_eq!(buckets.index(upper), index, "{buckets:?}");
                assert_eq!(
                    buckets.index(buckets.lower_bound(index)),
                    index,
                    "{buckets:?}"
                );
                if upper < u64::MAX {
                    assert_eq!(buckets.lower_bound(index + 1), upper + 1, "{buckets:?}");
                }
            }
            assert_eq!(buckets.upper_bound(buckets.overflow_index()), u64::MAX);
        }
    }

    #[test]
    fn exposed_bounds_are_bucket_edges_and_ascend() {
        for buckets in layouts() {
            let exposed = buckets.exposed();
            assert!(
                exposed.windows(2).all(|pair| pair[0] < pair[1]),
                "{buckets:?}"
            );
            assert!(
                exposed
                    .iter()
                    .all(|&(index, bound)| buckets.upper_bound(index) == bound)
            );
        }
        assert_eq!(Buckets::default().exposed().len(), 32);
    }

    #[test]
    fn bad_layouts_are_refused() {
        assert!(Buckets::explicit([]).is_err());
        assert!(Buckets::explicit([1, 1]).is_err());
        assert!(Buckets::explicit([2, 1]).is_err());
        assert!(Buckets::log_linear(18, 1).is_err());
        assert!(Buckets::log_linear(5, 0).is_err());
        assert!(Buckets::hdr(6, 1).is_err());
        assert!(Buckets::explicit_in(&crate::Unit::SECONDS, &[f64::NAN]).is_err());
        assert!(Buckets::explicit_in(&crate::Unit::SECONDS, &[-1.0]).is_err());
    }

    #[test]
    fn bounds_in_base_units_are_exact() {
        let buckets = Buckets::explicit_in(&crate::Unit::NANOSECONDS, &[0.005, 0.01, 2.5]).unwrap();
        assert_eq!(
            buckets.explicit_bounds().unwrap(),
            [5_000_000, 10_000_000, 2_500_000_000]
        );
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value in any::<u64>(), shift in 0u32..64, which in 0usize..layouts().len()) {
            let value = value >> shift;
            let buckets = &layouts()[which];
            let index = buckets.index(value);
            prop_assert!(buckets.lower_bound(index) <= value);
            prop_assert!(value <= buckets.upper_bound(index));
        }

        #[test]
        fn the_width_stays_within_the_precision(value in any::<u64>(), shift in 0u32..64, precision in 0u8..=17) {
            let value = value >> shift;
            let buckets = Buckets::log_linear(precision, u64::MAX).unwrap();
            let index = buckets.index(value);
            let width = buckets.upper_bound(index) - buckets.lower_bound(index) + 1;
            prop_assert!(width == 1 || width <= buckets.lower_bound(index) >> precision);
        }

        #[test]
        fn the_index_by_floats_is_the_index_by_bits(value in any::<u64>(), shift in 0u32..64, precision in 0u8..=17) {
            let value = value >> shift;
            for value in [value, value.wrapping_sub(1), value.wrapping_add(1), value.checked_next_power_of_two().unwrap_or(0)] {
                prop_assert_eq!(LogLinearIndex::new(precision).of(value), log_linear_index(value, precision));
            }
        }

        #[test]
        fn indexes_are_those_of_hdrhistogram(value in 1u64..(1 << 62), shift in 0u32..62, digits in 0u8..=5) {
            let value = (value >> shift).max(1);
            let mut oracle = hdrhistogram::Histogram::<u64>::new_with_bounds(1, u64::MAX >> 1, digits).unwrap();
            oracle.record(value).unwrap();
            let recorded = oracle.iter_recorded().next().unwrap();
            let buckets = Buckets::hdr(digits, u64::MAX >> 1).unwrap();
            let index = buckets.index(value);
            prop_assert_eq!(recorded.value_iterated_to(), buckets.upper_bound(index));
            prop_assert_eq!(oracle.lowest_equivalent(value), buckets.lower_bound(index));
        }
    }
}
