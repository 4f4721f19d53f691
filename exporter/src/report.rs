//! What the exporter knows about its segments after a scrape, for its own metrics and the landing page.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tachograph::{Losses, Removals, Snapshot, TableFill};

use crate::plan::Cause;
use crate::processes::Usage;
use crate::push::PushReport;
use crate::status::FrontReport;

/// One scrape, without the values.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The segments, in the order in which they are served.
    pub segments: Vec<SegmentReport>,
    /// The families that are not shown.
    pub conflicts: Vec<ConflictReport>,
    /// Names of families from `process_` on that the segments have themselves.
    pub taken: Vec<String>,
    /// What the front has seen.
    pub front: FrontReport,
    /// What became of what was pushed.
    pub pushes: Vec<PushReport>,
    /// How many pages were rendered, this one included.
    pub scrapes: u64,
    /// How long it took to read the segments and to render their families.
    pub duration: Duration,
    /// How many scrapes were refused so far.
    pub refusals: Refusals,
}

/// Scrapes that were refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Because there were too many at a time.
    pub busy: u64,
    /// Because the page was not ready in the time that the scraper waits.
    pub late: u64,
}

impl Refusals {
    /// Each count with its reason in a word.
    pub(crate) fn each(&self) -> [(&'static str, u64); 2] {
        [("busy", self.busy), ("late", self.late)]
    }
}

/// One segment of a scrape.
#[derive(Debug, Clone)]
pub struct SegmentReport {
    /// Where it is, or is waited for.
    pub path: PathBuf,
    /// The value of its `segment` label.
    pub label: String,
    /// Whether it can be read.
    pub state: State,
    /// What was read, if it was.
    pub digest: Option<Digest>,
    /// What its living processes use, where that is to be shown.
    pub usages: Vec<Usage>,
}

/// Whether a segment can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is none yet.
    Absent,
    /// There was one, and it is gone.
    Removed,
    /// It is attached.
    Attached,
    /// It is there and cannot be read; the message says why.
    Unusable(String),
}

/// A family that is not shown.
#[derive(Debug, Clone)]
pub struct ConflictReport {
    /// The `segment` label of its segment.
    pub segment: String,
    /// Its name.
    pub family: String,
    /// What is wrong with it, in a word.
    pub cause: Cause,
    /// What is wrong with it.
    pub reason: String,
}

/// The health of a segment.
#[derive(Debug, Clone)]
pub struct Digest {
    /// Whether it was created since the last boot.
    pub this_boot: bool,
    /// Processes that live.
    pub alive: usize,
    /// Processes that hold a slot and are dead.
    pub dead: usize,
    /// Living processes by how they record.
    pub recordings: BTreeMap<(&'static str, &'static str), usize>,
    /// Series, in all families.
    pub series: usize,
    /// Families.
    pub families: usize,
    /// How full each table is.
    pub tables: Vec<TableFill>,
    /// What could not be recorded as asked.
    pub losses: Losses,
    /// What became of removed series.
    pub removals: Removals,
    /// Families at their limit, with the registrations that were folded.
    pub overflowed: Vec<(String, u64)>,
    /// Damaged records and places, by table and by what is wrong with them.
    pub damage: BTreeMap<(String, String), usize>,
}

impl Digest {
    /// How many records and places are damaged.
    pub fn damaged(&self) -> usize {
        self.damage.values().sum()
    }

    /// The health of what `snapshot` shows.
    pub fn of(snapshot: &Snapshot) -> Digest {
        let mut recordings = BTreeMap::new();
        for process in snapshot.processes.iter().filter(|process| process.alive) {
            *recordings
                .entry((process.recording.mode(), process.recording.reason()))
                .or_insert(0) += 1;
        }
        let alive = recordings.values().sum();
        Digest {
            this_boot: snapshot.segment.this_boot,
            alive,
            dead: snapshot.processes.len() - alive,
            recordings,
            series: snapshot.series_count(),
            families: snapshot.directory.families.len(),
            tables: snapshot.segment.tables.clone(),
            losses: snapshot.losses.clone(),
            removals: snapshot.removals,
            overflowed: snapshot
                .families()
                .filter(|view| view.overflowed() > 0)
                .map(|view| (view.family.name.clone(), view.overflowed()))
                .collect(),
            damage: damage_of(snapshot),
        }
    }
}

fn damage_of(snapshot: &Snapshot) -> BTreeMap<(String, String), usize> {
    let mut damage = BTreeMap::new();
    for record in &snapshot.damage {
        let key = (record.table.to_owned(), record.reason.clone());
        *damage.entry(key).or_insert(0) += 1;
    }
    damage
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Absent => f.write_str("waiting for it to appear"),
            State::Removed => f.write_str("was removed; waiting for a new one"),
            State::Attached => f.write_str("attached"),
            State::Unusable(reason) => f.write_str(reason),
        }
    }
}
