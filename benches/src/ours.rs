//! tachograph, with functions of the same names and shapes as a peer's module.
//!
//! Every segment is a file on tmpfs, as in production.

use std::path::PathBuf;

use tachograph::{
    Buckets, Counter, FamilyHandle, Histogram, LabelSet, LabelValue, Labelled, Reader,
    SegmentOptions, Snapshot, SpanContext, Traced, Unit, Writer,
};
use tempfile::TempDir;

use crate::input;

/// A folder on tmpfs for segments; it goes with them when dropped.
pub struct Folder(TempDir);

impl Folder {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Folder {
        Folder(tempfile::tempdir_in("/dev/shm").expect("a folder in /dev/shm"))
    }

    /// The path of a segment in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A writer on a segment whose name is gone already.
fn writer() -> Writer {
    let folder = Folder::new();
    SegmentOptions::new()
        .path(folder.path("bench.seg"))
        .attach()
        .unwrap()
}

/// A counter.
pub fn counter() -> impl FnMut(usize) + Clone + Send {
    let counter = writer()
        .counter("requests_total", "Requests")
        .register()
        .unwrap();
    move |_| counter.inc()
}

fn counters() -> FamilyHandle<Counter> {
    writer()
        .counter("requests_total", "Requests")
        .family()
        .unwrap()
}

fn labels(series: usize) -> [(&'static str, &'static str); 2] {
    let [method, status] = input::label_values(series);
    [("method", method), ("status", status)]
}

/// Counters by handle.
pub fn counters_by_handle() -> impl FnMut(usize) + Clone + Send {
    let counters = counters();
    let handles: [Counter; 16] =
        std::array::from_fn(|series| counters.with(&labels(series)).unwrap());
    let series = &*input::SERIES;
    move |at| handles[series[at]].inc()
}

#[derive(Debug, Clone, Copy, LabelValue)]
#[label(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Put,
    Post,
    Delete,
}

#[derive(Debug, Clone, Copy, LabelValue)]
enum Status {
    #[label(rename = "200")]
    Ok,
    #[label(rename = "404")]
    NotFound,
    #[label(rename = "429")]
    TooMany,
    #[label(rename = "500")]
    Failed,
}

#[derive(Debug, Clone, Copy, LabelSet)]
struct Enums {
    method: Method,
    status: Status,
}

#[derive(Debug, Clone, Copy, LabelSet)]
struct Texts<'a> {
    method: &'a str,
    status: &'a str,
}

/// The labels of the 16 series, picked at random: each input as a program has it at hand.
fn random_enums() -> &'static [Enums; input::INPUTS] {
    let of = |at: usize| Enums {
        method: Method::ALL[input::SERIES[at] % 4],
        status: Status::ALL[input::SERIES[at] / 4],
    };
    Box::leak(Box::new(std::array::from_fn(of)))
}

/// Counters by enums, which index a block.
pub fn counters_by_enums() -> impl FnMut(usize) + Clone + Send {
    let counters = writer()
        .counter("requests_total", "Requests")
        .dense::<Enums>()
        .unwrap();
    let labels = random_enums();
    move |at| counters.get(labels[at]).inc()
}

/// Counters by enums that are looked up.
pub fn counters_by_labelled_enums() -> impl FnMut(usize) + Clone + Send {
    let counters = writer()
        .counter("requests_total", "Requests")
        .labelled::<Enums>()
        .unwrap();
    let labels = random_enums();
    move |at| counters.with(&labels[at]).inc()
}

/// Counters by their labels' texts.
pub fn counters_by_labels() -> impl FnMut(usize) + Clone + Send {
    let counters = writer()
        .counter("requests_total", "Requests")
        .labelled::<Texts<'static>>()
        .unwrap();
    let series = &*input::SERIES;
    move |at| {
        let [method, status] = input::label_values(series[at]);
        counters.with(&Texts { method, status }).inc();
    }
}

/// Counters by names and texts of their labels.
pub fn counters_by_pairs() -> impl FnMut(usize) + Clone + Send {
    let counters = counters();
    let series = &*input::SERIES;
    move |at| counters.with(&labels(series[at])).unwrap().inc()
}

fn record(buckets: Buckets) -> impl FnMut(usize) + Clone + Send {
    let histogram = writer()
        .histogram("request_duration_seconds", "Time")
        .unit(Unit::NANOSECONDS)
        .buckets(buckets)
        .register()
        .unwrap();
    let nanos = &*input::NANOS;
    move |at| histogram.record(nanos[at])
}

/// A histogram of 12 bounds.
pub fn histogram() -> impl FnMut(usize) + Clone + Send {
    record(Buckets::explicit(input::BOUNDS_NANOS).unwrap())
}

/// A log-linear histogram of 3 % precision.
pub fn log_linear_histogram() -> impl FnMut(usize) + Clone + Send {
    record(Buckets::default())
}

/// A log-linear histogram whose series keep exemplars.
fn traced() -> Traced<Histogram> {
    writer()
        .histogram("request_duration_seconds", "Time")
        .unit(Unit::NANOSECONDS)
        .exemplars()
        .register()
        .unwrap()
}

