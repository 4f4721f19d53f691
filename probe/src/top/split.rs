//! What the value of the opened series is made of and where it comes from, asked of a live segment.

use tachograph::{Exemplar, Number, ProcessValue, Shard, Snapshot};

use crate::frame::Series;

/// The parts of a value: where each is, and the number; and the traces that led to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Split {
    pub(crate) title: &'static str,
    pub(crate) parts: Vec<(String, Number)>,
    pub(crate) exemplars: Vec<Exemplar>,
}

impl Split {
    pub(crate) fn new(split: &tachograph::Split, exemplars: Vec<Exemplar>) -> Split {
        let (title, parts) = match split {
            tachograph::Split::Shards(shards) => ("by shard", shards.iter().map(shard).collect()),
            tachograph::Split::Processes(values) => {
                ("by process", values.iter().map(process).collect())
            }
            _ => ("one value, whoever set it", Vec::new()),
        };
        Split {
            title,
            parts,
            exemplars,
        }
    }
}

fn shard(shard: &Shard) -> (String, Number) {
    let name = match shard.cpu {
        Some(cpu) => format!("CPU {cpu}"),
        None => format!("fallback {}", shard.number),
    };
    (name, shard.value)
}

fn process(each: &ProcessValue) -> (String, Number) {
    (format!("pid {} slot {}", each.pid, each.slot), each.value)
}

/// The exemplars of a series, as it was seen.
pub(crate) fn exemplars(snapshot: &Snapshot, name: &str, labels: &[(&str, &str)]) -> Vec<Exemplar> {
    let found = snapshot.family(name).and_then(|family| {
        family.series().find(|each| {
            let own = each.series.labels.iter();
            own.map(|label| (label.name, label.value))
                .eq(labels.iter().copied())
        })
    });
    found.map_or_else(Vec::new, |series| series.exemplars().copied().collect())
}

/// The labels of a series as a reader asks for them.
pub(crate) fn labels(series: &Series) -> Vec<(&str, &str)> {
    let labels = series.labels.iter();
    labels
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}
