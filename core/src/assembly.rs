//! Snapshots put together from parts, as one that was kept in a file.

use crate::error::Error;
use crate::layout::Section;
use crate::loss::{Loss, Losses};
use crate::schema::Kind;
use crate::shelf::Labels;
use crate::snapshot::{
    Directory, Exemplar, Family, Number, ProcessValue, Refused, Removals, SegmentInfo, Series,
    Snapshot, Value,
};

/// A family for [`Snapshot::assemble`].
#[derive(Debug, Clone)]
pub struct FamilyParts {
    /// The family, with its series in any order.
    pub family: Family,
    /// Registrations that were folded into its overflow series.
    pub overflowed: u64,
    /// What was refused under its name.
    pub refused: Option<Refused>,
    /// A value for each of its series, in their order.
    pub values: Vec<SeriesValue>,
    /// The exemplars of each of its series, in their order; empty where no series has any.
    pub exemplars: Vec<Vec<Exemplar>>,
}

/// The value of one series, on its own.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesValue {
    /// Nothing to show.
    Absent,
    /// A counter or gauge, in recorded units.
    Number(Number),
    /// A gauge or state set with a value a process.
    Each(Vec<ProcessValue>),
    /// A histogram, in recorded units.
    Histogram {
        /// How many values each bucket of the family's layout took.
        counts: Vec<u64>,
        /// The sum of all values.
        sum: u128,
    },
    /// An info.
    Info,
    /// For each of the family's states, whether it holds.
    States(Vec<bool>),
}

impl Snapshot {
    /// Puts a snapshot together. Its processes, losses, removals and damage are empty, for the caller to fill.
    ///
    /// # Errors
    /// [`Error::Invalid`] where a family or a series is there twice, or a value does not fit its family.
    pub fn assemble(
        time_unix_nanos: u64,
        segment: SegmentInfo,
        mut families: Vec<FamilyParts>,
    ) -> Result<Snapshot, Error> {
        families.sort_by(|a, b| a.family.name.cmp(&b.family.name));
        if let Some(pair) = families
            .windows(2)
            .find(|pair| pair[0].family.name == pair[1].family.name)
        {
            return Err(refused(&pair[0].family, "it is there twice"));
        }
        let mut directory = Directory::default();
        let mut values = Vec::new();
        let mut bucket_counts = Vec::new();
        let mut exemplars = Vec::new();
        let mut overflowed = Vec::new();
        let mut conflicts = Vec::new();
        for mut parts in families {
            overflowed.push(parts.overflowed);
            let own = parts.refused.take();
            conflicts.extend(own.map(|own| (directory.families.len(), own)));
            let (mut family, sorted) = sort(parts)?;
            family.first = values.len();
            family.series = Vec::with_capacity(sorted.len());
            for (series, value, own) in sorted {
                if !fits(&family, &value) {
                    return Err(refused(&family, "a value does not fit its type"));
                }
                family.series.push(series);
                exemplars.extend(own.into_iter().map(|exemplar| (values.len(), exemplar)));
                values.push(keep(value, &mut bucket_counts));
            }
            directory.families.push(family);
        }
        directory.share_texts();
        Ok(Snapshot {
            time_unix_nanos,
            segment,
            directory: directory.into(),
            values,
            bucket_counts,
            exemplars,
            overflowed,
            refused: conflicts,
            processes: Vec::new(),
            losses: Losses::default(),
            removals: Removals::default(),
            damage: Vec::new(),
        })
    }
}

/// A series with its value and its exemplars.
type Valued = (Series, SeriesValue, Vec<Exemplar>);

/// A family, and its series by label set.
fn sort(parts: FamilyParts) -> Result<(Family, Vec<Valued>), Error> {
    let FamilyParts {
        mut family,
        values,
        mut exemplars,
        ..
    } = parts;
    if exemplars.is_empty() {
        exemplars.resize(values.len(), Vec::new());
    }
    if [values.len(), exemplars.len()] != [family.series.len(); 2] {
        return Err(refused(
            &family,
            "it has not a value and exemplars for each series",
        ));
    }
    let series = std::mem::take(&mut family.series).into_iter();
    let mut valued: Vec<Valued> = series
        .zip(values)
        .zip(exemplars)
        .map(|((series, value), exemplars)| (series, value, exemplars))
        .collect();
    valued.sort_by(|a, b| a.0.labels.cmp(&b.0.labels));
    if valued
        .windows(2)
        .any(|pair| pair[0].0.labels == pair[1].0.labels)
    {
        return Err(refused(&family, "a series is there twice"));
    }
    Ok((family, valued))
}

