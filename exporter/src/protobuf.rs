//! Prometheus' protobuf format: length-delimited `io.prometheus.client.MetricFamily` messages.
//!
//! Names and families are those of the text format. A log-linear histogram is there twice, with classic
//! buckets and as a native histogram; the scraper takes which it wants.

use tachograph::{
    Exemplar, Family, FamilyView, HistogramView, Number, ProcessValue, Scale, Snapshot, ValueView,
};

use crate::escaping::Escaping;
use crate::exemplars;
use crate::label::LabelNames;
use crate::native::{Mapping, ZERO_THRESHOLD};
use crate::plan::{Conflict, Group, Part, Plan, Shape};
use crate::wanted::Wanted;
use crate::wire::{Message, begin, delimit};

/// Numbers of the fields of `MetricFamily`, and of its types.
mod family {
    pub(super) const NAME: u64 = 1;
    pub(super) const HELP: u64 = 2;
    pub(super) const TYPE: u64 = 3;
    pub(super) const METRIC: u64 = 4;
    pub(super) const UNIT: u64 = 5;
    pub(super) const COUNTER: u64 = 0;
    pub(super) const GAUGE: u64 = 1;
    pub(super) const HISTOGRAM: u64 = 4;
}

/// Of `Metric`, and of the messages in it.
mod metric {
    pub(super) const LABEL: u64 = 1;
    pub(super) const LABEL_NAME: u64 = 1;
    pub(super) const LABEL_VALUE: u64 = 2;
    pub(super) const GAUGE: u64 = 2;
    pub(super) const COUNTER: u64 = 3;
    pub(super) const VALUE: u64 = 1;
    pub(super) const COUNTER_EXEMPLAR: u64 = 2;
    pub(super) const COUNTER_START: u64 = 3;
    pub(super) const HISTOGRAM: u64 = 7;
    pub(super) const SECONDS: u64 = 1;
    pub(super) const NANOS: u64 = 2;
}

/// Of `Exemplar`, whose labels are those of a sample.
mod exemplar {
    pub(super) const LABEL: u64 = 1;
    pub(super) const VALUE: u64 = 2;
    pub(super) const TIME: u64 = 3;
}

/// Of `Histogram`, and of the messages in it.
mod histogram {
    pub(super) const COUNT: u64 = 1;
    pub(super) const SUM: u64 = 2;
    pub(super) const BUCKET: u64 = 3;
    pub(super) const CUMULATIVE_COUNT: u64 = 1;
    pub(super) const UPPER_BOUND: u64 = 2;
    pub(super) const BUCKET_EXEMPLAR: u64 = 3;
    pub(super) const SCHEMA: u64 = 5;
    pub(super) const ZERO_THRESHOLD: u64 = 6;
    pub(super) const ZERO_COUNT: u64 = 7;
    pub(super) const POSITIVE_SPAN: u64 = 12;
    pub(super) const OFFSET: u64 = 1;
    pub(super) const LENGTH: u64 = 2;
    pub(super) const POSITIVE_DELTA: u64 = 13;
    pub(super) const START: u64 = 15;
    pub(super) const EXEMPLAR: u64 = 16;
}

/// Renders snapshots; keeps what families there are and which do not fit together.
#[derive(Debug, Default)]
pub struct ProtobufRenderer {
    plan: Plan,
}

impl ProtobufRenderer {
    /// Renders those families of `segments` that are `wanted`, each with the value of its `segment` label if it
    /// has one, in place of what `page` holds.
    pub fn render_over(
        &mut self,
        segments: &[(Option<&str>, &Snapshot)],
        escaping: Escaping,
        wanted: &Wanted,
        page: &mut Vec<u8>,
    ) {
        if !self.plan.fits(segments, escaping) {
            self.plan = Plan::grouped(segments, escaping, false);
        }
        page.clear();
        let views: Vec<Vec<FamilyView<'_>>> = segments
            .iter()
            .map(|(_, snapshot)| snapshot.families().collect())
            .collect();
        for group in &self.plan.groups {
            let first = self.plan.family(group.first);
            if !self.plan.is_wanted(group, wanted) {
                continue;
            }
            let heading = Heading {
                name: &group.name,
                help: &first.help,
                kind: first.kind.name(),
                unit: first.unit.base(),
            };
            push_family(page, &heading, |page| {
                for part in &group.parts {
                    let view = &views[part.source.segment][part.source.family];
                    push_part(
                        page,
                        escaping,
                        group,
                        part,
                        view,
                        segments[part.source.segment].0,
                    );
                }
            });
        }
    }

    /// Whether it keeps nothing that names of this scheme would displace.
    pub(crate) fn serves(&self, escaping: Escaping) -> bool {
        self.plan.serves(escaping)
    }

    /// The families that the last page does not show because their names were taken.
    pub fn conflicts(&self) -> &[Conflict] {
        &self.plan.conflicts
    }
}

