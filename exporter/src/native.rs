//! Log-linear buckets as those of a Prometheus native histogram.
//!
//! A native histogram of schema `s` cuts each octave into `2^s` buckets of one growth; its bucket `i` ends
//! with `2^(i / 2^s)`. Each bucket of ours goes, whole, into the native bucket that its middle is in. Which
//! one that is never changes, so no count ever falls; and since native buckets are not narrower than ours, no
//! value is more than one bucket off.

use tachograph::{Buckets, Scale};

/// The finest schema there is.
const SCHEMA_MAX: u8 = 8;
/// Values up to this count as zero; the same that Prometheus' own libraries say.
pub(crate) const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;
/// The most empty buckets that are written rather than skipped by a new span.
const GAP_MAX: i32 = 2;

/// Where the buckets of a family go.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) schema: i32,
    /// For each bucket the index of its native bucket; none for that of zero.
    indexes: Vec<Option<i32>>,
}

/// One distribution.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Native {
    pub(crate) zero_count: u64,
    pub(crate) spans: Vec<Span>,
    /// Each count less the one before it, over all spans.
    pub(crate) deltas: Vec<i64>,
}

/// Buckets that follow one another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index of the first, or how many are skipped from the end of the span before.
    pub(crate) offset: i32,
    pub(crate) length: u32,
}

impl Mapping {
    /// None for explicit bounds.
    pub(crate) fn new(buckets: &Buckets, scale: Scale) -> Option<Mapping> {
        let (precision, _) = buckets.log_linear_parts()?;
        // The coarsest that a bucket can be is 2^-precision, and ln 2 × 2^-schema is the growth less one.
        let schema = i32::from(precision.min(SCHEMA_MAX + 1)) - 1;
        let per_octave = f64::from(schema).exp2();
        let index = |middle: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "at most 64 × 2^8, scaled")]
            let index = (middle.log2() * per_octave).ceil() as i32;
            (middle > ZERO_THRESHOLD).then_some(index)
        };
        let indexes = (0..buckets.count()).map(|at| {
            let lower = buckets.lower_bound(at);
            let upper = match at == buckets.overflow_index() {
                true => lower,
                false => buckets.upper_bound(at),
            };
            #[expect(clippy::cast_precision_loss, reason = "a middle is a float")]
            let middle = (lower as f64 + upper as f64) / 2.0;
            index(scale.apply(middle))
        });
        Some(Mapping {
            schema,
            indexes: indexes.collect(),
        })
    }

    /// `counts`, which are those of the family's buckets, in native buckets.
    pub(crate) fn of(&self, counts: &[u64]) -> Native {
        let mut native = Native::default();
        let mut end = 0;
        let mut last = 0;
        let mut filled = self.indexes.iter().zip(counts).peekable();
        while let Some((&index, &count)) = filled.next() {
            let mut count = count;
            while let Some((_, more)) = filled.next_if(|(next, _)| **next == index) {
                count = count.wrapping_add(*more);
            }
            let Some(index) = index else {
                native.zero_count = count;
                continue;
            };
            if count > 0 {
                native.reach(index, &mut end, &mut last);
                native.push(count, &mut end, &mut last);
            }
        }
        native
    }
}

impl Native {
    /// Writes the empty buckets before `index`, or begins a span there.
    fn reach(&mut self, index: i32, end: &mut i32, last: &mut u64) {
        let gap = index - *end;
        if self.spans.is_empty() || gap > GAP_MAX {
            self.spans.push(Span {
                offset: gap,
                length: 0,
            });
            *end = index;
        }
        while *end < index {
            self.push(0, end, last);
        }
    }

    fn push(&mut self, count: u64, end: &mut i32, last: &mut u64) {
        self.deltas.push(count.wrapping_sub(*last).cast_signed());
        *last = count;
        *end += 1;
        if let Some(span) = self.spans.last_mut() {
            span.length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The counts of a native histogram by the upper bounds of its buckets; written from the specification.
    fn decoded(native: &Native, schema: i32) -> Vec<(f64, u64)> {
        let mut deltas = native.deltas.iter();
        let (mut index, mut count, mut buckets) = (0, 0i64, Vec::new());
        for span in &native.spans {
            index += span.offset;
            for _ in 0..span.length {
                count += deltas.next().unwrap();
                let upper = (f64::from(index) / f64::from(schema).exp2()).exp2();
                buckets.push((upper, count.try_into().unwrap()));
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        buckets
    }

    #[test]
    fn spans_and_deltas() {
        let mapping = Mapping {
            schema: 0,
            indexes: [None, Some(-1), Some(0), Some(0), Some(3), Some(9)].into(),
        };
        let native = mapping.of(&[5, 1, 2, 2, 7, 3]);
        assert_eq!(native.zero_count, 5);
        let spans: Vec<(i32, u32)> = native
            .spans
            .iter()
            .map(|it| (it.offset, it.length))
            .collect();
        assert_eq!(spans, [(-1, 5), (5, 1)]);
        assert_eq!(native.deltas, [1, 3, -4, 0, 7, -4]);
        assert_eq!(mapping.of(&[0; 6]), Native::default());
    }

    #[test]
    fn schemas() {
        let schema = |precision| {
            let buckets = Buckets::log_linear(precision, 1 << 40).unwrap();
            Mapping::new(&buckets, Scale::ONE).unwrap().schema
        };
        assert_eq!([0, 1, 5, 7, 9, 10, 17].map(schema), [-1, 0, 4, 6, 8, 8, 8]);
        let explicit = Buckets::explicit([1, 2]).unwrap();
        assert!(Mapping::new(&explicit, Scale::ONE).is_none());
    }

    proptest! {
        #[test]
        fn no_value_is_far_from_its_bucket(
            value in 1u64..u64::MAX,
            shift in 0u32..63,
            precision in 0u8..12,
            nanoseconds in any::<bool>(),
        ) {
            let value = value >> shift;
            let buckets = Buckets::log_linear(precision, u64::MAX).unwrap();
            let scale = if nanoseconds { Scale::new(1, 1_000_000_000) } else { Scale::ONE };
            let mapping = Mapping::new(&buckets, scale).unwrap();
            let mut counts = vec![0; buckets.count()];
            counts[buckets.index(value)] = 3;
            let native = mapping.of(&counts);
            if value == 0 {
                prop_assert_eq!(native.zero_count, 3);
                return Ok(());
            }
            let found = decoded(&native, mapping.schema);
            prop_assert_eq!(found.len(), 1);
            let (upper, count) = found[0];
            prop_assert_eq!(count, 3);
            let growth = (-f64::from(mapping.schema)).exp2().exp2();
            #[expect(clippy::cast_precision_loss, reason = "a bound is a float")]
            let value = scale.apply(value as f64);
            let off = (value / upper).log(growth);
            prop_assert!((-2.001..=1.001).contains(&off), "{value} in {upper}, off by {off}");
        }

        #[test]
        fn every_count_is_kept(counts in proptest::collection::vec(0u64..5, 1216)) {
            let buckets = Buckets::default();
            let counts = &counts[..buckets.count().min(counts.len())];
            let mapping = Mapping::new(&buckets, Scale::ONE).unwrap();
            let native = mapping.of(counts);
            let found: u64 = decoded(&native, mapping.schema).iter().map(|it| it.1).sum();
            prop_assert_eq!(found + native.zero_count, counts.iter().sum::<u64>());
        }
    }
}
