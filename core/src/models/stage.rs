//! What the models play on: a small segment on the heap, its families, and what a reader sees of it.

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::cell::Sharding;
use crate::error::Error;
use crate::index::Found;
use crate::labels::{LabelSet, Names};
use crate::layout::{Capacities, Identity, Layout, Section, family, header, process, series};
use crate::record::{FamilyRecord, FamilySpec};
use crate::register;
use crate::schema::{GaugeMode, Kind};
use crate::segment::Segment;
use crate::snapshot::Directory;
use crate::unit::Unit;

use super::atomic::share;

/// Room for two families and three series.
const CAPACITIES: Capacities = Capacities {
    processes: 1,
    families: 2,
    series: 3,
    string_bytes: 256,
    shared_cells: 8,
    process_cells: 8,
    counter_cells: 8,
    histogram_bytes: 4096,
    exemplars: 4,
};

pub(super) fn segment() -> Arc<Segment> {
    segment_of(&CAPACITIES)
}

/// A segment whose series table holds `series` records.
pub(super) fn segment_of_series(series: u64) -> Arc<Segment> {
    segment_of(&Capacities {
        series,
        ..CAPACITIES
    })
}

/// A segment whose processes may have so many own cells.
pub(super) fn segment_of_cells(process_cells: u64) -> Arc<Segment> {
    segment_of(&Capacities {
        process_cells,
        ..CAPACITIES
    })
}

fn segment_of(capacities: &Capacities) -> Arc<Segment> {
    let layout = Layout::plan(capacities, 0, 1);
    let segment = Segment::heap(layout, Identity::of_new([1, 2]));
    for table in [header::NEXT, header::COMMITTED, header::LOSSES] {
        share(&segment.words()[table..table + Section::KINDS]);
    }
    share(&segment.words()[header::SELF_TEST..header::CLASSES + 4]);
    for section in Section::ALL {
        let capacity = usize::try_from(segment.extent(section).capacity).unwrap();
        let most = match section {
            Section::Processes => capacity * process::WORDS,
            Section::Families => capacity * family::WORDS,
            Section::Series => capacity * series::WORDS,
            Section::FamilyIndex | Section::SeriesIndex => capacity,
            Section::ProcessCells => 4,
            _ => 8,
        };
        share(&segment.section(section)[..most]);
    }
    Arc::new(segment)
}

pub(super) fn spec(name: &str, kind: Kind, series_limit: u64) -> FamilySpec {
    FamilySpec {
        name: name.into(),
        help: String::new(),
        kind,
        unit: Unit::NONE,
        buckets: None,
        states: Vec::new(),
        series_limit,
        sharding: Sharding::Auto,
        keep_nanos: 0,
        exemplars: false,
    }
}

pub(super) fn counters(series_limit: u64) -> FamilySpec {
    spec("a_total", Kind::Counter, series_limit)
}

pub(super) fn gauges(mode: GaugeMode) -> FamilySpec {
    spec("a", Kind::Gauge(mode), 9)
}

/// A family that was registered during set-up.
#[derive(Clone)]
pub(super) struct Family {
    pub(super) segment: Arc<Segment>,
    pub(super) index: u32,
    pub(super) known: FamilyRecord,
}

impl Family {
    pub(super) fn new(segment: Arc<Segment>, spec: &FamilySpec) -> Family {
        let index = register::family(&segment, spec).unwrap().record;
        let known = register::known_family(&segment, index, spec).unwrap();
        Family {
            segment,
            index,
            known,
        }
    }

    pub(super) fn register(&self, value: &str) -> Result<u32, Error> {
        self.register_found(value).map(|found| found.record)
    }

    pub(super) fn register_found(&self, value: &str) -> Result<Found, Error> {
        let known = (self.index, &self.known);
        register::series(&self.segment, known, &labels(value), false)
    }
}

pub(super) fn labels(value: &str) -> LabelSet {
    LabelSet::new(&[("k", value)], Names::Legacy).unwrap()
}

/// Brings a reader's directory up to date.
pub(super) fn refresh(catalogue: &mut Catalogue, segment: &Segment) {
    if catalogue.is_stale(segment) {
        catalogue.rebuild(segment);
    }
}

/// The label values of all series that a reader sees, and how many records it finds damaged.
pub(super) fn seen(catalogue: &mut Catalogue, segment: &Segment) -> (Vec<String>, usize) {
    refresh(catalogue, segment);
    let series = catalogue.directory.families.iter();
    let series = series.flat_map(|family| &family.series);
    let labels = series.flat_map(|series| series.labels.iter());
    let values = labels.map(|label| label.value.to_string()).collect();
    (values, catalogue.damage.len())
}

/// What a new reader of a sound segment finds there.
pub(super) fn directory(segment: &Segment) -> Arc<Directory> {
    let mut catalogue = Catalogue::new();
    assert_eq!(seen(&mut catalogue, segment).1, 0);
    catalogue.directory
}

/// As [`seen`], by a new reader of a sound segment.
pub(super) fn shown(segment: &Segment) -> Vec<String> {
    let (values, damaged) = seen(&mut Catalogue::new(), segment);
    assert_eq!(damaged, 0);
    values
}
