//! Setting a gauge.

use criterion::Criterion;
use tachograph_benches::peers::{measured, metrics, metriken, prometheus, prometheus_client};
use tachograph_benches::{Role, Workload, limits, ours};

pub(super) fn run(criterion: &mut Criterion) {
    set(criterion, "gauge set, 1 thread", 1);
    set(criterion, "gauge set, 2 threads", 2);
}

fn set(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    workload.op(Role::Limit, "store", limits::store);
    workload.op(Role::Ours, "sum of the living", ours::gauge);
    workload.op(Role::Peer, "prometheus", prometheus::gauge);
    workload.op(Role::Peer, "prometheus-client", prometheus_client::gauge);
    workload.op(Role::Peer, "metrics", metrics::gauge);
    workload.op(Role::Peer, "measured", measured::gauge);
    workload.op(Role::Peer, "metriken", metriken::gauge);
}
