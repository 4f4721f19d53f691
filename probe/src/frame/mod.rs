//! All that was seen of a segment in one look, as plain data that can be kept, written and read again.

mod again;
mod seen;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tachograph::{Buckets, Distribution, Scale};

use crate::terminal::printable;
use crate::views::{Amount, RefusedView};

pub(crate) use seen::Eye;

/// One look at a segment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) time_unix_nanos: u64,
    pub(crate) health: Health,
    /// What there is; shared by frames while nothing new is registered.
    pub(crate) directory: Arc<Directory>,
    /// A value for each series, in the directory's order.
    pub(crate) values: Vec<Value>,
}

/// The segment itself, its processes and what went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Health {
    pub(crate) path: String,
    pub(crate) instance: u64,
    pub(crate) created_unix_nanos: u64,
    pub(crate) this_boot: bool,
    /// Of the format, major and minor.
    pub(crate) version: (u32, u32),
    /// Shards of CPUs, and those of the fallback.
    pub(crate) shards: (u32, u32),
    /// The segment's address space.
    pub(crate) bytes: u64,
    pub(crate) tables: Vec<Table>,
    pub(crate) processes: Vec<Process>,
    pub(crate) losses: Vec<Lost>,
    /// Registrations folded into the overflow series, for each family of the directory.
    pub(crate) overflowed: Vec<u64>,
    /// What was refused, with the place of its family in the directory.
    pub(crate) refused: Vec<(usize, RefusedView)>,
    /// Removed series: so far, freed, waiting; and forks that keep them from being freed.
    pub(crate) removed: [u64; 4],
    /// Damaged records in words.
    pub(crate) damage: Vec<String>,
}

/// How full a table of the segment is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) used: u64,
    pub(crate) capacity: u64,
    pub(crate) committed_bytes: u64,
    pub(crate) capacity_bytes: u64,
}

impl Table {
    /// The used part, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        Amount::Unsigned(self.used.into()).as_f64()
            / Amount::Unsigned(self.capacity.max(1).into()).as_f64()
    }
}

/// A process that holds a slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) slot: u32,
    pub(crate) generation: u64,
    pub(crate) pid: u32,
    pub(crate) pid_namespace: u64,
    pub(crate) start_ticks: u64,
    pub(crate) name: String,
    pub(crate) alive: bool,
    /// `rseq`, `fallback` or `unknown`.
    pub(crate) recording: String,
    pub(crate) reason: String,
    pub(crate) attached_unix_nanos: u64,
    pub(crate) holds_removed: u64,
}

impl Process {
    pub(crate) fn is_slow(&self) -> bool {
        self.alive && self.recording != "rseq"
    }
}

/// What was lost for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) reason: String,
    /// What the count counts.
    pub(crate) what: String,
    pub(crate) count: u64,
}

/// The families, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Directory {
    pub(crate) families: Vec<Family>,
}

/// Series that share a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: Kind,
    pub(crate) mode: Option<String>,
    /// The base unit; empty for a plain number.
    pub(crate) unit: String,
    /// Multiplier and divisor from recorded values to the base unit.
    pub(crate) scale: (u32, u32),
    pub(crate) layout: Option<Layout>,
    pub(crate) states: Vec<String>,
    pub(crate) series_limit: u64,
    pub(crate) series_bytes: u64,
    /// Where its first value lies.
    pub(crate) first: usize,
    /// Sorted by their label sets.
    pub(crate) series: Vec<Series>,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
    StateSet,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
            Kind::StateSet => "stateset",
        }
    }
}

/// The buckets of a histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Layout {
    Explicit(Vec<u64>),
    /// Precision and highest value.
    LogLinear(u8, u64),
}

/// A label set. One that was removed and registered again has another time of creation, and is another series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) created_unix_nanos: u64,
}

/// The value of a series, as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// No living process has set it.
    Absent,
    Count(u64),
    Level(i64),
    Float(f64),
    /// A value a process: slot, pid, value.
    Each(Vec<(u32, u32, Number)>),
    Histogram(Histogram),
    /// An info.
    Info,
    /// Whether each state holds.
    States(Vec<bool>),
}

/// What a process has set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Number {
    Level(i64),
    Float(f64),
}

/// The buckets that hold values, by index, and the sum of all values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Histogram {
    pub(crate) counts: Vec<(u32, u64)>,
    pub(crate) sum: u128,
}

impl Histogram {
    pub(crate) fn count(&self) -> u64 {
        let counts = self.counts.iter().map(|&(_, count)| count);
        counts.fold(0, u64::wrapping_add)
    }

    /// What was recorded since `older`.
    pub(crate) fn since(&self, older: &Histogram) -> Histogram {
        let mut before = older.counts.iter().peekable();
        let counts = self.counts.iter().filter_map(|&(index, count)| {
            while before.next_if(|old| old.0 < index).is_some() {}
            let old = before.next_if(|old| old.0 == index).map_or(0, |old| old.1);
            let risen = count.saturating_sub(old);
            (risen > 0).then_some((index, risen))
        });
        Histogram {
            counts: counts.collect(),
            sum: self.sum.saturating_sub(older.sum),
        }
    }