/// The same where exemplars are kept, and none is left.
pub fn traced_log_linear_histogram() -> impl FnMut(usize) + Clone + Send {
    let histogram = traced();
    let nanos = &*input::NANOS;
    move |at| histogram.record(nanos[at])
}

/// The same where each value comes with an exemplar.
pub fn exemplars() -> impl FnMut(usize) + Clone + Send {
    let histogram = traced();
    let nanos = &*input::NANOS;
    let span = SpanContext::from_traceparent(input::TRACEPARENT).unwrap();
    move |at| histogram.record_with_exemplar(nanos[at], &span)
}

/// A gauge, its values summed over the living processes.
pub fn gauge() -> impl FnMut(usize) + Clone + Send {
    let gauge = writer().gauge("queue_depth", "Depth").register().unwrap();
    move |at| gauge.set(at as i64)
}

/// The file of a segment in its folder.
pub const FILE: &str = "bench.seg";
/// How many series a segment of many can have.
pub const MANY: usize = 200_000;

/// A segment for many series, with those made so far and a reader.
pub struct Many<H> {
    /// A handle for each series.
    pub handles: Vec<H>,
    /// A writer.
    pub writer: Writer,
    /// A reader.
    pub reader: Reader,
    /// Where the segment is.
    pub folder: Folder,
}

impl<H> Many<H> {
    /// A segment without series.
    pub fn new(cpu_shards: u32) -> Many<H> {
        let folder = Folder::new();
        let path = folder.path(FILE);
        let writer = SegmentOptions::new()
            .path(&path)
            .series(MANY as u64 + 1_000)
            .counter_cells(MANY as u64 + 1_000)
            .string_bytes(64 << 20)
            .cpu_shards(cpu_shards)
            .attach()
            .unwrap();
        Many {
            handles: Vec::new(),
            writer,
            reader: Reader::attach(path).unwrap(),
            folder,
        }
    }

    /// A snapshot by the reader.
    pub fn snapshot(&mut self) -> Snapshot {
        self.reader.snapshot().unwrap()
    }
}

/// The family of counters of a page.
pub fn page_counters(many: &Many<Counter>) -> FamilyHandle<Counter> {
    many.writer
        .counter("http_requests_total", "Requests")
        .series_limit(MANY as u64)
        .family()
        .unwrap()
}

/// Names and values of the labels of a series of a page.
pub fn page_labels(values: &[String; 3]) -> [(&str, &str); 3] {
    std::array::from_fn(|at| (input::PAGE_LABELS[at], values[at].as_str()))
}

/// The labels of a page as a type.
#[derive(Debug, Clone, Copy, LabelSet)]
pub struct PageLabels<'a> {
    /// As in [`input::PAGE_LABELS`].
    pub method: &'a str,
    /// As in [`input::PAGE_LABELS`].
    pub endpoint: &'a str,
    /// As in [`input::PAGE_LABELS`].
    pub instance: &'a str,
}

/// The family of counters of a page, by its type of labels.
pub fn labelled_page_counters(many: &Many<Counter>) -> Labelled<Counter, PageLabels<'static>> {
    many.writer
        .counter("http_requests_total", "Requests")
        .series_limit(MANY as u64)
        .labelled()
        .unwrap()
}

/// So many counters of a page.
pub fn many_counters(series: usize, cpu_shards: u32) -> Many<Counter> {
    let mut many = Many::new(cpu_shards);
    let family = page_counters(&many);
    for at in 0..series {
        let values = input::page_label_values(at);
        let counter = family.with(&page_labels(&values)).unwrap();
        counter.add(input::page_value(at));
        many.handles.push(counter);
    }
    many
}

/// So many histograms of a page.
pub fn many_histograms(series: usize, cpu_shards: u32) -> Many<Histogram> {
    let mut many = Many::new(cpu_shards);
    let family = many
        .writer
        .histogram("http_request_duration_seconds", "Time")
        .unit(Unit::NANOSECONDS)
        .buckets(Buckets::explicit(input::BOUNDS_NANOS).unwrap())
        .family()
        .unwrap();
    for at in 0..series {
        let values = input::page_label_values(at);
        let histogram = family.with(&page_labels(&values)).unwrap();
        input::NANOS
            .iter()
            .for_each(|&value| histogram.record(value));
        many.handles.push(histogram);
    }
    many
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::prometheus;
    use tachograph_exporter::text::TextRenderer;

    #[test]
    fn pages_are_as_long_as_a_peers() {
        let mut text = TextRenderer::new();
        let mut length = |snapshot| text.render(&[(None, &snapshot)]).len();
        let counters = length(many_counters(500, 2).snapshot());
        let expected = prometheus::counters_page(500)();
        assert!(
            counters.abs_diff(expected) < expected / 8,
            "{counters} for {expected}"
        );
        let histograms = length(many_histograms(50, 2).snapshot());
        let expected = prometheus::histograms_page(50)();
        assert!(
            histograms.abs_diff(expected) < expected / 8,
            "{histograms} for {expected}"
        );
    }
}