/// What is said of a family before its samples.
pub(crate) struct Heading<'a> {
    pub(crate) name: &'a str,
    pub(crate) help: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) unit: &'a str,
}

/// Appends a family with the samples that `write` appends; nothing, if there are none.
pub(crate) fn push_family(
    out: &mut Vec<u8>,
    heading: &Heading<'_>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let before = out.len();
    let start = begin(out);
    let mut message = Message(out);
    message.text(family::NAME, heading.name);
    message.text(family::HELP, heading.help);
    let kind = match heading.kind {
        "counter" => family::COUNTER,
        "histogram" => family::HISTOGRAM,
        _ => family::GAUGE,
    };
    message.unsigned(family::TYPE, kind);
    if !heading.unit.is_empty() {
        message.text(family::UNIT, heading.unit);
    }
    let heading_end = out.len();
    write(out);
    if out.len() == heading_end {
        out.truncate(before);
    } else {
        delimit(out, start);
    }
}

/// Appends the label `name` of a sample.
pub(crate) fn push_label(out: &mut Vec<u8>, name: &str, value: &str) {
    push_pair(&mut Message(out), metric::LABEL, name, value);
}

fn push_pair(message: &mut Message<'_>, field: u64, name: &str, value: &str) {
    message.message(field, |label| {
        label.text(metric::LABEL_NAME, name);
        label.text(metric::LABEL_VALUE, value);
    });
}

/// Appends a sample of a counter, or else of a gauge.
pub(crate) fn push_sample(out: &mut Vec<u8>, labels: &[u8], kind: &str, value: f64) {
    push_number(out, labels, kind, value, |_| {});
}

/// Appends a sample of a counter with what else is to be said of it, or else of a gauge.
fn push_number(
    out: &mut Vec<u8>,
    labels: &[u8],
    kind: &str,
    value: f64,
    write_more: impl FnOnce(&mut Message<'_>),
) {
    Message(out).message(family::METRIC, |sample| {
        sample.0.extend_from_slice(labels);
        let is_counter = kind == "counter";
        let field = match is_counter {
            true => metric::COUNTER,
            false => metric::GAUGE,
        };
        sample.message(field, |number| {
            number.double(metric::VALUE, value);
            if is_counter {
                write_more(number);
            }
        });
    });
}

fn push_exemplar(message: &mut Message<'_>, field: u64, exemplar: &Exemplar, scale: Scale) {
    message.message(field, |message| {
        let (trace, span) = (exemplar.trace_id, exemplar.span_id);
        push_pair(message, exemplar::LABEL, "trace_id", &trace.to_string());
        push_pair(message, exemplar::LABEL, "span_id", &span.to_string());
        message.double(exemplar::VALUE, exemplars::value(exemplar, scale));
        push_time(message, exemplar::TIME, exemplar.time_unix_nanos);
    });
}

fn push_time(message: &mut Message<'_>, field: u64, unix_nanos: u64) {
    message.message(field, |time| {
        time.unsigned(metric::SECONDS, unix_nanos / 1_000_000_000);
        time.unsigned(metric::NANOS, unix_nanos % 1_000_000_000);
    });
}

/// Appends all samples of a family of one segment.
fn push_part(
    out: &mut Vec<u8>,
    escaping: Escaping,
    group: &Group,
    part: &Part,
    view: &FamilyView<'_>,
    segment: Option<&str>,
) {
    let family = view.family;
    let scale = family.unit.scale();
    let kind = family.kind.name();
    let mapping = family.buckets.as_ref();
    let mapping = mapping.and_then(|buckets| Mapping::new(buckets, scale));
    let names = part.shape.reserved(&group.name, segment.is_some());
    let mut names = LabelNames::new(escaping, names);
    let mut labels = Vec::new();
    for (at, series) in view.series().enumerate() {
        if part.is_hidden(at) {
            continue;
        }
        labels.clear();
        if let Some(segment) = segment {
            push_label(&mut labels, "segment", segment);
        }
        for (name, label) in names
            .of(&series.series.labels)
            .iter()
            .zip(series.series.labels.iter())
        {
            push_label(&mut labels, name, label.value);
        }
        let start = series.series.created_unix_nanos;
        match (&part.shape, series.value) {
            (Shape::Single, ValueView::Number(number)) => {
                let value = number.scaled(scale).as_f64();
                push_number(out, &labels, kind, value, |counter| {
                    if let Some(exemplar) = series.exemplars().next() {
                        push_exemplar(counter, metric::COUNTER_EXEMPLAR, exemplar, scale);
                    }
                    push_time(counter, metric::COUNTER_START, start);
                });
            }
            (Shape::Single, ValueView::Info) => push_sample(out, &labels, kind, 1.0),
            (Shape::Histogram(bounds), ValueView::Histogram(histogram)) => {
                let mut exemplars: Vec<_> = series.exemplars().collect();
                // Prometheus keeps one series of them, and drops what is older than the one before.
                exemplars.sort_by_key(|exemplar| exemplar.time_unix_nanos);
                let classic = Classic {
                    bounds,
                    histogram,
                    exemplars,
                };
                push_histogram(out, &labels, family, &classic, mapping.as_ref(), start);
            }
            (Shape::States(_), ValueView::States(states)) => {
                push_states(out, &labels, &group.name, family, |state| {
                    states.get(state) == Some(&true)
                });
            }
            (Shape::Each, ValueView::Each(values)) => {
                for value in values {
                    let labels = labelled(&labels, value);
                    let value = value.value.scaled(scale).as_f64();
                    push_sample(out, &labels, kind, value);
                }
            }
            (Shape::EachState(_), ValueView::Each(values)) => {
                for value in values {
                    let labels = labelled(&labels, value);
                    push_states(out, &labels, &group.name, family, |state| {
                        let state = i64::try_from(state).ok().map(Number::Signed);
                        state == Some(value.value)
                    });
                }
            }
            _ => {}
        }
    }
}

/// `labels` and those of a process.
fn labelled(labels: &[u8], value: &ProcessValue) -> Vec<u8> {
    let mut labels = labels.to_vec();
    push_label(&mut labels, "pid", &value.pid.to_string());
    push_label(&mut labels, "slot", &value.slot.to_string());
    labels
}

fn push_states(
    out: &mut Vec<u8>,
    labels: &[u8],
    name: &str,
    family: &Family,
    holds: impl Fn(usize) -> bool,
) {
    for (at, state) in family.states.iter().enumerate() {
        let mut labels = labels.to_vec();
        push_label(&mut labels, name, state);
        push_sample(out, &labels, "gauge", f64::from(u8::from(holds(at))));
    }
}

/// A histogram and which of its buckets are exposed.
struct Classic<'a> {
    bounds: &'a [usize],
    histogram: HistogramView<'a>,
    exemplars: Vec<&'a Exemplar>,
}

