//! The values of one pass over a segment: owned plain data that every output takes.
//!
//! A [`Snapshot`] is a [`Directory`] (what there is: families, series, labels; shared between snapshots
//! while nothing new is registered) and the values of one moment, in the directory's order.

use std::path::PathBuf;
use std::sync::Arc;

use crate::buckets::Buckets;
use crate::loss::Losses;
use crate::recording::Recording;
use crate::schema::Kind;
use crate::shelf::{self, Labels};
use crate::trace::{SpanId, TraceId};
use crate::unit::{Scale, Unit};

/// Everything that a reader saw in one pass.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When the pass began, in nanoseconds since the Unix epoch.
    pub time_unix_nanos: u64,
    /// The segment itself.
    pub segment: SegmentInfo,
    /// What there is. Two snapshots with the same `Arc` have the same series in the same order.
    pub directory: Arc<Directory>,
    /// A value for each series, in the directory's order.
    pub(crate) values: Vec<Value>,
    /// Bucket counts of all histograms, one after another.
    pub(crate) bucket_counts: Vec<u64>,
    /// Exemplars, each with the place of its series in the directory, in the directory's order.
    pub(crate) exemplars: Vec<(usize, Exemplar)>,
    /// Registrations folded into the overflow series, for each family of the directory.
    pub(crate) overflowed: Vec<u64>,
    /// What was refused, each with the place of its family in the directory, in the directory's order.
    pub(crate) refused: Vec<(usize, Refused)>,
    /// The processes that hold a slot, living or dead.
    pub processes: Vec<Process>,
    /// What could not be recorded as asked, by reason.
    pub losses: Losses,
    /// What became of removed series.
    pub removals: Removals,
    /// Records that were skipped because they made no sense, and memory that is missing.
    pub damage: Vec<Damage>,
}

/// Facts about the segment of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentInfo {
    /// Where it is; empty for a segment on the heap.
    pub path: PathBuf,
    /// Random number that tells one creation of a segment from another.
    pub instance: u64,
    /// Creation time in nanoseconds since the Unix epoch.
    pub created_unix_nanos: u64,
    /// Format version, major and minor.
    pub version: (u32, u32),
    /// Whether it was created since the last boot. History otherwise.
    pub this_boot: bool,
    /// Shards that restartable sequences write, one a possible CPU.
    pub cpu_shards: u32,
    /// Shards that atomic additions write.
    pub fallback_shards: u32,
    /// Full virtual size in bytes, most of it holes.
    pub bytes: u64,
    /// How full each table is.
    pub tables: Vec<TableFill>,
}

/// What became of removed series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removals {
    /// Series removed so far.
    pub removed: u64,
    /// Removed series whose cells were freed, so far.
    pub reclaimed: u64,
    /// Removed series whose cells are not free yet: living processes may still write to them, or nobody has
    /// looked since the last of those ended.
    pub waiting: u64,
    /// How often a process could not be followed through a fork: while this is not zero, nothing is freed.
    pub untracked: u64,
}

/// Registrations of a family that were refused, because it is registered with another definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// When the last one was, in nanoseconds since the Unix epoch.
    pub last_unix_nanos: u64,
    /// What the first one asked for; `None` where its process ended before it had said so.
    pub first: Option<RefusedDefinition>,
}

/// What a refused registration asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDefinition {
    /// The process, by its id in its own pid namespace.
    pub pid: u32,
    /// In what it differs from the family: see [`Family::property`].
    pub property: String,
    /// What it asked for, cut at some fifty bytes.
    pub requested: String,
}

/// How full one table of a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFill {
    /// Its name.
    pub table: &'static str,
    /// Entries in use.
    pub used: u64,
    /// Entries there can be.
    pub capacity: u64,
    /// Bytes of memory taken so far.
    pub committed_bytes: u64,
    /// Bytes of memory it takes when full.
    pub capacity_bytes: u64,
}

/// What there is in a segment: families in order of their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Directory {
    /// The families, by name.
    pub families: Vec<Family>,
}

impl Directory {
    /// Keeps every text of its labels once.
    pub(crate) fn share_texts(&mut self) {
        let series = self.families.iter_mut().flat_map(|it| &mut it.series);
        shelf::gather(series.map(|series| &mut series.labels));
    }
}

