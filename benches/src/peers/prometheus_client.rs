//! `prometheus-client`.

use std::time::SystemTime;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::input;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PageLabels {
    method: String,
    endpoint: String,
    instance: String,
}

fn labels(series: usize) -> Labels {
    let [method, status] = input::label_values(series);
    Labels { method, status }
}

fn page_labels(at: usize) -> PageLabels {
    let [method, endpoint, instance] = input::page_label_values(at);
    PageLabels {
        method,
        endpoint,
        instance,
    }
}

/// A counter.
pub fn counter() -> impl FnMut(usize) + Clone + Send {
    let counter = Counter::<u64>::default();
    move |_| {
        counter.inc();
    }
}

/// Counters by handle.
pub fn counters_by_handle() -> impl FnMut(usize) + Clone + Send {
    let family = Family::<Labels, Counter>::default();
    let handles = super::sixteen(|series| family.get_or_create_owned(&labels(series)));
    let series = &*input::SERIES;
    move |at| {
        handles[series[at]].inc();
    }
}

/// Counters by their labels.
pub fn counters_by_labels() -> impl FnMut(usize) + Clone + Send {
    let family = Family::<Labels, Counter>::default();
    let series = &*input::SERIES;
    move |at| {
        family.get_or_create(&labels(series[at])).inc();
    }
}

/// A histogram of 12 bounds.
pub fn histogram() -> impl FnMut(usize) + Clone + Send {
    let histogram = Histogram::new(input::bounds_seconds());
    let seconds = &*input::SECONDS;
    move |at| histogram.observe(seconds[at])
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Trace {
    trace_id: String,
    span_id: String,
}

/// A histogram of 12 bounds, each value with an exemplar.
pub fn exemplars() -> impl FnMut(usize) + Clone + Send {
    let histogram = HistogramWithExemplars::new(input::bounds_seconds().into_iter());
    let seconds = &*input::SECONDS;
    let mut parts = input::TRACEPARENT.split('-').skip(1).map(str::to_owned);
    let trace = Trace {
        trace_id: parts.next().unwrap(),
        span_id: parts.next().unwrap(),
    };
    move |at| histogram.observe(seconds[at], Some(trace.clone()), Some(SystemTime::now()))
}

/// A gauge.
pub fn gauge() -> impl FnMut(usize) + Clone + Send {
    let gauge = Gauge::<i64>::default();
    move |at| {
        gauge.set(at as i64);
    }
}

/// A page of counters.
pub fn counters_page(series: usize) -> impl FnMut() -> usize {
    let mut registry = Registry::default();
    let family = Family::<PageLabels, Counter>::default();
    for at in 0..series {
        family
            .get_or_create(&page_labels(at))
            .inc_by(input::page_value(at));
    }
    registry.register("http_requests", "Requests", family);
    page(registry)
}

/// A page of histograms.
pub fn histograms_page(series: usize) -> impl FnMut() -> usize {
    let mut registry = Registry::default();
    let new: fn() -> Histogram = || Histogram::new(input::bounds_seconds());
    let family = Family::<PageLabels, Histogram, _>::new_with_constructor(new);
    for at in 0..series {
        let histogram = family.get_or_create(&page_labels(at));
        input::SECONDS
            .iter()
            .for_each(|&value| histogram.observe(value));
    }
    registry.register("http_request_duration_seconds", "Time", family);
    page(registry)
}

fn page(registry: Registry) -> impl FnMut() -> usize {
    let mut page = String::new();
    move || {
        page.clear();
        text::encode(&mut page, &registry).unwrap();
        page.len()
    }
}
