//! Snapshots as the rules want them shown.

use std::sync::Arc;

use tachograph::{Difference, Directory, Merge, Snapshot};

use crate::plan::{Cause, Conflict};
use crate::rules::{Rules, Several};

/// Applies rules; keeps what is the same while nothing new is registered.
#[derive(Debug)]
pub(crate) struct Arranger {
    rules: Rules,
    made_for: Vec<String>,
    merges: Vec<Merge>,
}

/// What became of the snapshots of some segments.
#[derive(Debug)]
pub(crate) struct Arranged {
    /// The snapshots, each with the index of the first segment that it is made of.
    pub(crate) snapshots: Vec<(usize, Snapshot)>,
    /// Whether each is of one segment.
    pub(crate) by_segment: bool,
    /// What could not be merged, by segment.
    pub(crate) conflicts: Vec<Conflict>,
}

impl Arranger {
    pub(crate) fn new(rules: Rules) -> Arranger {
        Arranger {
            rules,
            made_for: Vec::new(),
            merges: Vec::new(),
        }
    }

    /// `segments` as they are to be shown, each with its label; `None` as they are.
    pub(crate) fn arrange(&mut self, segments: &[(&str, &Snapshot)]) -> Option<Arranged> {
        if self.rules.is_empty() || segments.is_empty() {
            return None;
        }
        let by_segment = self.rules.segments == Several::Label;
        let count = if by_segment { 1 } else { segments.len() };
        let groups: Vec<_> = segments.chunks(count).collect();
        let labels = segments.iter().map(|(label, _)| *label);
        let is_known = self.made_for.iter().map(String::as_str).eq(labels.clone())
            && self.merges.len() == groups.len()
            && self
                .merges
                .iter()
                .zip(&groups)
                .all(|(merge, group)| merge.fits(&directories(group)));
        if !is_known {
            self.made_for = labels.map(str::to_owned).collect();
            let merges = groups.iter().map(|group| self.merge(group));
            self.merges = merges.collect();
        }
        let merged = self.merges.iter().zip(&groups).enumerate();
        let merged = merged.map(|(at, (merge, group))| {
            let snapshots: Vec<&Snapshot> = group.iter().map(|(_, snapshot)| *snapshot).collect();
            (at * count, merge.apply(&snapshots))
        });
        Some(Arranged {
            snapshots: merged.collect(),
            by_segment,
            conflicts: self.conflicts(count),
        })
    }

    fn merge(&self, group: &[(&str, &Snapshot)]) -> Merge {
        Merge::new(&directories(group), |at, family, series| {
            self.rules.shown(group[at].0, family, series)
        })
    }

    fn conflicts(&self, count: usize) -> Vec<Conflict> {
        let merges = self.merges.iter().enumerate();
        let left_out = merges.flat_map(|(at, merge)| {
            let left_out = merge.left_out.iter();
            left_out.map(move |it| (at * count + it.snapshot, it))
        });
        let conflicts = left_out.map(|(segment, it)| {
            let (cause, reason) = told(it.difference);
            Conflict {
                segment,
                family: it.family.clone(),
                cause,
                reason,
            }
        });
        conflicts.collect()
    }
}

fn directories(group: &[(&str, &Snapshot)]) -> Vec<Arc<Directory>> {
    let directories = group.iter();
    let directories = directories.map(|(_, snapshot)| Arc::clone(&snapshot.directory));
    directories.collect()
}

fn told(difference: Difference) -> (Cause, String) {
    match difference {
        Difference::Kind(here, there) => (
            Cause::Type,
            format!("type is {here} here and {there} in an earlier family"),
        ),
        Difference::Unit => (
            Cause::Unit,
            "it is recorded in another unit than an earlier family".into(),
        ),
        Difference::Buckets => (
            Cause::Buckets,
            "its buckets or states are not those of an earlier family".into(),
        ),
        Difference::Series(count) => (
            Cause::Series,
            format!("{count} of its series have the labels of others and cannot be added to them"),
        ),
    }
}
