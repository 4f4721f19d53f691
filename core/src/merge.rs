//! Several snapshots as one, with other names and labels.
//!
//! What belongs together is found once for the directories of the snapshots; after that a merge adds values.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::cell;
use crate::loss::Losses;
use crate::schema::{GaugeMode, Kind};
use crate::shelf::Labels;
use crate::snapshot::{
    Directory, Exemplar, Family, Number, Removals, Series, Snapshot, Value, ValueView,
};

/// How a series is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name of its family.
    pub name: String,
    /// Its labels, each name once.
    pub labels: Labels,
}

/// Snapshots that become one. Counters and histograms with the same name and labels are summed; gauges of the modes
/// that sum, or take the least or the greatest value, do that; of others the first is kept. Of exemplars the newest
/// are kept, as many as one series has.
#[derive(Debug)]
pub struct Merge {
    from: Vec<Arc<Directory>>,
    directory: Arc<Directory>,
    /// For each family of the directory those that it is made of: snapshot and family.
    families: Vec<Vec<Place>>,
    /// For each value of the directory where its parts end.
    ends: Vec<usize>,
    /// The values that are added up: snapshot and value.
    parts: Vec<Place>,
    /// What could not be merged.
    pub left_out: Vec<LeftOut>,
}

/// A family, or some series of it, that a merge leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which of the snapshots it is of.
    pub snapshot: usize,
    /// Its name there.
    pub family: String,
    /// Why.
    pub difference: Difference,
}

/// Why something cannot be merged into an earlier family or series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// They are of different types or modes.
    Kind(Kind, Kind),
    /// They are recorded in different units.
    Unit,
    /// They have different buckets, or states.
    Buckets,
    /// So many series have the labels of earlier ones, and no values that could be added to theirs.
    Series(usize),
}

/// Where something is: the number of its snapshot, and its own there.
type Place = (usize, usize);

/// A merged series in the making.
struct Summed {
    created_unix_nanos: u64,
    identity: (u32, u64),
    parts: Vec<Place>,
}

/// A merged family in the making.
struct Gathered {
    /// Without its series.
    family: Family,
    members: Vec<Place>,
    series: BTreeMap<Labels, Summed>,
}

impl Merge {
    /// How snapshots with these directories become one. `show` gets the number of the snapshot, the family and the
    /// series, and says how that is shown; what it says nothing of is left out, and so are families without series.
    pub fn new(
        directories: &[Arc<Directory>],
        mut show: impl FnMut(usize, &Family, &Series) -> Option<Shown>,
    ) -> Merge {
        let mut gathered = BTreeMap::new();
        let mut left_out = Vec::new();
        for (snapshot, directory) in directories.iter().enumerate() {
            for (at, family) in directory.families.iter().enumerate() {
                let (mut doubled, mut differs) = (0, None);
                for (index, series) in family.series.iter().enumerate() {
                    let Some(shown) = show(snapshot, family, series) else {
                        continue;
                    };
                    let target = gathered
                        .entry(shown.name)
                        .or_insert_with_key(|name| Gathered::like(family, name));
                    if let Some(difference) = target.difference(family) {
                        differs = Some(difference);
                        continue;
                    }
                    if target.members.last() != Some(&(snapshot, at)) {
                        target.members.push((snapshot, at));
                    }
                    let value = (snapshot, family.first + index);
                    doubled += usize::from(!target.add(shown.labels, series, value));
                }
                let doubled = (doubled > 0).then_some(Difference::Series(doubled));
                left_out.extend(
                    differs
                        .into_iter()
                        .chain(doubled)
                        .map(|difference| LeftOut {
                            snapshot,
                            family: family.name.clone(),
                            difference,
                        }),
                );
            }
        }
        let mut merge = Merge {
            from: directories.to_vec(),
            directory: Arc::default(),
            families: Vec::new(),
            ends: Vec::new(),
            parts: Vec::new(),
            left_out,
        };
        merge.arrange(gathered.into_values());
        merge
    }

