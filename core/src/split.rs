//! What the value of one series is made of: its shards, or what each living process has set.

use crate::snapshot::{Directory, Number, ProcessValue};

/// The parts of one series' value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Split {
    /// Of a counter or a histogram: a part a shard.
    Shards(Vec<Shard>),
    /// Of a gauge, an info or a state set: what living processes have set.
    Processes(Vec<ProcessValue>),
    /// Of a lasting gauge: it has one value, whoever set it.
    Whole,
}

/// What one shard of a series holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shard {
    /// The CPU that writes it by restartable sequences; none for a shard of atomic additions.
    pub cpu: Option<u32>,
    /// Its number among those of its kind.
    pub number: u32,
    /// What a counter counts there, or how many values a histogram took, as recorded.
    pub value: Number,
}

impl Shard {
    /// The shard at `place` of a series that has `cpus` shards of CPUs before its others.
    pub(crate) fn at(place: u32, cpus: u32, value: Number) -> Shard {
        Shard {
            cpu: (place < cpus).then_some(place),
            number: place.checked_sub(cpus).unwrap_or(place),
            value,
        }
    }
}

impl Directory {
    /// Where the value of a series lies; labels in any order.
    pub(crate) fn place(&self, name: &str, labels: &[(&str, &str)]) -> Option<usize> {
        let mut wanted = labels.to_vec();
        wanted.sort_unstable();
        let family = self.families.iter().find(|family| family.name == name)?;
        let mut all = family.series.iter();
        let inside = all.position(|series| series.labels.is(&wanted))?;
        Some(family.first + inside)
    }
}
