//! An add to a counter: by its handle, to one of 16 series by handle, and to one found by its labels.

use criterion::Criterion;
use tachograph_benches::peers::{measured, metrics, metriken, prometheus, prometheus_client};
use tachograph_benches::{Role, Workload, limits, ours};

pub(super) fn run(criterion: &mut Criterion) {
    by_handle(criterion, "counter add, 1 thread", 1);
    by_handle(criterion, "counter add, 2 threads, one series", 2);
    of_sixteen(criterion, "counter add, random of 16 series, 1 thread", 1);
    of_sixteen(criterion, "counter add, random of 16 series, 2 threads", 2);
    by_labels(
        criterion,
        "counter add by label strings, 16 series, 1 thread",
        1,
    );
    by_labels(
        criterion,
        "counter add by label strings, 16 series, 2 threads",
        2,
    );
    by_enums(
        criterion,
        "counter add by label enums, 16 series, 1 thread",
        1,
    );
    by_enums(
        criterion,
        "counter add by label enums, 16 series, 2 threads",
        2,
    );
    by_pairs(
        criterion,
        "counter add by label pairs, 16 series, 1 thread",
        1,
    );
    by_pairs(
        criterion,
        "counter add by label pairs, 16 series, 2 threads",
        2,
    );
}

/// What is known when the program is built needs no look-up.
fn by_enums(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    if let Some(cells) = limits::PerCpu::new() {
        workload.op(Role::Limit, "bare rseq add", || cells.add_one_of_16());
    }
    workload.op(Role::Ours, "Dense", ours::counters_by_enums);
    workload.op(
        Role::Reference,
        "Labelled, the same enums",
        ours::counters_by_labelled_enums,
    );
    workload.op(
        Role::Peer,
        "measured enum labels",
        measured::counters_by_enum,
    );
}

/// Names and values given with every add.
fn by_pairs(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    workload.op(Role::Ours, "FamilyHandle::with", ours::counters_by_pairs);
    workload.op(Role::Peer, "metrics", metrics::counters_by_labels);
    workload.op(
        Role::Peer,
        "prometheus-client",
        prometheus_client::counters_by_labels,
    );
}

fn by_handle(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    if let Some(cells) = limits::PerCpu::new() {
        workload.op(Role::Limit, "bare rseq add", || cells.add_one());
    }
    workload.lone_op(Role::Reference, "plain add", limits::plain_add);
    workload.op(Role::Reference, "fetch_add", limits::fetch_add);
    workload.op(Role::Ours, "handle", ours::counter);
    workload.op(Role::Peer, "prometheus", prometheus::counter);
    workload.op(Role::Peer, "prometheus-client", prometheus_client::counter);
    workload.op(Role::Peer, "metrics", metrics::counter);
    workload.op(Role::Peer, "measured", measured::counter);
    workload.op(Role::Peer, "metriken", metriken::counter);
    workload.op(Role::Peer, "metriken sharded", metriken::sharded_counter);
}

fn of_sixteen(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    if let Some(cells) = limits::PerCpu::new() {
        workload.op(Role::Limit, "bare rseq add", || cells.add_one_of_16());
    }
    workload.op(Role::Reference, "fetch_add", limits::fetch_add_16);
    workload.op(Role::Ours, "handles", ours::counters_by_handle);
    workload.op(
        Role::Peer,
        "prometheus handles",
        prometheus::counters_by_handle,
    );
    workload.op(
        Role::Peer,
        "prometheus-client handles",
        prometheus_client::counters_by_handle,
    );
    workload.op(Role::Peer, "metrics handles", metrics::counters_by_handle);
    workload.op(
        Role::Peer,
        "measured label ids",
        measured::counters_by_handle,
    );
    workload.op(
        Role::Peer,
        "measured enum labels",
        measured::counters_by_enum,
    );
    workload.op(
        Role::Peer,
        "metriken sharded group",
        metriken::sharded_counters_by_index,
    );
}

fn by_labels(criterion: &mut Criterion, name: &str, threads: usize) {
    let mut workload = Workload::new(criterion, name, threads);
    if let Some(cells) = limits::PerCpu::new() {
        workload.op(Role::Limit, "table of short strings + rseq", || {
            cells.add_by_labels()
        });
    }
    workload.op(Role::Ours, "Labelled", ours::counters_by_labels);
    workload.op(Role::Peer, "prometheus", prometheus::counters_by_labels);
    workload.op(
        Role::Peer,
        "prometheus-client",
        prometheus_client::counters_by_labels,
    );
    workload.op(Role::Peer, "metrics", metrics::counters_by_labels);
    workload.op(
        Role::Peer,
        "measured, known strings",
        measured::counters_by_labels,
    );
}
