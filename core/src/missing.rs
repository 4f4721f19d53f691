//! Memory that was taken from a segment while it was in use, as a reader finds out.
//!
//! A file with less memory than its marks claim shows it at once. Where a writer has used the place since, the file
//! has memory again, of zeros: then counts are smaller than this reader has seen them. What was found once is told of
//! as long as the reader lives, because nothing brings the amounts back.

use std::sync::Arc;

use crate::catalogue::Source;
use crate::cell::histogram_cell;
use crate::layout::{Section, to_usize};
use crate::schema::Kind;
use crate::snapshot::{Damage, Directory, Value};

/// Findings that are told of; more are only as good as these.
const DAMAGE_MAX: usize = 256;

/// What a reader has found out.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    damage: Vec<Damage>,
    /// What the counter cells held in the last pass, and of which directory.
    last_sums: Vec<u64>,
    last_directory: Arc<Directory>,
}

impl Missing {
    pub(crate) fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The file has less memory than its marks claim, and had more.
    pub(crate) fn note_taken(&mut self) {
        self.note(
            "file",
            0,
            "memory is missing: a hole was punched, and what was recorded there is lost; \
             remove the file, and restart its writers",
        );
    }

    /// Keeps what the counter cells held in the last pass, and gives room for the next.
    pub(crate) fn keep(&mut self, sums: &mut Vec<u64>) {
        std::mem::swap(&mut self.last_sums, sums);
    }

    /// Compares counts with those of the last pass, as long as the series are the same.
    pub(crate) fn compare<'a>(
        &mut self,
        directory: &Arc<Directory>,
        sources: impl Iterator<Item = (Source<'a>, &'a Value)>,
        sums: &[u64],
    ) {
        let last = std::mem::take(&mut self.last_sums);
        let mut cells = sums.iter().zip(&last);
        let is_same = Arc::ptr_eq(directory, &self.last_directory);
        if is_same && cells.any(|(now, last)| now < last) {
            for (source, _) in
                sources.filter(|(source, value)| has_fallen(source, value, sums, &last))
            {
                let reason = "its counts fell: memory was taken away, and what was recorded there is lost; \
                              remove the file, and restart its writers";
                self.note(Section::Series.name(), source.record().into(), reason);
            }
        }
        self.last_directory = Arc::clone(directory);
        self.last_sums = last;
    }

    fn note(&mut self, table: &'static str, index: u64, reason: &str) {
        let is_known = |damage: &Damage| (damage.table, damage.index) == (table, index);
        if self.damage.len() < DAMAGE_MAX && !self.damage.iter().any(is_known) {
            let reason = reason.to_owned();
            self.damage.push(Damage {
                table,
                index,
                reason,
            });
        }
    }
}

/// Whether a series has cells that only grow, and one that did not.
fn has_fallen(source: &Source<'_>, value: &Value, now: &[u64], last: &[u64]) -> bool {
    let counts = match source.kind {
        Kind::Counter => 0..1,
        Kind::Histogram => histogram_cell::BUCKETS..source.placement.cells,
        _ => 0..0,
    };
    let is_there = source.placement.section == Section::Counters && *value != Value::Absent;
    let first = to_usize(source.cells.sharded);
    let cells = first + counts.start..first + counts.end;
    let fell = |(now, last): (&[u64], &[u64])| now.iter().zip(last).any(|(now, last)| now < last);
    is_there
        && now
            .get(cells.clone())
            .zip(last.get(cells))
            .is_some_and(fell)
}