    fn arrange(&mut self, gathered: impl Iterator<Item = Gathered>) {
        let mut directory = Directory::default();
        for Gathered {
            mut family,
            members,
            series,
        } in gathered
        {
            family.first = self.ends.len();
            for (labels, summed) in series {
                self.parts.extend(summed.parts);
                self.ends.push(self.parts.len());
                family.series.push(Series {
                    labels,
                    created_unix_nanos: summed.created_unix_nanos,
                    identity: summed.identity,
                });
            }
            self.families.push(members);
            directory.families.push(family);
        }
        directory.share_texts();
        self.directory = Arc::new(directory);
    }

    /// Whether it is made for snapshots with these directories.
    pub fn fits(&self, directories: &[Arc<Directory>]) -> bool {
        let pairs = self.from.iter().zip(directories);
        self.from.len() == directories.len() && pairs.into_iter().all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The snapshots as one. What is said of whole segments is that of the first; processes, losses,
    /// removals, refusals and damage are left out.
    ///
    /// # Panics
    /// When there is no snapshot, or it [fits](Merge::fits) others.
    pub fn apply(&self, snapshots: &[&Snapshot]) -> Snapshot {
        let first = snapshots.first().expect("there is something to merge");
        let mut merged = Snapshot {
            time_unix_nanos: first.time_unix_nanos,
            segment: first.segment.clone(),
            directory: Arc::clone(&self.directory),
            values: Vec::with_capacity(self.ends.len()),
            bucket_counts: Vec::new(),
            exemplars: Vec::new(),
            overflowed: Vec::with_capacity(self.families.len()),
            refused: Vec::new(),
            processes: Vec::new(),
            losses: Losses::default(),
            removals: Removals::default(),
            damage: Vec::new(),
        };
        let mut ends = self.ends.iter();
        let mut start = 0;
        for (family, members) in self.directory.families.iter().zip(&self.families) {
            let folded = members
                .iter()
                .map(|&(at, family)| snapshots[at].overflowed[family]);
            merged.overflowed.push(folded.sum());
            for &end in ends.by_ref().take(family.series.len()) {
                let parts = self.parts[start..end].iter();
                let told = parts.clone();
                let told = told.flat_map(|&(at, value)| snapshots[at].exemplars(value));
                let told = newest(family, told.map(|(_, exemplar)| exemplar));
                let place = merged.values.len();
                merged.exemplars.extend(told.map(|it| (place, it)));
                let views = parts.map(|&(at, value)| snapshots[at].view(family, value));
                let value = sum(family, views, &mut merged.bucket_counts);
                merged.values.push(value);
                start = end;
            }
        }
        merged
    }
}

impl Gathered {
    fn like(family: &Family, name: &str) -> Gathered {
        Gathered {
            family: Family {
                name: name.to_owned(),
                help: family.help.clone(),
                states: family.states.clone(),
                buckets: family.buckets.clone(),
                unit: family.unit.clone(),
                series: Vec::new(),
                ..*family
            },
            members: Vec::new(),
            series: BTreeMap::new(),
        }
    }

    fn difference(&self, other: &Family) -> Option<Difference> {
        let first = &self.family;
        if first.kind != other.kind {
            return Some(Difference::Kind(other.kind, first.kind));
        }
        if first.unit != other.unit {
            return Some(Difference::Unit);
        }
        let is_alike = first.buckets == other.buckets && first.states == other.states;
        (!is_alike).then_some(Difference::Buckets)
    }