fn fits(family: &Family, value: &SeriesValue) -> bool {
    match value {
        SeriesValue::Absent => true,
        SeriesValue::Number(number) => number_fits(family.kind, *number),
        SeriesValue::Each(values) => values
            .iter()
            .all(|each| number_fits(family.kind, each.value)),
        SeriesValue::Histogram { counts, .. } => {
            let count = family.buckets.as_ref().map(crate::Buckets::count);
            family.kind == Kind::Histogram && count == Some(counts.len())
        }
        SeriesValue::Info => family.kind == Kind::Info,
        SeriesValue::States(states) => {
            matches!(family.kind, Kind::StateSet(_)) && states.len() == family.states.len()
        }
    }
}

fn number_fits(kind: Kind, number: Number) -> bool {
    match kind {
        Kind::Counter => matches!(number, Number::Unsigned(_)),
        Kind::Gauge(_) | Kind::StateSet(_) => matches!(number, Number::Signed(_)),
        Kind::CounterF64 | Kind::GaugeF64(_) => matches!(number, Number::Float(_)),
        Kind::Histogram | Kind::Info => false,
    }
}

fn keep(value: SeriesValue, bucket_counts: &mut Vec<u64>) -> Value {
    match value {
        SeriesValue::Absent => Value::Absent,
        SeriesValue::Number(number) => Value::Number(number),
        SeriesValue::Each(values) => Value::Each(values),
        SeriesValue::Histogram { counts, sum } => {
            let first = bucket_counts.len();
            bucket_counts.extend(counts);
            Value::Histogram { first, sum }
        }
        SeriesValue::Info => Value::Info,
        SeriesValue::States(states) => Value::States(states),
    }
}

fn refused(family: &Family, reason: &str) -> Error {
    Error::Invalid {
        what: "family",
        given: family.name.clone(),
        reason: reason.into(),
    }
}

impl Family {
    /// A family without series; the rest of it is for the caller to fill.
    pub fn new(name: impl Into<String>, kind: Kind) -> Family {
        Family {
            name: name.into(),
            help: String::new(),
            kind,
            unit: crate::Unit::NONE,
            buckets: None,
            states: Vec::new(),
            series_limit: 0,
            series_bytes: 0,
            series: Vec::new(),
            first: 0,
        }
    }
}

impl Series {
    /// A series; `identity` as another one told it.
    pub fn new(labels: Labels, created_unix_nanos: u64, identity: (u32, u64)) -> Series {
        Series {
            labels,
            created_unix_nanos,
            identity,
        }
    }

    /// Where it is kept, and the how manieth series that is there.
    pub fn identity(&self) -> (u32, u64) {
        self.identity
    }
}

impl FromIterator<(Loss, u64)> for Losses {
    fn from_iter<T: IntoIterator<Item = (Loss, u64)>>(losses: T) -> Losses {
        let mut all = Losses::default();
        for (loss, count) in losses {
            all.counts[loss as usize] = count;
        }
        all
    }
}

