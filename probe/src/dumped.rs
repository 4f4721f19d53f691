//! A dump read back: the snapshot that it was written from.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use tachograph::{
    Buckets, Damage, Exemplar, Family, FamilyParts, GaugeMode, Kind, Loss, Process, ProcessValue,
    Recording, Refused, Removals, Scale, SegmentInfo, Series, SeriesValue, Snapshot, TableFill,
    Unit, table_called,
};

mod scalar;

use crate::failure::Failure;
use crate::views::RefusedView;
use scalar::Scalar;

/// The version of the form, which stands first in a dump.
pub(crate) const VERSION: u32 = 1;
/// The first bytes of a compressed dump.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Most bytes that a dump may have, uncompressed.
const BYTES_MAX: u64 = 1 << 32;

/// Whether a file with these first bytes is a dump rather than a segment.
pub(crate) fn is_dump(first: &[u8]) -> bool {
    first.starts_with(&GZIP) || first.trim_ascii_start().starts_with(b"{")
}

/// The snapshot of a dump, compressed or not.
pub(crate) fn read(mut file: impl Read, path: &Path) -> Result<Snapshot, Failure> {
    let failure = |reason: &dyn fmt::Display| {
        Failure::Message(format!("{} is no usable dump: {reason}", path.display()))
    };
    let mut first = [0; GZIP.len()];
    let mut text = Vec::new();
    let length = read_some(&mut file, &mut first).map_err(|error| failure(&error))?;
    let file = first[..length].chain(file);
    let read = if first == GZIP {
        flate2::read::MultiGzDecoder::new(file)
            .take(BYTES_MAX)
            .read_to_end(&mut text)
    } else {
        file.take(BYTES_MAX).read_to_end(&mut text)
    };
    read.map_err(|error| failure(&error))?;
    match serde_json::from_slice::<Dump>(&text) {
        Ok(dump) if dump.tachograph_dump == VERSION => {
            dump.snapshot().map_err(|error| failure(&error))
        }
        Ok(dump) => Err(failure(&of_version(dump.tachograph_dump))),
        Err(error) => Err(failure(&not_read(&text, &error))),
    }
}

fn of_version(found: u32) -> String {
    format!("it has form {found}, this build reads {VERSION}; update the older program")
}

/// Why a text was not read: it may be of another version, or no dump at all.
fn not_read(text: &[u8], error: &serde_json::Error) -> String {
    match serde_json::from_slice(text) {
        Ok(Head {
            tachograph_dump: None,
        }) => "it is not what `dump` writes".into(),
        Ok(Head {
            tachograph_dump: Some(version),
        }) if version != VERSION => of_version(version),
        _ => error.to_string(),
    }
}