    /// Adds a series; whether its value has a place.
    fn add(&mut self, labels: Labels, series: &Series, value: Place) -> bool {
        match self.series.entry(labels) {
            Entry::Vacant(entry) => {
                entry.insert(Summed {
                    created_unix_nanos: series.created_unix_nanos,
                    identity: series.identity,
                    parts: vec![value],
                });
            }
            Entry::Occupied(_) if !adds_up(self.family.kind) => return false,
            Entry::Occupied(mut entry) => {
                let first = entry.get_mut();
                first.created_unix_nanos = first.created_unix_nanos.min(series.created_unix_nanos);
                first.parts.push(value);
            }
        }
        true
    }
}

/// Whether two values make one.
fn adds_up(kind: Kind) -> bool {
    match kind {
        Kind::Counter | Kind::CounterF64 | Kind::Histogram | Kind::Info => true,
        Kind::Gauge(mode) | Kind::GaugeF64(mode) => !matches!(
            mode,
            GaugeMode::Each | GaugeMode::Latest | GaugeMode::LastingLatest
        ),
        Kind::StateSet(_) => false,
    }
}

/// All values as one; where they do not add up there is only one.
fn sum<'a>(
    family: &Family,
    views: impl Iterator<Item = ValueView<'a>>,
    bucket_counts: &mut Vec<u64>,
) -> Value {
    let first = bucket_counts.len();
    let mut total = Value::Absent;
    for view in views {
        match (&mut total, view) {
            (_, ValueView::Absent) => {}
            (_, ValueView::Info) => total = Value::Info,
            (_, ValueView::Each(values)) => total = Value::Each(values.to_vec()),
            (_, ValueView::States(states)) => total = Value::States(states.to_vec()),
            (Value::Number(number), ValueView::Number(other)) => {
                *number = combined(family.kind, *number, other);
            }
            (_, ValueView::Number(number)) => total = Value::Number(number),
            (Value::Histogram { sum, .. }, ValueView::Histogram(other)) => {
                *sum = sum.wrapping_add(other.sum);
                for (count, other) in bucket_counts[first..].iter_mut().zip(other.counts) {
                    *count = count.wrapping_add(*other);
                }
            }
            (_, ValueView::Histogram(histogram)) => {
                bucket_counts.extend_from_slice(histogram.counts);
                let sum = histogram.sum;
                total = Value::Histogram { first, sum };
            }
        }
    }
    total
}

/// As many exemplars as one series keeps: the newest for each range of neighbouring buckets, or of a counter.
fn newest<'a>(
    family: &Family,
    exemplars: impl Iterator<Item = &'a Exemplar>,
) -> impl Iterator<Item = Exemplar> {
    let mut newest: BTreeMap<usize, Exemplar> = BTreeMap::new();
    for exemplar in exemplars {
        let kept = newest.entry(range(family, exemplar)).or_insert(*exemplar);
        if kept.time_unix_nanos < exemplar.time_unix_nanos {
            *kept = *exemplar;
        }
    }
    newest.into_values()
}

fn range(family: &Family, exemplar: &Exemplar) -> usize {
    match (&family.buckets, exemplar.value) {
        (Some(buckets), Number::Unsigned(value)) => {
            let exemplars = cell::exemplars(family.kind, Some(buckets));
            cell::exemplar_of(buckets.index(value), buckets.count(), exemplars)
        }
        _ => 0,
    }
}

