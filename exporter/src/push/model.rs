//! The page as it is decoded: messages of `io/prometheus/client/metrics.proto`, as far as pages have them.

use std::collections::HashSet;

use prost::{DecodeError, Message};

/// All families of a page.
///
/// # Errors
/// When it is not a page in protobuf.
pub(crate) fn decode(mut page: &[u8]) -> Result<Vec<Family>, DecodeError> {
    let mut families = Vec::new();
    while !page.is_empty() {
        families.push(Family::decode_length_delimited(&mut page)?);
    }
    Ok(families)
}

/// The series that `before` has and `now` has not.
pub(crate) fn vanished(before: Vec<Family>, now: &[Family]) -> Vec<Family> {
    let keys = now.iter().flat_map(|family| {
        let of = |metric| (family.name.as_str(), family.kind, metric_labels(metric));
        family.metrics.iter().map(of)
    });
    let keys: HashSet<_> = keys.collect();
    let gone = before.into_iter().map(|mut family| {
        let (name, kind) = (family.name.as_str(), family.kind);
        let metrics = &mut family.metrics;
        metrics.retain(|metric| !keys.contains(&(name, kind, metric_labels(metric))));
        family
    });
    gone.filter(|family| !family.metrics.is_empty()).collect()
}

fn metric_labels(metric: &Metric) -> &[Label] {
    &metric.labels
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Family {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) help: String,
    #[prost(enumeration = "Kind", tag = "3")]
    pub(crate) kind: i32,
    #[prost(message, repeated, tag = "4")]
    pub(crate) metrics: Vec<Metric>,
    #[prost(string, tag = "5")]
    pub(crate) unit: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    Counter = 0,
    Gauge = 1,
    Untyped = 3,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, optional, tag = "2")]
    pub(crate) gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    pub(crate) counter: Option<Number>,
    #[prost(message, optional, tag = "5")]
    pub(crate) untyped: Option<Number>,
    #[prost(message, optional, tag = "7")]
    pub(crate) histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// A gauge, or a counter, which alone has an exemplar and a start.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Number {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
    #[prost(message, optional, tag = "2")]
    pub(crate) exemplar: Option<Exemplar>,
    #[prost(message, optional, tag = "3")]
    pub(crate) start: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(uint64, tag = "1")]
    pub(crate) count: u64,
    #[prost(double, tag = "2")]
    pub(crate) sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) buckets: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    pub(crate) schema: i32,
    #[prost(double, tag = "6")]
    pub(crate) zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    pub(crate) zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    pub(crate) spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "13")]
    pub(crate) deltas: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    pub(crate) start: Option<Time>,
    #[prost(message, repeated, tag = "16")]
    pub(crate) exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bucket {
    #[prost(uint64, tag = "1")]
    pub(crate) cumulative_count: u64,
    #[prost(double, tag = "2")]
    pub(crate) upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    pub(crate) exemplar: Option<Exemplar>,
}

/// Buckets that follow each other; the offset is from the end of the span before.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Span {
    #[prost(sint32, tag = "1")]
    pub(crate) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(crate) length: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(double, tag = "2")]
    pub(crate) value: f64,
    #[prost(message, optional, tag = "3")]
    pub(crate) time: Option<Time>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Time {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

impl Time {
    pub(crate) fn unix_nanos(self) -> u64 {
        let nanos = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos);
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }
}

impl Histogram {
    /// Whether it is there in its exponential form, too.
    pub(crate) fn is_native(&self) -> bool {
        !self.spans.is_empty() || self.zero_threshold > 0.0
    }

    /// Exemplars of all buckets, or those that stand for all.
    pub(crate) fn all_exemplars(&self) -> impl Iterator<Item = &Exemplar> {
        let of_buckets = self.buckets.iter().flat_map(|it| &it.exemplar);
        let (few, many) = match self.exemplars.as_slice() {
            [] => (None, Some(of_buckets)),
            few => (Some(few), None),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}