fn read_some(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[derive(serde::Deserialize)]
struct Head {
    tachograph_dump: Option<u32>,
}

#[derive(serde::Deserialize)]
struct Dump {
    tachograph_dump: u32,
    time_unix_nanos: u64,
    segment: DumpedSegment,
    families: Vec<DumpedFamily>,
    processes: Vec<DumpedProcess>,
    losses: BTreeMap<String, u64>,
    removals: DumpedRemovals,
    damage: Vec<DumpedDamage>,
}

#[derive(serde::Deserialize)]
struct DumpedSegment {
    path: String,
    instance: String,
    version: String,
    created_unix_nanos: u64,
    this_boot: bool,
    cpu_shards: u32,
    fallback_shards: u32,
    bytes: u64,
    tables: Vec<DumpedTable>,
}

#[derive(serde::Deserialize)]
struct DumpedTable {
    table: String,
    used: u64,
    capacity: u64,
    committed_bytes: u64,
    capacity_bytes: u64,
}

#[derive(serde::Deserialize)]
struct DumpedProcess {
    slot: u32,
    generation: u64,
    pid: u32,
    pid_namespace: u64,
    start_ticks: u64,
    name: String,
    alive: bool,
    reason: String,
    attached_unix_nanos: u64,
    holds_removed: u64,
}

#[derive(serde::Deserialize)]
struct DumpedRemovals {
    removed: u64,
    reclaimed: u64,
    waiting: u64,
    untracked: u64,
}

#[derive(serde::Deserialize)]
struct DumpedDamage {
    table: String,
    index: u64,
    reason: String,
}

#[derive(serde::Deserialize)]
struct DumpedFamily {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    float: bool,
    mode: Option<String>,
    unit: String,
    scale: (u32, u32),
    layout: Option<Layout>,
    help: String,
    states: Vec<String>,
    series_limit: u64,
    overflowed: u64,
    series_bytes: u64,
    refused: Option<RefusedView>,
    series: Vec<DumpedSeries>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Layout {
    Bounds(Vec<u64>),
    LogLinear { precision: u8, highest: u64 },
}

#[derive(serde::Deserialize)]
struct DumpedSeries {
    labels: BTreeMap<String, String>,
    created_unix_nanos: u64,
    record: (u32, u64),
    value: Option<Scalar>,
    recorded: Option<Scalar>,
    each: Option<Vec<DumpedEach>>,
    states: Option<BTreeMap<String, bool>>,
    histogram: Option<DumpedHistogram>,
    #[serde(default)]
    exemplars: Vec<DumpedExemplar>,
}

#[derive(serde::Deserialize)]
struct DumpedExemplar {
    trace_id: String,
    span_id: String,
    value: Scalar,
    recorded: Option<Scalar>,
    time_unix_nanos: u64,
}

#[derive(serde::Deserialize)]
struct DumpedEach {
    slot: u32,
    pid: u32,
    value: Scalar,
    recorded: Option<Scalar>,
}

#[derive(serde::Deserialize)]
struct DumpedHistogram {
    recorded_sum: u128,
    buckets: Vec<DumpedBucket>,
}

#[derive(serde::Deserialize)]
struct DumpedBucket {
    index: usize,
    count: u64,
}

impl Dump {
    fn snapshot(self) -> Result<Snapshot, String> {
        let families = self.families.into_iter().map(DumpedFamily::parts);
        let families = families.collect::<Result<Vec<FamilyParts>, String>>()?;
        let segment = self.segment.info()?;
        let mut snapshot = Snapshot::assemble(self.time_unix_nanos, segment, families)
            .map_err(|error| error.to_string())?;
        snapshot.processes = self.processes.into_iter().map(process).collect();
        snapshot.losses = Loss::ALL
            .into_iter()
            .filter_map(|loss| Some((loss, *self.losses.get(loss.name())?)))
            .collect();
        snapshot.removals = Removals {
            removed: self.removals.removed,
            reclaimed: self.removals.reclaimed,
            waiting: self.removals.waiting,
            untracked: self.removals.untracked,
        };
        let damage = self.damage.into_iter().map(|damage| {
            Ok(Damage {
                table: known_table(&damage.table)?,
                index: damage.index,
                reason: damage.reason,
            })
        });
        snapshot.damage = damage.collect::<Result<Vec<Damage>, String>>()?;
        Ok(snapshot)
    }
}

fn known_table(name: &str) -> Result<&'static str, String> {
    table_called(name).ok_or_else(|| format!("there is no table called {name:?}"))
}

impl DumpedSegment {
    fn info(self) -> Result<SegmentInfo, String> {
        let version = self.version.split_once('.');
        let version =
            version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let tables = self.tables.into_iter().map(|fill| {
            Ok(TableFill {
                table: known_table(&fill.table)?,
                used: fill.used,
                capacity: fill.capacity,
                committed_bytes: fill.committed_bytes,
                capacity_bytes: fill.capacity_bytes,
            })
        });
        Ok(SegmentInfo {
            path: self.path.into(),
            instance: u64::from_str_radix(&self.instance, 16)
                .map_err(|_| "the segment's instance is no hexadecimal number")?,
            created_unix_nanos: self.created_unix_nanos,
            version: version.ok_or("the segment's version is not two numbers")?,
            this_boot: self.this_boot,
            cpu_shards: self.cpu_shards,
            fallback_shards: self.fallback_shards,
            bytes: self.bytes,
            tables: tables.collect::<Result<Vec<TableFill>, String>>()?,
        })
    }
}

fn process(dumped: DumpedProcess) -> Process {
    Process {
        slot: dumped.slot,
        generation: dumped.generation,
        pid: dumped.pid,
        pid_namespace: dumped.pid_namespace,
        start_ticks: dumped.start_ticks,
        attached_unix_nanos: dumped.attached_unix_nanos,
        name: dumped.name,
        recording: Recording::with_reason(&dumped.reason),
        alive: dumped.alive,
        holds_removed: dumped.holds_removed,
    }
}

impl DumpedFamily {
    fn parts(self) -> Result<FamilyParts, String> {
        let kind = kind(&self.kind, self.float, self.mode.as_deref());
        let kind = kind.map_err(|reason| format!("family {:?}: {reason}", self.name))?;
        let mut family = Family::new(self.name, kind);
        let refused = |reason: &str| format!("family {:?}: {reason}", family.name);
        family.buckets = match self.layout {
            None => None,
            Some(Layout::Bounds(bounds)) => Some(Buckets::explicit(bounds)),
            Some(Layout::LogLinear { precision, highest }) => {
                Some(Buckets::log_linear(precision, highest))
            }
        }
        .transpose()
        .map_err(|error| refused(&error.to_string()))?;
        family.unit = Unit::owned(self.unit, Scale::new(self.scale.0, self.scale.1));
        family.help = self.help;
        family.states = self.states;
        family.series_limit = self.series_limit;
        family.series_bytes = self.series_bytes;
        let mut values = Vec::with_capacity(self.series.len());
        let mut exemplars = Vec::with_capacity(self.series.len());
        for series in self.series {
            let value = series.value(&family).ok_or_else(|| {
                format!("family {:?}: a value does not fit its type", family.name)
            })?;
            values.push(value);
            let own = series.exemplars.iter().map(|it| it.exemplar(family.kind));
            let own = own.collect::<Result<Vec<Exemplar>, String>>();
            exemplars.push(own.map_err(|reason| format!("family {:?}: {reason}", family.name))?);
            let labels = series.labels.into_iter().collect();
            let (created, record) = (series.created_unix_nanos, series.record);
            family.series.push(Series::new(labels, created, record));
        }
        Ok(FamilyParts {
            family,
            overflowed: self.overflowed,
            refused: self.refused.map(Refused::from),
            values,
            exemplars,
        })
    }
}

/// The type that is called `name`, of floats or not, with its mode where it has one.
pub(crate) fn kind(name: &str, is_float: bool, mode: Option<&str>) -> Result<Kind, String> {
    let mode = || {
        let mut modes = GaugeMode::ALL.into_iter();
        let found = modes.find(|known| Some(known.name()) == mode);
        found.ok_or_else(|| format!("unknown mode {mode:?}"))
    };
    match (name, is_float) {
        ("counter", false) => Ok(Kind::Counter),
        ("counter", true) => Ok(Kind::CounterF64),
        ("gauge", false) => Ok(Kind::Gauge(mode()?)),
        ("gauge", true) => Ok(Kind::GaugeF64(mode()?)),
        ("histogram", _) => Ok(Kind::Histogram),
        ("info", _) => Ok(Kind::Info),
        ("stateset", _) => Ok(Kind::StateSet(mode()?)),
        (other, _) => Err(format!("unknown type {other:?}")),
    }
}

impl DumpedSeries {
    /// The value as it was recorded; `None` where it does not fit the family.
    fn value(&self, family: &Family) -> Option<SeriesValue> {
        if let Some(histogram) = &self.histogram {
            let mut counts = vec![0; family.buckets.as_ref()?.count()];
            for bucket in &histogram.buckets {
                *counts.get_mut(bucket.index)? = bucket.count;
            }
            let sum = histogram.recorded_sum;
            return Some(SeriesValue::Histogram { counts, sum });
        }
        if let Some(states) = &self.states {
            let holds = family.states.iter().map(|state| states.get(state).copied());
            return Some(SeriesValue::States(holds.collect::<Option<Vec<bool>>>()?));
        }
        if let Some(each) = &self.each {
            let values = each.iter().map(|each| {
                Some(ProcessValue {
                    slot: each.slot,
                    pid: each.pid,
                    value: each.recorded.unwrap_or(each.value).number(family.kind)?,
                })
            });
            return Some(SeriesValue::Each(
                values.collect::<Option<Vec<ProcessValue>>>()?,
            ));
        }
        match self.recorded.or(self.value) {
            None => Some(SeriesValue::Absent),
            Some(_) if family.kind == Kind::Info => Some(SeriesValue::Info),
            Some(scalar) => Some(SeriesValue::Number(scalar.number(family.kind)?)),
        }
    }
}

impl DumpedExemplar {
    fn exemplar(&self, kind: Kind) -> Result<Exemplar, String> {
        // What a histogram records are integers, as a counter's are.
        let kind = match kind {
            Kind::Histogram => Kind::Counter,
            other => other,
        };
        let value = self.recorded.unwrap_or(self.value).number(kind);
        Ok(Exemplar {
            value: value.ok_or("the value of an exemplar does not fit its type")?,
            trace_id: self.trace_id.parse().map_err(shown)?,
            span_id: self.span_id.parse().map_err(shown)?,
            time_unix_nanos: self.time_unix_nanos,
        })
    }
}

fn shown(error: impl fmt::Display) -> String {
    error.to_string()
}