fn combined(kind: Kind, left: Number, right: Number) -> Number {
    let mode = kind.mode().unwrap_or(GaugeMode::Sum);
    let is_least = matches!(mode, GaugeMode::Min | GaugeMode::LastingMin);
    let is_greatest = matches!(mode, GaugeMode::Max | GaugeMode::LastingMax);
    match (left, right) {
        (Number::Signed(left), Number::Signed(right)) if is_least => {
            Number::Signed(left.min(right))
        }
        (Number::Signed(left), Number::Signed(right)) if is_greatest => {
            Number::Signed(left.max(right))
        }
        (left, right) if is_least => Number::Float(left.as_f64().min(right.as_f64())),
        (left, right) if is_greatest => Number::Float(left.as_f64().max(right.as_f64())),
        (Number::Unsigned(left), Number::Unsigned(right)) => {
            Number::Unsigned(left.wrapping_add(right))
        }
        (Number::Signed(left), Number::Signed(right)) => Number::Signed(left.saturating_add(right)),
        (left, right) => Number::Float(left.as_f64() + right.as_f64()),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::buckets::Buckets;
    use crate::unit::Unit;
    use crate::{SegmentOptions, Writer};

    fn writer() -> Writer {
        SegmentOptions::new().series(100).heap().unwrap()
    }

    fn as_it_is(_: usize, family: &Family, series: &Series) -> Option<Shown> {
        Some(Shown {
            name: family.name.clone(),
            labels: series.labels.clone(),
        })
    }

    fn merged(
        snapshots: &[&Snapshot],
        show: impl FnMut(usize, &Family, &Series) -> Option<Shown>,
    ) -> (Snapshot, Vec<LeftOut>) {
        let directories = snapshots.iter().map(|it| Arc::clone(&it.directory));
        let directories: Vec<_> = directories.collect();
        let merge = Merge::new(&directories, show);
        assert!(merge.fits(&directories) && !merge.fits(&directories[1..]));
        (merge.apply(snapshots), merge.left_out)
    }

    fn fill(writer: &Writer, amount: u32) {
        let jobs = writer.counter("jobs_total", "Jobs").family().unwrap();
        jobs.with(&[("queue", "mail")]).unwrap().add(amount.into());
        let own = amount.to_string();
        jobs.with(&[("queue", own.as_str())]).unwrap().inc();
        let joules = writer.counter_f64("joules_total", "").register().unwrap();
        joules.add(f64::from(amount) / 2.0);
        for mode in GaugeMode::ALL {
            let name = mode.name().replace('-', "_");
            let gauge = writer.gauge(&name, "").mode(mode).register().unwrap();
            gauge.set(amount.into());
            let float = writer.gauge_f64(&format!("{name}_f"), "").mode(mode);
            float.register().unwrap().set(amount.into());
        }
        let waits = writer.histogram("wait", "").register().unwrap();
        waits.record(amount.into());
        waits.record(1);
        writer.info("build", "").label("v", "1").register().unwrap();
        let state = writer.state_set("state", "", &["a", "b"]);
        state.register().unwrap().set(1);
    }

    #[test]
    fn values_are_added_up_by_their_kind() {
        let (a, b) = (writer(), writer());
        fill(&a, 3);
        fill(&b, 5);
        let (a, b) = (a.snapshot().unwrap(), b.snapshot().unwrap());
        let (merged, left_out) = merged(&[&a, &b], as_it_is);
        let jobs = |queue| merged.number("jobs_total", &[("queue", queue)]);
        assert_eq!((jobs("mail"), jobs("3"), jobs("5")), (8.0, 1.0, 1.0));
        for (name, expected) in [
            ("joules_total", 4.0_f64),
            ("sum", 8.0),
            ("min_f", 3.0),
            ("min", 3.0),
            ("max", 5.0),
            ("lasting_sum", 8.0),
            ("lasting_sum_f", 8.0),
            ("lasting_min", 3.0),
            ("lasting_max_f", 5.0),
            ("latest", 3.0),
        ] {
            assert_eq!(
                merged.number(name, &[]).to_bits(),
                expected.to_bits(),
                "{name}"
            );
        }
        let Some(ValueView::Histogram(wait)) = merged.value("wait", &[]) else {
            panic!("it is a histogram");
        };
        assert_eq!((wait.count(), wait.sum), (4, 10));
        assert_eq!((wait.counts[1], wait.counts[3], wait.counts[5]), (2, 1, 1));
        assert_eq!(merged.value("build", &[("v", "1")]), Some(ValueView::Info));
        let doubled: Vec<&str> = left_out.iter().map(|it| it.family.as_str()).collect();
        let expected = [
            "each",
            "each_f",
            "lasting_latest",
            "lasting_latest_f",
            "latest",
            "latest_f",
            "state",
        ];
        assert_eq!(doubled, expected);
        assert!(
            left_out
                .iter()
                .all(|it| it.snapshot == 1 && it.difference == Difference::Series(1))
        );
    }

    #[test]
    fn as_many_exemplars_are_kept_as_one_series_has() {
        let (a, b) = (writer(), writer());
        let span = |number: u8| {
            let trace = crate::TraceId::try_from([number; 16]).unwrap();
            crate::SpanContext::new(trace, crate::SpanId::try_from([number; 8]).unwrap())
        };
        for (number, writer) in [(1, &a), (2, &b)] {
            let jobs = writer.counter("jobs_total", "").exemplars();
            jobs.register().unwrap().add_with_exemplar(7, &span(number));
            let plain = writer.counter("plain_total", "").register();
            plain.unwrap().inc();
            let waits = writer.histogram("wait", "").exemplars();
            let waits = waits.register().unwrap();
            waits.record_with_exemplar(100, &span(number));
            waits.record_with_exemplar(1 << (10 * (number + 1)), &span(number));
        }
        let (mut a, b) = (a.snapshot().unwrap(), b.snapshot().unwrap());
        for (_, exemplar) in &mut a.exemplars {
            exemplar.time_unix_nanos += 10_000_000_000;
        }
        for snapshots in [[&a, &b], [&b, &a]] {
            let (merged, left_out) = merged(&snapshots, as_it_is);
            assert_eq!(left_out, []);
            let told = |name: &str| -> Vec<(f64, crate::TraceId)> {
                let series = merged.series(name, &[]).unwrap();
                let told = series.exemplars();
                told.map(|it| (it.value.as_f64(), it.trace_id)).collect()
            };
            let trace = |number| span(number).trace_id();
            assert_eq!(told("jobs_total"), [(7.0, trace(1))]);
            assert_eq!(told("plain_total"), []);
            let (first, second) = (f64::from(1 << 20), f64::from(1 << 30));
            let expected = [(100.0, trace(1)), (first, trace(1)), (second, trace(2))];
            assert_eq!(told("wait"), expected);
        }
    }

    #[test]
    fn what_differs_is_left_out() {
        let (a, b) = (writer(), writer());
        a.gauge("kind", "").register().unwrap().set(1);
        b.gauge("kind", "")
            .mode(GaugeMode::Max)
            .register()
            .unwrap()
            .set(2);
        a.gauge("unit_seconds", "")
            .unit(Unit::SECONDS)
            .register()
            .unwrap()
            .set(1);
        b.gauge("unit_seconds", "")
            .unit(Unit::NANOSECONDS)
            .register()
            .unwrap()
            .set(2);
        a.histogram("wait", "").register().unwrap().record(1);
        let other = Buckets::explicit([7]).unwrap();
        b.histogram("wait", "")
            .buckets(other)
            .register()
            .unwrap()
            .record(1);
        let (a, b) = (a.snapshot().unwrap(), b.snapshot().unwrap());
        let (merged, left_out) = merged(&[&a, &b], as_it_is);
        assert_eq!(merged.directory, a.directory);
        assert_eq!(merged.values, a.values);
        let differences: Vec<Difference> = left_out.iter().map(|it| it.difference).collect();
        let (max, sum) = (Kind::Gauge(GaugeMode::Max), Kind::Gauge(GaugeMode::Sum));
        assert_eq!(
            differences,
            [
                Difference::Kind(max, sum),
                Difference::Unit,
                Difference::Buckets
            ]
        );
    }

    #[test]
    fn series_are_renamed_added_up_and_left_out() {
        let a = writer();
        for name in ["a_total", "b_total", "c_total"] {
            let family = a.counter(name, "").family().unwrap();
            family.with(&[("x", "1"), ("y", "1")]).unwrap().add(1);
            family.with(&[("x", "2"), ("y", "1")]).unwrap().add(2);
        }
        let a = a.snapshot().unwrap();
        let (merged, left_out) = merged(&[&a], |_, family, series| {
            let labels = series.labels.iter().filter(|label| label.name == "y");
            (family.name != "c_total").then(|| Shown {
                name: "all_total".into(),
                labels: labels.map(|label| (label.name, label.value)).collect(),
            })
        });
        assert_eq!(left_out, []);
        assert_eq!(merged.series_count(), 1);
        assert_eq!(
            merged.number("all_total", &[("y", "1")]).to_bits(),
            6f64.to_bits()
        );
    }
}
