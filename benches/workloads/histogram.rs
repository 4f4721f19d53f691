//! A record in a histogram: log-linear buckets, and 12 explicit bounds.

use criterion::Criterion;
use tachograph_benches::peers::{
    hdrhistogram, measured, metrics, metriken, prometheus, prometheus_client,
};
use tachograph_benches::{Role, Workload, limits, ours};

pub(super) fn run(criterion: &mut Criterion) {
    log_linear(criterion, "histogram record, log-linear, 1 thread", 1);
    log_linear(criterion, "histogram record, log-linear, 2 threads", 2);
    bounds(criterion, "histogram record, 12 bounds, 1 thread", 1);
    bounds(criterion, "histogram record, 12 bounds, 2 threads", 2);
    exemplars(
        criterion,
        "histogram record with an exemplar each time, 1 thread",
        1,
    );
    exemplars(
        criterion,
        "histogram record with an exemplar each time, 2 threads",
        2,
    );
}

fn log_linear(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    if let Some(cells) = limits::PerCpu::new() {
        workload.op(Role::Limit, "index + 2 rseq adds", || cells.log_linear());
    }
    workload.lone_op(
        Role::Reference,
        "index + 2 plain adds",
        limits::plain_log_linear,
    );
    workload.op(Role::Ours, "record", ours::log_linear_histogram);
    workload.op(
        Role::Reference,
        "record where exemplars are kept",
        ours::traced_log_linear_histogram,
    );
    workload.op(
        Role::Peer,
        "metriken, no sum",
        metriken::log_linear_histogram,
    );
    workload.op(
        Role::Peer,
        "metriken sharded, no sum",
        metriken::sharded_log_linear_histogram,
    );
    workload.lone_op(
        Role::Peer,
        "hdrhistogram, one thread's, no sum",
        hdrhistogram::plain_log_linear_histogram,
    );
    workload.op(
        Role::Peer,
        "hdrhistogram recorder, no sum",
        hdrhistogram::log_linear_recorder,
    );
}

fn bounds(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    if let Some(cells) = limits::PerCpu::new() {
        workload.op(Role::Limit, "table + 2 rseq adds", || cells.bounds());
    }
    workload.lone_op(
        Role::Reference,
        "table + 2 plain adds",
        limits::plain_bounds,
    );
    workload.op(Role::Ours, "record", ours::histogram);
    workload.op(Role::Peer, "prometheus", prometheus::histogram);
    workload.op(
        Role::Peer,
        "prometheus-client",
        prometheus_client::histogram,
    );
    workload.op(Role::Peer, "metrics with its upkeep", metrics::histogram);
    workload.op(Role::Peer, "measured", measured::histogram);
}

fn exemplars(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    workload.op(Role::Ours, "record_with_exemplar", ours::exemplars);
    workload.op(
        Role::Peer,
        "prometheus-client",
        prometheus_client::exemplars,
    );
}
