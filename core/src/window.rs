//! Values over a window of time: what two snapshots say together.

use crate::buckets::Buckets;
use crate::schema::Kind;
use crate::snapshot::{Family, HistogramView, Number, Snapshot, ValueView};
use crate::unit::Scale;

/// Two snapshots of one segment, the older first.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    older: &'a Snapshot,
    newer: &'a Snapshot,
}

impl<'a> Window<'a> {
    /// The window between two snapshots; `None` where they are of different segments or not in order.
    pub fn between(older: &'a Snapshot, newer: &'a Snapshot) -> Option<Window<'a>> {
        let is_same = older.segment.instance == newer.segment.instance;
        let is_ordered = older.time_unix_nanos < newer.time_unix_nanos;
        (is_same && is_ordered).then_some(Window { older, newer })
    }

    /// How long the window is, in seconds.
    pub fn seconds(&self) -> f64 {
        std::time::Duration::from_nanos(self.newer.time_unix_nanos - self.older.time_unix_nanos)
            .as_secs_f64()
    }

    /// How much a counter grew a second, in base units, or how many values a histogram took. A series that
    /// the older snapshot does not have counts from zero.
    pub fn rate(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let family = self.newer.family(name)?.family;
        let newer = self.newer.value(name, labels)?;
        let older = self.older_value(name, labels);
        if matches!(family.kind, Kind::Gauge(_) | Kind::GaugeF64(_)) {
            return None;
        }
        let grown = match (newer, older) {
            (ValueView::Number(newer), older) => grown(newer, older)?,
            (ValueView::Histogram(newer), Some(ValueView::Histogram(older))) => {
                Number::Unsigned(newer.count().wrapping_sub(older.count())).as_f64()
            }
            (ValueView::Histogram(newer), _) => Number::Unsigned(newer.count()).as_f64(),
            _ => return None,
        };
        let scale = match newer {
            ValueView::Number(_) => family.unit.scale(),
            _ => Scale::ONE,
        };
        Some(scale.apply(grown) / self.seconds())
    }

    /// The distribution of the values that a histogram took within the window.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Option<Distribution> {
        let family = self.newer.family(name)?.family;
        let Some(ValueView::Histogram(newer)) = self.newer.value(name, labels) else {
            return None;
        };
        let mut distribution = newer.distribution(family)?;
        if let Some(ValueView::Histogram(older)) = self.older_value(name, labels) {
            let counts = distribution.counts.iter_mut().zip(older.counts);
            counts.for_each(|(newer, older)| *newer = newer.saturating_sub(*older));
            distribution.sum = distribution.sum.saturating_sub(older.sum);
        }
        Some(distribution)
    }

    /// What the series was before; `None` where it is not the same one, but was removed and registered again.
    fn older_value(&self, name: &str, labels: &[(&str, &str)]) -> Option<ValueView<'a>> {
        let newer = self.newer.series(name, labels)?;
        let older = self.older.series(name, labels)?;
        (older.series == newer.series).then_some(older.value)
    }
}

/// How much a counter grew; `None` for gauges, which do not only grow.
fn grown(newer: Number, older: Option<ValueView<'_>>) -> Option<f64> {
    let older = match older {
        Some(ValueView::Number(older)) => Some(older),
        _ => None,
    };
    match (newer, older) {
        (Number::Unsigned(newer), Some(Number::Unsigned(older))) => {
            Some(Number::Unsigned(newer.wrapping_sub(older)).as_f64())
        }
        (Number::Unsigned(newer), _) => Some(Number::Unsigned(newer).as_f64()),
        (Number::Float(newer), Some(older)) => Some(newer - older.as_f64()),
        (Number::Float(newer), None) => Some(newer),
        (Number::Signed(_), _) => None,
    }
}

impl HistogramView<'_> {
    /// The distribution, with everything in base units; `None` where `family` is no histogram.
    pub fn distribution(&self, family: &Family) -> Option<Distribution> {
        let buckets = family.buckets.clone()?;
        let scale = family.unit.scale();
        Some(Distribution {
            buckets,
            scale,
            counts: self.counts.to_vec(),
            sum: self.sum,
        })
    }
}

/// How many values fell into which bucket, in base units.
#[derive(Debug, Clone)]
pub struct Distribution {
    buckets: Buckets,
    scale: Scale,
    counts: Vec<u64>,
    sum: u128,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the values are floats in base units"
)]
impl Distribution {
    /// The distribution with `counts[i]` values in bucket `i` of `buckets`, and their sum, as recorded; `scale`
    /// leads to base units. Counts beyond the layout are left out.
    pub fn new(buckets: Buckets, scale: Scale, mut counts: Vec<u64>, sum: u128) -> Distribution {
        counts.resize(buckets.count(), 0);
        Distribution {
            buckets,
            scale,
            counts,
            sum,
        }
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, &count| sum.wrapping_add(count))
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.scale.apply(self.sum as f64)
    }

    /// Their average; `None` without values.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum() / self.count() as f64)
    }

    /// The least value, as exactly as its bucket tells.
    pub fn min(&self) -> Option<f64> {
        let first = self.counts.iter().position(|&count| count > 0)?;
        Some(self.scale.apply(self.buckets.lower_bound(first) as f64))
    }

    /// The greatest value, as exactly as its bucket tells; infinite where it lies above the highest bound.
    pub fn max(&self) -> Option<f64> {
        let last = self.counts.iter().rposition(|&count| count > 0)?;
        Some(self.upper_bound(last))
    }

    /// The value that a fraction `quantile` (0 to 1) of the values does not exceed: the upper bound of the
    /// bucket it falls into, as HdrHistogram answers. `None` without values.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the count"
        )]
        let rank = ((quantile.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        let index = self.counts.iter().position(|&count| {
            seen = count.saturating_add(seen);
            seen >= rank
        })?;
        Some(self.upper_bound(index))
    }

    /// The buckets that hold values: lower bound, upper bound and count.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, f64, u64)> + '_ {
        let filled = self
            .counts
            .iter()
            .enumerate()
            .filter(|&(_, &count)| count > 0);
        filled.map(|(index, &count)| {
            (
                self.scale.apply(self.buckets.lower_bound(index) as f64),
                self.upper_bound(index),
                count,
            )
        })
    }

    fn upper_bound(&self, index: usize) -> f64 {
        if index >= self.buckets.overflow_index() {
            return f64::INFINITY;
        }
        self.scale.apply(self.buckets.upper_bound(index) as f64)
    }

    /// The same distribution as HdrHistogram's: every count at its bucket's upper bound, in recorded units.
    /// Values above the highest bound are counted just above it.
    ///
    /// # Panics
    /// Never: the histogram is made large enough for every bucket.
    #[cfg(feature = "hdrhistogram")]
    pub fn to_hdr(&self) -> hdrhistogram::Histogram<u64> {
        let digits = match self.buckets.log_linear_parts() {
            Some((precision, _)) => (0..5)
                .find(|digits| 2 * 10u64.pow(*digits) > 1 << precision)
                .unwrap_or(5),
            None => 3,
        };
        let digits = u8::try_from(digits).expect("at most five");
        let mut histogram = hdrhistogram::Histogram::new(digits).expect("the digits are possible");
        let last = self.buckets.overflow_index();
        for (index, &count) in self
            .counts
            .iter()
            .enumerate()
            .filter(|&(_, &count)| count > 0)
        {
            let value = match index == last {
                true => self.buckets.lower_bound(last),
                false => self.buckets.upper_bound(index),
            };
            histogram
                .record_n(value.min(u64::MAX >> 1), count)
                .expect("the histogram resizes itself");
        }
        histogram
    }
}
