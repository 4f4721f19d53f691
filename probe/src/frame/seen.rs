//! Frames made from snapshots.

use std::sync::Arc;

use tachograph::{FamilyView, LossClass, Snapshot, ValueView};

use super::{
    Directory, Family, Frame, Health, Histogram, Kind, Layout, Lost, Number, Process, Series,
    Table, Value,
};
use crate::views::RefusedView;

/// Turns snapshots into frames, and keeps the directory while it stays the same.
#[derive(Debug, Default)]
pub(crate) struct Eye {
    last: Option<(Arc<tachograph::Directory>, Arc<Directory>)>,
}

impl Eye {
    pub(crate) fn see(&mut self, snapshot: &Snapshot) -> Frame {
        Frame {
            time_unix_nanos: snapshot.time_unix_nanos,
            health: health(snapshot),
            directory: self.directory(snapshot),
            values: snapshot
                .families()
                .flat_map(|family| family.series())
                .map(|series| value(series.value))
                .collect(),
        }
    }

    fn directory(&mut self, snapshot: &Snapshot) -> Arc<Directory> {
        if let Some((seen, kept)) = &self.last
            && (Arc::ptr_eq(seen, &snapshot.directory) || *seen == snapshot.directory)
        {
            return Arc::clone(kept);
        }
        let mut first = 0;
        let families = snapshot.families().map(|view| {
            let family = family(&view, first);
            first += family.series.len();
            family
        });
        let families = families.collect();
        let kept = Arc::new(Directory { families });
        self.last = Some((Arc::clone(&snapshot.directory), Arc::clone(&kept)));
        kept
    }
}

fn health(snapshot: &Snapshot) -> Health {
    let info = &snapshot.segment;
    let damage = snapshot.damage.iter();
    let removals = &snapshot.removals;
    Health {
        path: info.path.display().to_string(),
        instance: info.instance,
        created_unix_nanos: info.created_unix_nanos,
        this_boot: info.this_boot,
        version: info.version,
        shards: (info.cpu_shards, info.fallback_shards),
        bytes: info.bytes,
        tables: info.tables.iter().map(table).collect(),
        processes: snapshot.processes.iter().map(process).collect(),
        losses: snapshot.losses.iter().map(lost).collect(),
        overflowed: snapshot
            .families()
            .map(|family| family.overflowed())
            .collect(),
        refused: refused(snapshot),
        removed: [
            removals.removed,
            removals.reclaimed,
            removals.waiting,
            removals.untracked,
        ],
        damage: damage
            .map(|damage| format!("{} {}: {}", damage.table, damage.index, damage.reason))
            .collect(),
    }
}

fn refused(snapshot: &Snapshot) -> Vec<(usize, RefusedView)> {
    let families = snapshot.families().enumerate();
    let refused = families.filter_map(|(at, family)| Some((at, family.refused()?.into())));
    refused.collect()
}

fn table(fill: &tachograph::TableFill) -> Table {
    Table {
        name: fill.table.to_owned(),
        used: fill.used,
        capacity: fill.capacity,
        committed_bytes: fill.committed_bytes,
        capacity_bytes: fill.capacity_bytes,
    }
}

fn process(process: &tachograph::Process) -> Process {
    Process {
        slot: process.slot,
        generation: process.generation,
        pid: process.pid,
        pid_namespace: process.pid_namespace,
        start_ticks: process.start_ticks,
        name: process.name.clone(),
        alive: process.alive,
        recording: process.recording.mode().to_owned(),
        reason: process.recording.reason().to_owned(),
        attached_unix_nanos: process.attached_unix_nanos,
        holds_removed: process.holds_removed,
    }
}

fn lost((loss, count): (tachograph::Loss, u64)) -> Lost {
    let what = match loss.class() {
        LossClass::Registration => "registrations",
        LossClass::Rejected => "updates refused",
        LossClass::Lost => "amounts lost",
        LossClass::Page => "pages lost",
    };
    Lost {
        reason: loss.name().to_owned(),
        what: what.to_owned(),
        count,
    }
}

fn family(view: &FamilyView<'_>, first: usize) -> Family {
    let family = view.family;
    Family {
        name: family.name.clone(),
        help: family.help.clone(),
        kind: kind(family.kind),
        mode: family.kind.mode().map(|mode| mode.name().to_owned()),
        unit: family.unit.base().to_owned(),
        scale: family.unit.scale().parts(),
        layout: family.buckets.as_ref().map(layout),
        states: family.states.clone(),
        series_limit: family.series_limit,
        series_bytes: family.series_bytes,
        first,
        series: family.series.iter().map(series).collect(),
    }
}

fn kind(kind: tachograph::Kind) -> Kind {
    match kind {
        tachograph::Kind::Counter | tachograph::Kind::CounterF64 => Kind::Counter,
        tachograph::Kind::Gauge(_) | tachograph::Kind::GaugeF64(_) => Kind::Gauge,
        tachograph::Kind::Histogram => Kind::Histogram,
        tachograph::Kind::Info => Kind::Info,
        tachograph::Kind::StateSet(_) => Kind::StateSet,
    }
}

fn layout(buckets: &tachograph::Buckets) -> Layout {
    match (buckets.explicit_bounds(), buckets.log_linear_parts()) {
        (None, Some((precision, highest))) => Layout::LogLinear(precision, highest),
        (bounds, _) => Layout::Explicit(bounds.unwrap_or_default().to_vec()),
    }
}

fn series(series: &tachograph::Series) -> Series {
    let labels = series.labels.iter();
    Series {
        labels: labels
            .map(|label| (label.name.to_string(), label.value.to_string()))
            .collect(),
        created_unix_nanos: series.created_unix_nanos,
    }
}

fn value(value: ValueView<'_>) -> Value {
    match value {
        ValueView::Absent => Value::Absent,
        ValueView::Number(tachograph::Number::Unsigned(count)) => Value::Count(count),
        ValueView::Number(tachograph::Number::Signed(level)) => Value::Level(level),
        ValueView::Number(tachograph::Number::Float(value)) => Value::Float(value),
        ValueView::Each(values) => Value::Each(
            values
                .iter()
                .map(|each| (each.slot, each.pid, number(each.value)))
                .collect(),
        ),
        ValueView::Histogram(view) => Value::Histogram(Histogram {
            counts: (0..)
                .zip(view.counts.iter().copied())
                .filter(|&(_, count)| count > 0)
                .collect(),
            sum: view.sum,
        }),
        ValueView::Info => Value::Info,
        ValueView::States(states) => Value::States(states.to_vec()),
    }
}

fn number(number: tachograph::Number) -> Number {
    match number {
        tachograph::Number::Signed(level) => Number::Level(level),
        other => Number::Float(other.as_f64()),
    }
}