/// Metrics that share a name, a type, a unit and a help text.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Full name, with the `_total` of a counter.
    pub name: String,
    /// What it means, for people.
    pub help: String,
    /// Its type.
    pub kind: Kind,
    /// The unit it is recorded in.
    pub unit: Unit,
    /// The bucket layout, of a histogram.
    pub buckets: Option<Buckets>,
    /// The names of the states, of a state set.
    pub states: Vec<String>,
    /// How many series it may have.
    pub series_limit: u64,
    /// Bytes of memory that one series takes, over all shards.
    pub series_bytes: u64,
    /// Its series, sorted by their label sets.
    pub series: Vec<Series>,
    /// Where its first value lies.
    pub(crate) first: usize,
}

/// One label set of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The labels, sorted by name.
    pub labels: Labels,
    /// Creation time in nanoseconds since the Unix epoch.
    pub created_unix_nanos: u64,
    /// Where it is kept, and the how manieth series that is there: a series that was removed and registered
    /// again is another one.
    pub(crate) identity: (u32, u64),
}

/// A number as it is recorded, before the family's unit is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A counter's integer.
    Unsigned(u64),
    /// A gauge's integer.
    Signed(i64),
    /// A float.
    Float(f64),
}

impl Number {
    /// The number as a float, in recorded units.
    #[expect(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Unsigned(value) => value as f64,
            Number::Signed(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    /// The number in base units; integers stay integers where the scale is one.
    pub fn scaled(self, scale: Scale) -> Number {
        if scale.is_one() {
            self
        } else {
            Number::Float(scale.apply(self.as_f64()))
        }
    }
}

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// No living process has set it, or it was removed while it was read.
    Absent,
    Number(Number),
    Each(Vec<ProcessValue>),
    /// `bucket_counts[first..first + buckets.count()]`
    Histogram {
        first: usize,
        sum: u128,
    },
    Info,
    States(Vec<bool>),
}

/// What one living process has set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessValue {
    /// The process's slot.
    pub slot: u32,
    /// Its process id, in its own pid namespace.
    pub pid: u32,
    /// What it set.
    pub value: Number,
}

/// A value that was recorded, and the trace that it was recorded in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// What was recorded: a value of a histogram, or the amount that was added to a counter.
    pub value: Number,
    /// The trace.
    pub trace_id: TraceId,
    /// The span of the trace.
    pub span_id: SpanId,
    /// When it was recorded, in nanoseconds since the Unix epoch; some milliseconds old.
    pub time_unix_nanos: u64,
}

/// The value of one series, as the outputs see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueView<'a> {
    /// Nothing to show: no living process has set it, or it was removed while it was read.
    Absent,
    /// A counter or gauge.
    Number(Number),
    /// A gauge or state set with a value a process.
    Each(&'a [ProcessValue]),
    /// A histogram.
    Histogram(HistogramView<'a>),
    /// An info; its value is 1.
    Info,
    /// A state set: for each of the family's states, whether it holds.
    States(&'a [bool]),
}

/// A family with its values.
#[derive(Debug, Clone, Copy)]
pub struct FamilyView<'a> {
    snapshot: &'a Snapshot,
    index: usize,
    /// The family.
    pub family: &'a Family,
}

/// A series with its value.
#[derive(Debug, Clone, Copy)]
pub struct SeriesView<'a> {
    /// The series.
    pub series: &'a Series,
    /// Its value.
    pub value: ValueView<'a>,
    exemplars: &'a [(usize, Exemplar)],
}

impl<'a> SeriesView<'a> {
    /// Its exemplars, of counters and histograms that keep them: by value, of a histogram.
    pub fn exemplars(&self) -> impl ExactSizeIterator<Item = &'a Exemplar> + use<'a> {
        self.exemplars.iter().map(|(_, exemplar)| exemplar)
    }
}

