//! What the value of the opened series is made of, asked of a live segment.

use tachograph::{Number, Shard};

use crate::frame::Series;

/// The parts of a value: where each is, and the number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Split {
    pub(crate) title: &'static str,
    pub(crate) parts: Vec<(String, Number)>,
}

impl Split {
    pub(crate) fn new(split: &tachograph::Split) -> Split {
        match split {
            tachograph::Split::Shards(shards) => Split {
                title: "by shard",
                parts: shards.iter().map(shard).collect(),
            },
            tachograph::Split::Processes(values) => Split {
                title: "by process",
                parts: values
                    .iter()
                    .map(|each| (format!("pid {} slot {}", each.pid, each.slot), each.value))
                    .collect(),
            },
            _ => Split {
                title: "one value, whoever set it",
                parts: Vec::new(),
            },
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

/// The labels of a series as a reader asks for them.
pub(crate) fn labels(series: &Series) -> Vec<(&str, &str)> {
    let labels = series.labels.iter();
    labels
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}
