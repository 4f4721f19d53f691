//! `measured`, whose labels are enums, strings known beforehand, or strings interned as they come.

use measured::label::StaticLabelSet;
use measured::lasso::{Rodeo, RodeoReader, ThreadedRodeo};
use measured::metric::histogram::Thresholds;
use measured::text::BufferedTextEncoder;
use measured::{
    Counter, CounterVec, FixedCardinalityLabel, Gauge, Histogram, HistogramVec, LabelGroup,
    MetricGroup,
};

use crate::input;

#[derive(Clone, Copy, FixedCardinalityLabel)]
#[label(rename_all = "SHOUTY_SNAKE_CASE")]
enum Method {
    Get,
    Put,
    Post,
    Delete,
}

#[derive(Clone, Copy, FixedCardinalityLabel)]
enum Status {
    Ok = 200,
    NotFound = 404,
    TooMany = 429,
    Failed = 500,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = EnumSet)]
struct Enums {
    method: Method,
    status: Status,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = KnownSet)]
struct Known<'a> {
    #[label(fixed_with = RodeoReader)]
    method: &'a str,
    #[label(fixed_with = RodeoReader)]
    status: &'a str,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = PageSet)]
struct PageLabels<'a> {
    #[label(dynamic_with = ThreadedRodeo, default)]
    method: &'a str,
    #[label(dynamic_with = ThreadedRodeo, default)]
    endpoint: &'a str,
    #[label(dynamic_with = ThreadedRodeo, default)]
    instance: &'a str,
}

#[derive(MetricGroup)]
struct CounterPage {
    /// Requests
    http_requests_total: CounterVec<PageSet>,
}

#[derive(MetricGroup)]
struct HistogramPage {
    /// Time
    http_request_duration_seconds: HistogramVec<PageSet, 12>,
}

fn known_counters() -> &'static CounterVec<KnownSet> {
    super::forever(CounterVec::with_label_set(KnownSet::new(
        Rodeo::from_iter(input::METHODS).into_reader(),
        Rodeo::from_iter(input::STATUSES).into_reader(),
    )))
}

fn known(series: usize) -> Known<'static> {
    let [method, status] = input::label_values(series);
    Known { method, status }
}

/// A counter.
pub fn counter() -> impl FnMut(usize) + Clone + Send {
    let counter = super::forever(Counter::new());
    move |_| counter.inc()
}

/// Counters by handle.
pub fn counters_by_handle() -> impl FnMut(usize) + Clone + Send {
    let counters = known_counters();
    let handles = super::forever(super::sixteen(|series| counters.with_labels(known(series))));
    let series = &*input::SERIES;
    move |at| counters.get_metric(handles[series[at]]).inc()
}

/// Counters by enum labels, which index a dense block: neither a handle nor a look-up.
pub fn counters_by_enum() -> impl FnMut(usize) + Clone + Send {
    const METHODS: [Method; 4] = [Method::Get, Method::Put, Method::Post, Method::Delete];
    const STATUSES: [Status; 4] = [
        Status::Ok,
        Status::NotFound,
        Status::TooMany,
        Status::Failed,
    ];
    let set = EnumSet {
        method: StaticLabelSet::new(),
        status: StaticLabelSet::new(),
    };
    let counters = super::forever(CounterVec::with_label_set(set));
    let labels = super::forever(super::sixteen(|series| Enums {
        method: METHODS[series % 4],
        status: STATUSES[series / 4],
    }));
    let series = &*input::SERIES;
    move |at| counters.inc(labels[series[at]])
}

/// Counters by label strings that are known beforehand.
pub fn counters_by_labels() -> impl FnMut(usize) + Clone + Send {
    let counters = known_counters();
    let series = &*input::SERIES;
    move |at| counters.inc(known(series[at]))
}

fn thresholds() -> Thresholds<12> {
    Thresholds::with_buckets(input::bounds_seconds())
}

/// A histogram of 12 bounds.
pub fn histogram() -> impl FnMut(usize) + Clone + Send {
    let histogram = super::forever(Histogram::with_metadata(thresholds()));
    let seconds = &*input::SECONDS;
    move |at| histogram.get_metric().observe(seconds[at])
}

/// A gauge.
pub fn gauge() -> impl FnMut(usize) + Clone + Send {
    let gauge = super::forever(Gauge::new());
    move |at| gauge.get_metric().set(at as i64)
}

fn with_page_labels(at: usize, run: impl FnOnce(PageLabels<'_>)) {
    let [method, endpoint, instance] = &input::page_label_values(at);
    run(PageLabels {
        method,
        endpoint,
        instance,
    });
}

/// A page of counters.
pub fn counters_page(series: usize) -> impl FnMut() -> usize {
    let group = CounterPage {
        http_requests_total: CounterVec::with_label_set(PageSet::new()),
    };
    for at in 0..series {
        with_page_labels(at, |labels| {
            group
                .http_requests_total
                .inc_by(labels, input::page_value(at));
        });
    }
    page(group)
}

/// A page of histograms.
pub fn histograms_page(series: usize) -> impl FnMut() -> usize {
    let histograms = HistogramVec::with_label_set_and_metadata(PageSet::new(), thresholds());
    for at in 0..series {
        with_page_labels(at, |labels| {
            for &value in &*input::SECONDS {
                histograms.observe(labels, value);
            }
        });
    }
    page(HistogramPage {
        http_request_duration_seconds: histograms,
    })
}

fn page<G: MetricGroup<BufferedTextEncoder>>(group: G) -> impl FnMut() -> usize {
    let mut encoder = BufferedTextEncoder::new();
    move || {
        group.collect_group_into(&mut encoder).unwrap();
        encoder.finish().len()
    }
}
