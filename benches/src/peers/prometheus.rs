//! `prometheus`, without its protobuf feature.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use crate::input;

/// A counter.
pub fn counter() -> impl FnMut(usize) + Clone + Send {
    let counter = IntCounter::new("requests_total", "Requests").unwrap();
    move |_| counter.inc()
}

fn counters() -> IntCounterVec {
    IntCounterVec::new(
        Opts::new("requests_total", "Requests"),
        &["method", "status"],
    )
    .unwrap()
}

/// Counters by handle.
pub fn counters_by_handle() -> impl FnMut(usize) + Clone + Send {
    let counters = counters();
    let handles = super::sixteen(|series| counters.with_label_values(&input::label_values(series)));
    let series = &*input::SERIES;
    move |at| handles[series[at]].inc()
}

/// Counters by their labels.
pub fn counters_by_labels() -> impl FnMut(usize) + Clone + Send {
    let counters = counters();
    let series = &*input::SERIES;
    move |at| {
        counters
            .with_label_values(&input::label_values(series[at]))
            .inc();
    }
}

/// A histogram of 12 bounds.
pub fn histogram() -> impl FnMut(usize) + Clone + Send {
    let options = HistogramOpts::new("request_duration_seconds", "Time")
        .buckets(input::bounds_seconds().to_vec());
    let histogram = Histogram::with_opts(options).unwrap();
    let seconds = &*input::SECONDS;
    move |at| histogram.observe(seconds[at])
}

/// A gauge.
pub fn gauge() -> impl FnMut(usize) + Clone + Send {
    let gauge = IntGauge::new("queue_depth", "Depth").unwrap();
    move |at| gauge.set(at as i64)
}

/// A page of counters.
pub fn counters_page(series: usize) -> impl FnMut() -> usize {
    let registry = Registry::new();
    let counters = IntCounterVec::new(
        Opts::new("http_requests_total", "Requests"),
        &input::PAGE_LABELS,
    )
    .unwrap();
    for at in 0..series {
        counters
            .with_label_values(&input::page_label_values(at))
            .inc_by(input::page_value(at));
    }
    registry.register(Box::new(counters)).unwrap();
    page(registry)
}

/// A page of histograms.
pub fn histograms_page(series: usize) -> impl FnMut() -> usize {
    let registry = Registry::new();
    let options = HistogramOpts::new("http_request_duration_seconds", "Time")
        .buckets(input::bounds_seconds().to_vec());
    let histograms = HistogramVec::new(options, &input::PAGE_LABELS).unwrap();
    for at in 0..series {
        let histogram = histograms.with_label_values(&input::page_label_values(at));
        input::SECONDS
            .iter()
            .for_each(|&value| histogram.observe(value));
    }
    registry.register(Box::new(histograms)).unwrap();
    page(registry)
}

fn page(registry: Registry) -> impl FnMut() -> usize {
    let mut page = Vec::new();
    move || {
        page.clear();
        TextEncoder::new()
            .encode(&registry.gather(), &mut page)
            .unwrap();
        page.len()
    }
}
