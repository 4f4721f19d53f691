//! A scrape: the snapshot alone, and the snapshot with its text page. Every value changes between two scrapes.

use criterion::Criterion;
use tachograph_benches::peers::{measured, metrics, prometheus, prometheus_client};
use tachograph_benches::{Role, Workload, limits, ours};
use tachograph_exporter::text::TextRenderer;

/// Lines of a histogram of 12 bounds: those, `+Inf`, the sum and the count.
const HISTOGRAM_LINES: usize = 15;
/// Cells of it: the buckets and the sum.
const HISTOGRAM_CELLS: usize = 14;

pub(super) fn run(criterion: &mut Criterion) {
    for (series, size) in [(1_000, "1k"), (10_000, "10k"), (100_000, "100k")] {
        for cpus in [2, 256] {
            let of = format!("{size} counters, {cpus} CPUs");
            snapshot(criterion, &format!("snapshot, {of}"), series, cpus);
            counters_page(criterion, &format!("text page, {of}"), series, cpus);
        }
    }
    histograms_page(criterion, "text page, 1k histograms, 2 CPUs", 1_000, 2);
}

fn snapshot(criterion: &mut Criterion, name: &str, series: usize, cpus: u32) {
    let mut workload = Workload::bulk(criterion, name, series);
    workload.call(Role::Limit, "sum of the shards", || {
        limits::sum_shards(series, cpus as usize)
    });
    workload.prepared(Role::Ours, "snapshot", || {
        let mut many = ours::many_counters(series, cpus);
        let handles = many.handles.clone();
        (
            move || handles.iter().for_each(|counter| counter.inc()),
            move |()| many.snapshot(),
        )
    });
}

fn counters_page(criterion: &mut Criterion, name: &str, series: usize, cpus: u32) {
    let mut workload = Workload::bulk(criterion, name, series);
    workload.call(Role::Limit, "sum of the shards + copy", || {
        limits::sum_shards_and_copy(series, cpus as usize, prometheus::counters_page(series)())
    });
    workload.prepared(Role::Ours, "snapshot + render", || {
        let mut many = ours::many_counters(series, cpus);
        let handles = many.handles.clone();
        let mut text = TextRenderer::new();
        (
            move || handles.iter().for_each(|counter| counter.inc()),
            move |()| text.render(&[(None, &many.snapshot())]).len(),
        )
    });
    if cpus == 2 {
        workload.call(Role::Peer, "prometheus", || {
            prometheus::counters_page(series)
        });
        workload.call(Role::Peer, "prometheus-client", || {
            prometheus_client::counters_page(series)
        });
        workload.call(Role::Peer, "metrics", || metrics::counters_page(series));
        workload.call(Role::Peer, "measured", || measured::counters_page(series));
    }
}

fn histograms_page(criterion: &mut Criterion, name: &str, series: usize, cpus: u32) {
    let mut workload = Workload::bulk(criterion, name, series * HISTOGRAM_LINES);
    workload.call(Role::Limit, "sum of the shards + copy", || {
        let bytes = prometheus::histograms_page(series)();
        limits::sum_shards_and_copy(series * HISTOGRAM_CELLS, cpus as usize, bytes)
    });
    workload.prepared(Role::Ours, "snapshot + render", || {
        let mut many = ours::many_histograms(series, cpus);
        let handles = many.handles.clone();
        let mut text = TextRenderer::new();
        (
            move || handles.iter().for_each(|histogram| histogram.record(7_000)),
            move |()| text.render(&[(None, &many.snapshot())]).len(),
        )
    });
    workload.call(Role::Peer, "prometheus", || {
        prometheus::histograms_page(series)
    });
    workload.call(Role::Peer, "prometheus-client", || {
        prometheus_client::histograms_page(series)
    });
    workload.call(Role::Peer, "metrics", || metrics::histograms_page(series));
    workload.call(Role::Peer, "measured", || measured::histograms_page(series));
}