fn push_histogram(
    out: &mut Vec<u8>,
    labels: &[u8],
    family: &Family,
    classic: &Classic<'_>,
    mapping: Option<&Mapping>,
    start: u64,
) {
    let Some(buckets) = &family.buckets else {
        return;
    };
    let scale = family.unit.scale();
    let counts = classic.histogram.counts;
    #[expect(clippy::cast_precision_loss, reason = "the format has floats")]
    let (sum, bound) = (scale.apply(classic.histogram.sum as f64), |index| {
        scale.apply(buckets.upper_bound(index) as f64)
    });
    Message(out).message(family::METRIC, |sample| {
        sample.0.extend_from_slice(labels);
        sample.message(metric::HISTOGRAM, |message| {
            message.unsigned(histogram::COUNT, classic.histogram.count());
            message.double(histogram::SUM, sum);
            let (mut below, mut cumulative) = (0, 0u64);
            let all = classic.exemplars.iter().copied();
            let mut shown = exemplars::by_bucket(all, family, classic.bounds).into_iter();
            let mut push_bucket = |message: &mut Message<'_>, bound, cumulative| {
                let exemplar = shown.next().flatten();
                push_bucket(message, bound, cumulative, exemplar.map(|it| (it, scale)));
            };
            for &index in classic.bounds {
                let here = counts[below..=index].iter();
                cumulative = here.fold(cumulative, |sum, &count| sum.wrapping_add(count));
                below = index + 1;
                push_bucket(message, bound(index), cumulative);
            }
            push_bucket(message, f64::INFINITY, classic.histogram.count());
            if let Some(mapping) = mapping {
                push_native(message, mapping, counts);
            }
            push_time(message, histogram::START, start);
            if mapping.is_some() {
                for exemplar in &classic.exemplars {
                    push_exemplar(message, histogram::EXEMPLAR, exemplar, scale);
                }
            }
        });
    });
}

fn push_bucket(
    message: &mut Message<'_>,
    upper_bound: f64,
    cumulative: u64,
    exemplar: Option<(&Exemplar, Scale)>,
) {
    message.message(histogram::BUCKET, |bucket| {
        bucket.unsigned(histogram::CUMULATIVE_COUNT, cumulative);
        bucket.double(histogram::UPPER_BOUND, upper_bound);
        if let Some((exemplar, scale)) = exemplar {
            push_exemplar(bucket, histogram::BUCKET_EXEMPLAR, exemplar, scale);
        }
    });
}

fn push_native(message: &mut Message<'_>, mapping: &Mapping, counts: &[u64]) {
    let native = mapping.of(counts);
    message.signed(histogram::SCHEMA, mapping.schema.into());
    message.double(histogram::ZERO_THRESHOLD, ZERO_THRESHOLD);
    message.unsigned(histogram::ZERO_COUNT, native.zero_count);
    for span in &native.spans {
        message.message(histogram::POSITIVE_SPAN, |message| {
            message.signed(histogram::OFFSET, span.offset.into());
            message.unsigned(histogram::LENGTH, span.length.into());
        });
    }
    message.packed(histogram::POSITIVE_DELTA, &native.deltas);
}