/// The table of that name, or "file" as damage has it, for facts that come from elsewhere than a segment.
pub fn table_called(name: &str) -> Option<&'static str> {
    let tables = Section::ALL.into_iter().map(Section::name);
    tables.chain(["file"]).find(|known| *known == name)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{SegmentOptions, ValueView};

    /// The parts that a snapshot falls into, in reverse order.
    fn parts(snapshot: &Snapshot) -> Vec<FamilyParts> {
        let part = |view: crate::FamilyView<'_>| {
            let mut family = view.family.clone();
            family.series.reverse();
            let mut values: Vec<SeriesValue> =
                view.series().map(|series| owned(series.value)).collect();
            values.reverse();
            let own = view.series().map(|series| series.exemplars().cloned());
            let mut exemplars: Vec<Vec<Exemplar>> = own.map(Iterator::collect).collect();
            exemplars.reverse();
            FamilyParts {
                family,
                overflowed: view.overflowed(),
                refused: view.refused().cloned(),
                values,
                exemplars,
            }
        };
        let mut parts: Vec<FamilyParts> = snapshot.families().map(part).collect();
        parts.reverse();
        parts
    }

    fn owned(value: ValueView<'_>) -> SeriesValue {
        match value {
            ValueView::Absent => SeriesValue::Absent,
            ValueView::Number(number) => SeriesValue::Number(number),
            ValueView::Each(values) => SeriesValue::Each(values.to_vec()),
            ValueView::Histogram(view) => SeriesValue::Histogram {
                counts: view.counts.to_vec(),
                sum: view.sum,
            },
            ValueView::Info => SeriesValue::Info,
            ValueView::States(states) => SeriesValue::States(states.to_vec()),
        }
    }

    fn sample() -> Snapshot {
        let writer = SegmentOptions::new().heap().unwrap();
        let span = crate::SpanContext::from_traceparent(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        );
        let span = span.unwrap();
        let family = writer.counter("x_total", "X").exemplars().family().unwrap();
        for (label, value) in [("b", 1), ("a", 2), ("c", 3)] {
            let counter = family.with(&[("k", label)]).unwrap();
            counter.add_with_exemplar(value, &span);
        }
        let times = writer.histogram("y_seconds", "Y").exemplars();
        let times = times.unit(crate::Unit::NANOSECONDS).register().unwrap();
        times.record_with_exemplar(5_000, &span);
        let modes = writer.gauge("z_jobs", "Z").mode(crate::GaugeMode::Each);
        modes.register().unwrap().set(-1);
        let states = writer.state_set("s", "S", &["on", "off"]);
        states.register().unwrap().set(1);
        assert!(writer.gauge("z_jobs", "Z").register().is_err());
        assert!(writer.counter_f64("x_total", "X").register().is_err());
        writer
            .info("build_info", "B")
            .label("version", "1")
            .register()
            .unwrap();
        writer.snapshot().unwrap()
    }

    #[test]
    fn a_snapshot_is_put_together_again() {
        let before = sample();
        let after = Snapshot::assemble(
            before.time_unix_nanos,
            before.segment.clone(),
            parts(&before),
        )
        .unwrap();
        assert_eq!(after.directory, before.directory);
        assert_eq!(after.values, before.values);
        assert_eq!(after.bucket_counts, before.bucket_counts);
        assert_eq!(after.exemplars, before.exemplars);
        assert_eq!(after.exemplars.len(), 4);
        assert_eq!(after.refused, before.refused);
        assert_eq!(after.refused.len(), 2);
        assert_eq!(after.number("x_total", &[("k", "c")]), 3.0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let before = sample();
        let refuses = |change: fn(&mut Vec<FamilyParts>)| {
            let mut parts = parts(&before);
            change(&mut parts);
            Snapshot::assemble(0, before.segment.clone(), parts).is_err()
        };
        assert!(!refuses(|_| {}));
        assert!(refuses(|parts| parts.push(parts[0].clone())));
        assert!(refuses(|parts| {
            let counter = parts.iter_mut().find(|parts| parts.values.len() == 3);
            let family = &mut counter.unwrap().family;
            family.series[1] = family.series[0].clone();
        }));
        assert!(refuses(|parts| {
            parts[0].values.pop();
        }));
        assert!(refuses(|parts| {
            parts[0].exemplars.push(Vec::new());
        }));
        assert!(refuses(|parts| {
            for parts in parts {
                parts.family.buckets = None;
            }
        }));
        assert!(refuses(|parts| {
            for parts in parts {
                parts.values.fill(SeriesValue::Number(Number::Float(1.0)));
            }
        }));
        assert!(refuses(|parts| {
            for parts in parts {
                parts.family.states.clear();
            }
        }));
    }

    #[test]
    fn tables_are_known_by_name() {
        assert_eq!(table_called("series"), Some("series"));
        assert_eq!(table_called("file"), Some("file"));
        assert_eq!(table_called("nosuch"), None);
    }
}