    /// The counts of all buckets of a layout.
    pub(crate) fn dense(&self, buckets: &Buckets) -> Vec<u64> {
        let mut counts = vec![0; buckets.count()];
        for &(index, count) in &self.counts {
            if let Some(bucket) = counts.get_mut(index as usize) {
                *bucket = count;
            }
        }
        counts
    }
}

impl Family {
    pub(crate) fn scale(&self) -> Scale {
        Scale::new(self.scale.0, self.scale.1)
    }

    pub(crate) fn buckets(&self) -> Option<Buckets> {
        match self.layout.as_ref()? {
            Layout::Explicit(bounds) => Buckets::explicit(bounds.clone()).ok(),
            &Layout::LogLinear(precision, highest) => Buckets::log_linear(precision, highest).ok(),
        }
    }

    pub(crate) fn distribution(&self, histogram: &Histogram) -> Option<Distribution> {
        let buckets = self.buckets()?;
        let counts = histogram.dense(&buckets);
        Some(Distribution::new(
            buckets,
            self.scale(),
            counts,
            histogram.sum,
        ))
    }

    /// A recorded number in base units; integers stay exact where the scale is one.
    pub(crate) fn amount(&self, number: Number) -> Amount {
        match number {
            Number::Level(level) => Amount::new(tachograph::Number::Signed(level), self.scale()),
            Number::Float(value) => Amount::new(tachograph::Number::Float(value), self.scale()),
        }
    }

    /// The number of a counter or a gauge, or a histogram's count.
    pub(crate) fn number(&self, value: &Value) -> Option<Amount> {
        match value {
            Value::Count(count) => Some(Amount::new(
                tachograph::Number::Unsigned(*count),
                self.scale(),
            )),
            Value::Level(level) => Some(self.amount(Number::Level(*level))),
            Value::Float(value) => Some(self.amount(Number::Float(*value))),
            Value::Histogram(histogram) => Some(Amount::Unsigned(histogram.count().into())),
            Value::Absent | Value::Each(_) | Value::Info | Value::States(_) => None,
        }
    }
}

impl Directory {
    /// The family and the series of a value.
    pub(crate) fn locate(&self, index: usize) -> Option<(&Family, &Series)> {
        let after = self
            .families
            .partition_point(|family| family.first <= index);
        let family = self.families.get(after.checked_sub(1)?)?;
        let series = family.series.get(index - family.first)?;
        Some((family, series))
    }

    /// Every series with its family, in the order of the values.
    pub(crate) fn series(&self) -> impl Iterator<Item = (&Family, &Series)> {
        let families = self.families.iter();
        families.flat_map(|family| family.series.iter().map(move |series| (family, series)))
    }

    pub(crate) fn len(&self) -> usize {
        let last = self.families.last();
        last.map_or(0, |family| family.first + family.series.len())
    }

    /// Whether values can be found by it: each family begins where the one before ended.
    pub(crate) fn is_sound(&self) -> bool {
        let mut next = 0;
        self.families.iter().all(|family| {
            let begins_here = family.first == next;
            next += family.series.len();
            begins_here
        })
    }
}

/// The overflow series of a family has this value in every label.
pub(crate) const OTHER: &str = "__other__";

impl Series {
    pub(crate) fn is_overflow(&self) -> bool {
        self.labels.iter().any(|(_, value)| value == OTHER)
    }

    /// `{name="value"}`, harmless for a terminal; empty without labels.
    pub(crate) fn braces(&self) -> String {
        if self.labels.is_empty() {
            return String::new();
        }
        let labels = self.labels.iter();
        let labels: Vec<String> = labels
            .map(|(name, value)| format!("{}={value:?}", printable(name)))
            .collect();
        format!("{{{}}}", labels.join(","))
    }

    /// The series of `family` as the expositions write it.
    pub(crate) fn name(&self, family: &Family) -> String {
        format!("{}{}", printable(&family.name), self.braces())
    }
}

impl Frame {
    pub(crate) fn processes(&self, alive: bool) -> usize {
        let processes = self.health.processes.iter();
        processes.filter(|process| process.alive == alive).count()
    }

    pub(crate) fn lost(&self) -> u64 {
        let losses = self.health.losses.iter().map(|lost| lost.count);
        losses.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_since_another_holds_what_came() {
        let older = Histogram {
            counts: vec![(1, 5), (4, 2)],
            sum: 10,
        };
        let newer = Histogram {
            counts: vec![(0, 1), (1, 5), (4, 7), (9, 1)],
            sum: 60,
        };
        let risen = newer.since(&older);
        assert_eq!(risen.counts, [(0, 1), (4, 5), (9, 1)]);
        assert_eq!((risen.sum, risen.count()), (50, 7));
        assert_eq!(newer.since(&newer), Histogram::default());
    }
}