impl Snapshot {
    /// The families with their values, by name.
    pub fn families(&self) -> impl ExactSizeIterator<Item = FamilyView<'_>> {
        let families = self.directory.families.iter().enumerate();
        families.map(|(index, family)| FamilyView {
            snapshot: self,
            index,
            family,
        })
    }

    /// The family called `name`.
    pub fn family(&self, name: &str) -> Option<FamilyView<'_>> {
        let families = &self.directory.families;
        let index = families
            .binary_search_by(|family| family.name.as_str().cmp(name))
            .ok()?;
        Some(FamilyView {
            snapshot: self,
            index,
            family: &families[index],
        })
    }

    /// The value of one series; labels in any order.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<ValueView<'_>> {
        self.series(name, labels).map(|view| view.value)
    }

    /// One series with its value; labels in any order.
    pub fn series(&self, name: &str, labels: &[(&str, &str)]) -> Option<SeriesView<'_>> {
        let mut wanted = labels.to_vec();
        wanted.sort_unstable();
        let mut all = self.family(name)?.series();
        all.find(|view| view.series.labels.is(&wanted))
    }

    /// The number of one counter or gauge series, in base units; zero where it is absent.
    pub fn number(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match (self.family(name), self.value(name, labels)) {
            (Some(view), Some(ValueView::Number(number))) => {
                number.scaled(view.family.unit.scale()).as_f64()
            }
            _ => 0.0,
        }
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn exemplars(&self, series: usize) -> &[(usize, Exemplar)] {
        let before = |until| self.exemplars.partition_point(|&(of, _)| of < until);
        match self.exemplars[..] {
            [] => &[],
            _ => &self.exemplars[before(series)..before(series + 1)],
        }
    }

    /// The value at `index`, of a series of a family with these buckets.
    pub(crate) fn view(&self, family: &'_ Family, index: usize) -> ValueView<'_> {
        match &self.values[index] {
            Value::Absent => ValueView::Absent,
            Value::Number(number) => ValueView::Number(*number),
            Value::Each(values) => ValueView::Each(values),
            Value::Info => ValueView::Info,
            Value::States(states) => ValueView::States(states),
            Value::Histogram { first, sum } => {
                let count = family.buckets.as_ref().map_or(0, Buckets::count);
                ValueView::Histogram(HistogramView {
                    counts: &self.bucket_counts[*first..first + count],
                    sum: *sum,
                })
            }
        }
    }
}

impl<'a> FamilyView<'a> {
    /// The series with their values, by label set.
    pub fn series(&self) -> impl ExactSizeIterator<Item = SeriesView<'a>> + use<'a> {
        let (snapshot, family) = (self.snapshot, self.family);
        family
            .series
            .iter()
            .enumerate()
            .map(move |(index, series)| SeriesView {
                series,
                value: snapshot.view(family, family.first + index),
                exemplars: snapshot.exemplars(family.first + index),
            })
    }

    /// How many registrations were folded into its overflow series.
    pub fn overflowed(&self) -> u64 {
        self.snapshot.overflowed[self.index]
    }

    /// What was refused under its name, if anything was.
    pub fn refused(&self) -> Option<&'a Refused> {
        let refused = &self.snapshot.refused;
        let found = refused.binary_search_by_key(&self.index, |(family, _)| *family);
        Some(&refused[found.ok()?].1)
    }

    /// The bucket layout, of a histogram.
    pub fn buckets(&self) -> Option<&'a Buckets> {
        self.family.buckets.as_ref()
    }
}

/// The distribution of one histogram series: disjoint bucket counts and the exact sum, in recorded units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramView<'a> {
    /// How many values each bucket of the family's layout took.
    pub counts: &'a [u64],
    /// The sum of all values; it lags the counts by the records in flight.
    pub sum: u128,
}

impl HistogramView<'_> {
    /// How many values were recorded: the sum of the buckets, by definition.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, &count| sum.wrapping_add(count))
    }
}

/// A process that holds a slot of the segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its slot.
    pub slot: u32,
    /// How often the slot has been taken.
    pub generation: u64,
    /// Its process id, in its own pid namespace.
    pub pid: u32,
    /// Inode of its pid namespace.
    pub pid_namespace: u64,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// When it attached, in nanoseconds since the Unix epoch.
    pub attached_unix_nanos: u64,
    /// What it calls itself.
    pub name: String,
    /// How it records.
    pub recording: Recording,
    /// Whether it lives: whether the kernel still holds its lock.
    pub alive: bool,
    /// Removed series that it may still write to.
    pub holds_removed: u64,
}

/// A record that was skipped because it made no sense, or a place whose memory was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The table it is in; "file" for memory missing from the file, nobody knows where.
    pub table: &'static str,
    /// Its index there; 0 for the file.
    pub index: u64,
    /// The check that failed.
    pub reason: String,
}
