//! Snapshots made again from frames, for commands that take a recording in place of a segment.

use tachograph::{
    Damage, FamilyParts, Loss, ProcessValue, Recording, Refused, Removals, SegmentInfo,
    SeriesValue, Snapshot, TableFill, Unit, table_called,
};

use super::{Family, Frame, Health, Number, Process, Series, Table, Value};
use crate::dumped;

impl Frame {
    /// What was seen. Exemplars are not kept.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, String> {
        let families = self.directory.families.iter().enumerate();
        let parts = families.map(|(at, family)| self.parts(at, family));
        let parts = parts.collect::<Result<Vec<FamilyParts>, String>>()?;
        let health = &self.health;
        let snapshot = Snapshot::assemble(self.time_unix_nanos, info(health), parts);
        let mut snapshot = snapshot.map_err(|error| error.to_string())?;
        snapshot.processes = health.processes.iter().map(process).collect();
        let losses = health.losses.iter().filter_map(|lost| {
            let known = Loss::ALL
                .into_iter()
                .find(|loss| loss.name() == lost.reason);
            Some((known?, lost.count))
        });
        snapshot.losses = losses.collect();
        let [removed, reclaimed, waiting, untracked] = health.removed;
        snapshot.removals = Removals {
            removed,
            reclaimed,
            waiting,
            untracked,
        };
        snapshot.damage = health.damage.iter().map(|told| damage(told)).collect();
        Ok(snapshot)
    }

    fn parts(&self, at: usize, family: &Family) -> Result<FamilyParts, String> {
        let values = family.first..family.first + family.series.len();
        let values = self.values.get(values).unwrap_or_default();
        let kind = dumped::kind(
            family.kind.name(),
            values.iter().any(is_float),
            family.mode.as_deref(),
        )?;
        let mut whole = tachograph::Family::new(family.name.clone(), kind);
        whole.help.clone_from(&family.help);
        whole.unit = Unit::owned(family.unit.clone(), family.scale());
        whole.buckets = family.buckets();
        whole.states.clone_from(&family.states);
        whole.series_limit = family.series_limit;
        whole.series_bytes = family.series_bytes;
        whole.series = family.series.iter().map(series).collect();
        let refused = self.health.refused.iter().find(|(of, _)| *of == at);
        Ok(FamilyParts {
            overflowed: self.health.overflowed.get(at).copied().unwrap_or(0),
            refused: refused.map(|(_, refused)| Refused::from(refused.clone())),
            values: values.iter().map(|it| value(it, &whole)).collect(),
            exemplars: Vec::new(),
            family: whole,
        })
    }
}

/// Whether a value is one of floats; families are of one or the other.
fn is_float(value: &Value) -> bool {
    match value {
        Value::Float(_) => true,
        Value::Each(each) => matches!(each.first(), Some((.., Number::Float(_)))),
        _ => false,
    }
}

fn series(series: &Series) -> tachograph::Series {
    let labels = series.labels.iter().map(|(name, value)| (name, value));
    // The time of creation tells one that came again from the one before.
    tachograph::Series::new(labels.collect(), series.created_unix_nanos, (0, 0))
}

fn value(value: &Value, family: &tachograph::Family) -> SeriesValue {
    match value {
        Value::Absent => SeriesValue::Absent,
        Value::Count(count) => SeriesValue::Number(tachograph::Number::Unsigned(*count)),
        Value::Level(level) => SeriesValue::Number(tachograph::Number::Signed(*level)),
        Value::Float(value) => SeriesValue::Number(tachograph::Number::Float(*value)),
        Value::Each(values) => SeriesValue::Each(values.iter().map(each).collect()),
        Value::Histogram(histogram) => SeriesValue::Histogram {
            counts: match &family.buckets {
                Some(buckets) => histogram.dense(buckets),
                None => Vec::new(),
            },
            sum: histogram.sum,
        },
        Value::Info => SeriesValue::Info,
        Value::States(states) => SeriesValue::States(states.clone()),
    }
}

fn each(&(slot, pid, number): &(u32, u32, Number)) -> ProcessValue {
    let value = match number {
        Number::Level(level) => tachograph::Number::Signed(level),
        Number::Float(value) => tachograph::Number::Float(value),
    };
    ProcessValue { slot, pid, value }
}

fn info(health: &Health) -> SegmentInfo {
    SegmentInfo {
        path: health.path.clone().into(),
        instance: health.instance,
        created_unix_nanos: health.created_unix_nanos,
        version: health.version,
        this_boot: health.this_boot,
        cpu_shards: health.shards.0,
        fallback_shards: health.shards.1,
        bytes: health.bytes,
        tables: health.tables.iter().filter_map(table).collect(),
    }
}

fn table(table: &Table) -> Option<TableFill> {
    Some(TableFill {
        table: table_called(&table.name)?,
        used: table.used,
        capacity: table.capacity,
        committed_bytes: table.committed_bytes,
        capacity_bytes: table.capacity_bytes,
    })
}

fn process(process: &Process) -> tachograph::Process {
    tachograph::Process {
        slot: process.slot,
        generation: process.generation,
        pid: process.pid,
        pid_namespace: process.pid_namespace,
        start_ticks: process.start_ticks,
        attached_unix_nanos: process.attached_unix_nanos,
        name: process.name.clone(),
        recording: Recording::with_reason(&process.reason),
        alive: process.alive,
        holds_removed: process.holds_removed,
    }
}

/// A record that made no sense, from its words: table, index, reason.
fn damage(told: &str) -> Damage {
    let parse = || {
        let (place, reason) = told.split_once(": ")?;
        let (table, index) = place.split_once(' ')?;
        Some((table_called(table)?, index.parse().ok()?, reason))
    };
    let (table, index, reason) = parse().unwrap_or(("file", 0, told));
    Damage {
        table,
        index,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::frame::Eye;
    use crate::tape::tests::sample;

    #[test]
    fn a_frame_is_a_snapshot_again() {
        for mut frame in sample(6) {
            frame.health.damage = vec!["series 7: its labels lie outside".into(), "odd".into()];
            let snapshot = frame.snapshot().unwrap();
            let mut seen = Eye::default().see(&snapshot);
            assert_eq!(seen.health.damage.pop().as_deref(), Some("file 0: odd"));
            frame.health.damage.pop();
            assert_eq!(seen, frame);
        }
    }

    #[test]
    fn what_does_not_fit_is_no_snapshot() {
        let mut frame = sample(1).remove(0);
        frame.values.pop();
        assert!(frame.snapshot().is_err());
    }
}
