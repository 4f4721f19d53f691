//! The segment itself: its facts, its processes, what was lost and what is damaged.

use crate::findings;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use tachograph::{Losses, Removals, SegmentInfo, Snapshot, TableFill};

/// Which segment was read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SourceView {
    pub(crate) path: String,
    /// In hexadecimal: 64 bits do not survive every JSON parser.
    pub(crate) instance: String,
}

impl SourceView {
    pub(crate) fn new(info: &SegmentInfo) -> SourceView {
        SourceView {
            path: info.path.display().to_string(),
            instance: format!("{:016x}", info.instance),
        }
    }
}

/// Facts about the segment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SegmentView {
    #[serde(flatten)]
    pub(crate) source: SourceView,
    /// Major and minor version of the format.
    pub(crate) version: String,
    pub(crate) created_unix_nanos: u64,
    pub(crate) this_boot: bool,
    pub(crate) cpu_shards: u32,
    pub(crate) fallback_shards: u32,
    pub(crate) bytes: u64,
    pub(crate) committed_bytes: u64,
    pub(crate) tables: Vec<TableView>,
}

/// How full one table is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TableView {
    pub(crate) table: &'static str,
    pub(crate) used: u64,
    pub(crate) capacity: u64,
    pub(crate) percent: f64,
    #[serde(skip)]
    pub(crate) is_nearly_full: bool,
    pub(crate) committed_bytes: u64,
    pub(crate) capacity_bytes: u64,
}

impl SegmentView {
    pub(crate) fn new(info: &SegmentInfo) -> SegmentView {
        SegmentView {
            source: SourceView::new(info),
            version: format!("{}.{}", info.version.0, info.version.1),
            created_unix_nanos: info.created_unix_nanos,
            this_boot: info.this_boot,
            cpu_shards: info.cpu_shards,
            fallback_shards: info.fallback_shards,
            bytes: info.bytes,
            committed_bytes: info.tables.iter().map(|table| table.committed_bytes).sum(),
            tables: info.tables.iter().map(TableView::new).collect(),
        }
    }
}

impl TableView {
    #[expect(clippy::cast_precision_loss, reason = "a percentage is rounded anyway")]
    fn new(fill: &TableFill) -> TableView {
        let share = fill.used as f64 / fill.capacity.max(1) as f64;
        TableView {
            table: fill.table,
            used: fill.used,
            capacity: fill.capacity,
            percent: (share * 1e6).round() / 1e4,
            is_nearly_full: findings::is_nearly_full(fill),
            committed_bytes: fill.committed_bytes,
            capacity_bytes: fill.capacity_bytes,
        }
    }
}

/// A process that holds a slot.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProcessView {
    pub(crate) slot: u32,
    pub(crate) generation: u64,
    pub(crate) pid: u32,
    pub(crate) pid_namespace: u64,
    pub(crate) start_ticks: u64,
    pub(crate) name: String,
    pub(crate) alive: bool,
    /// `rseq`, `fallback` or `unknown`.
    pub(crate) recording: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) attached_unix_nanos: u64,
    /// Removed series that it has handles of.
    pub(crate) holds_removed: u64,
}

/// The processes, by slot.
pub(crate) fn processes(snapshot: &Snapshot) -> Vec<ProcessView> {
    let mut processes: Vec<ProcessView> = snapshot
        .processes
        .iter()
        .map(|process| ProcessView {
            slot: process.slot,
            generation: process.generation,
            pid: process.pid,
            pid_namespace: process.pid_namespace,
            start_ticks: process.start_ticks,
            name: process.name.clone(),
            alive: process.alive,
            recording: process.recording.mode(),
            reason: process.recording.reason(),
            attached_unix_nanos: process.attached_unix_nanos,
            holds_removed: process.holds_removed,
        })
        .collect();
    processes.sort_by_key(|process| process.slot);
    processes
}

/// Every reason of a loss with its count; an object in JSON.
#[derive(Debug, Clone)]
pub(crate) struct LossesView(pub(crate) Losses);

impl Serialize for LossesView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (loss, count) in self.0.iter() {
            map.serialize_entry(loss.name(), &count)?;
        }
        map.end()
    }
}

/// What became of removed series.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RemovalsView {
    pub(crate) removed: u64,
    pub(crate) reclaimed: u64,
    pub(crate) waiting: u64,
    pub(crate) untracked: u64,
}

impl RemovalsView {
    pub(crate) fn new(removals: &Removals) -> RemovalsView {
        RemovalsView {
            removed: removals.removed,
            reclaimed: removals.reclaimed,
            waiting: removals.waiting,
            untracked: removals.untracked,
        }
    }
}

/// A record that makes no sense.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DamageView {
    pub(crate) table: &'static str,
    pub(crate) index: u64,
    pub(crate) reason: String,
}

pub(crate) fn damage(snapshot: &Snapshot) -> Vec<DamageView> {
    let view = |damage: &tachograph::Damage| DamageView {
        table: damage.table,
        index: damage.index,
        reason: damage.reason.clone(),
    };
    snapshot.damage.iter().map(view).collect()
}
