//! `metrics` with `metrics-exporter-prometheus`.

use std::sync::LazyLock;

use metrics::{Label, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::input;

/// The recorder that the macros find; only the look-ups by labels need one for the process.
static GLOBAL: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    let recorder = recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).expect("it is the only one");
    handle
});

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new()
        .set_buckets(&input::bounds_seconds())
        .unwrap()
        .build_recorder()
}

/// A counter.
pub fn counter() -> impl FnMut(usize) + Clone + Send {
    let counter = with_local_recorder(&recorder(), || metrics::counter!("requests_total"));
    move |_| counter.increment(1)
}

/// Counters by handle.
pub fn counters_by_handle() -> impl FnMut(usize) + Clone + Send {
    let recorder = recorder();
    let handles = super::sixteen(|series| {
        let [method, status] = input::label_values(series);
        with_local_recorder(
            &recorder,
            || metrics::counter!("requests_total", "method" => method, "status" => status),
        )
    });
    let series = &*input::SERIES;
    move |at| handles[series[at]].increment(1)
}

/// Counters by their labels.
pub fn counters_by_labels() -> impl FnMut(usize) + Clone + Send {
    LazyLock::force(&GLOBAL);
    let series = &*input::SERIES;
    move |at| {
        let [method, status] = input::label_values(series[at]);
        metrics::counter!("requests_total", "method" => method, "status" => status).increment(1);
    }
}

/// A histogram of 12 bounds. What is recorded waits in a list for the upkeep, so every 4096 records one runs.
pub fn histogram() -> impl FnMut(usize) + Clone + Send {
    let recorder = recorder();
    let histogram = with_local_recorder(&recorder, || {
        metrics::histogram!("request_duration_seconds")
    });
    let handle = recorder.handle();
    let seconds = &*input::SECONDS;
    move |at| {
        histogram.record(seconds[at]);
        if at == 0 {
            handle.run_upkeep();
        }
    }
}

/// A gauge.
#[expect(clippy::cast_precision_loss, reason = "inputs are few")]
pub fn gauge() -> impl FnMut(usize) + Clone + Send {
    let gauge = with_local_recorder(&recorder(), || metrics::gauge!("queue_depth"));
    move |at| gauge.set(at as f64)
}

fn page_labels(at: usize) -> Vec<Label> {
    input::PAGE_LABELS
        .into_iter()
        .zip(input::page_label_values(at))
        .map(|(name, value)| Label::new(name, value))
        .collect()
}

/// A page of counters.
pub fn counters_page(series: usize) -> impl FnMut() -> usize {
    let recorder = recorder();
    with_local_recorder(&recorder, || {
        metrics::describe_counter!("http_requests_total", "Requests");
        for at in 0..series {
            metrics::counter!("http_requests_total", page_labels(at))
                .increment(input::page_value(at));
        }
    });
    page(&recorder)
}

/// A page of histograms.
pub fn histograms_page(series: usize) -> impl FnMut() -> usize {
    let recorder = recorder();
    let handle = recorder.handle();
    with_local_recorder(&recorder, || {
        metrics::describe_histogram!("http_request_duration_seconds", "Time");
        for at in 0..series {
            let histogram = metrics::histogram!("http_request_duration_seconds", page_labels(at));
            input::SECONDS
                .iter()
                .for_each(|&value| histogram.record(value));
        }
    });
    handle.run_upkeep();
    page(&recorder)
}

fn page(recorder: &PrometheusRecorder) -> impl FnMut() -> usize + use<> {
    let handle = recorder.handle();
    move || handle.render().len()
}
