//! Exemplars as a program leaves them and a reader finds them.

use std::time::Duration;

use tachograph::{
    Buckets, Counter, CounterF64, Dense, Exemplar, Histogram, LabelSet, Labelled, Metrics, Number,
    Reader, SegmentOptions, Snapshot, SpanContext, SpanId, TraceId, Traced, Unit, Writer,
};

/// A span whose ids tell its number.
fn span(number: u8) -> SpanContext {
    let trace = TraceId::try_from([number; 16]).unwrap();
    SpanContext::new(trace, SpanId::try_from([number; 8]).unwrap())
}

fn heap() -> Writer {
    SegmentOptions::new().heap().unwrap()
}

fn shown(snapshot: &Snapshot, name: &str, labels: &[(&str, &str)]) -> Vec<Exemplar> {
    let series = snapshot.series(name, labels).expect("a series");
    series.exemplars().copied().collect()
}

/// Values and the numbers of their spans.
fn told(snapshot: &Snapshot, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, u8)> {
    let exemplars = shown(snapshot, name, labels).into_iter();
    let told = exemplars.map(|exemplar| {
        let number = exemplar.trace_id.to_bytes()[0];
        assert_eq!(exemplar.trace_id, span(number).trace_id());
        assert_eq!(exemplar.span_id, span(number).span_id());
        (exemplar.value.as_f64(), number)
    });
    told.collect()
}

/// How many exemplars are taken from the table.
fn used(snapshot: &Snapshot) -> u64 {
    let mut tables = snapshot.segment.tables.iter();
    tables
        .find(|table| table.table == "exemplars")
        .unwrap()
        .used
}

#[test]
fn slow_and_fast_requests_both_have_one() {
    let writer = heap();
    let waits = writer
        .histogram("wait_seconds", "h")
        .unit(Unit::NANOSECONDS);
    let waits = waits.exemplars().register().unwrap();
    waits.record_with_exemplar(20_000, &span(1));
    waits.record_duration_with_exemplar(Duration::from_millis(3), &span(2));
    waits.record_f64_with_exemplar(60.0, &span(3));
    // Just after the first, and in its part of the buckets.
    waits.record_with_exemplar(20_001, &span(4));
    waits.record_f64_with_exemplar(f64::NAN, &span(5));
    waits.record(1);
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(
        told(&snapshot, "wait_seconds", &[]),
        [(20_000.0, 1), (3e6, 2), (60e9, 3)]
    );
    let now = snapshot.time_unix_nanos;
    for exemplar in shown(&snapshot, "wait_seconds", &[]) {
        assert!(now.abs_diff(exemplar.time_unix_nanos) < 60_000_000_000);
    }
}

#[test]
fn every_explicit_bucket_has_one() {
    let writer = heap();
    let sizes = writer.histogram("sizes", "h").exemplars();
    let buckets = Buckets::explicit([10, 20, 30]).unwrap();
    let sizes = sizes.buckets(buckets).register().unwrap();
    for (number, value) in (1..).zip([10, 11, 30, 31]) {
        sizes.record_with_exemplar(value, &span(number));
    }
    let expected = [(10.0, 1), (11.0, 2), (30.0, 3), (31.0, 4)];
    assert_eq!(told(&writer.snapshot().unwrap(), "sizes", &[]), expected);
}

#[test]
fn counters_keep_the_last_one() {
    let writer = heap();
    let sent = writer
        .counter("sent_total", "h")
        .exemplars()
        .register()
        .unwrap();
    let energy = writer.counter_f64("spent_total", "h").exemplars();
    let energy = energy.register().unwrap();
    sent.add_with_exemplar(512, &span(1));
    energy.add_with_exemplar(-1.0, &span(1));
    energy.add_with_exemplar(0.5, &span(2));
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(told(&snapshot, "sent_total", &[]), [(512.0, 1)]);
    assert_eq!(told(&snapshot, "spent_total", &[]), [(0.5, 2)]);
    assert_eq!(snapshot.number("spent_total", &[]), 0.5);
    // A later one takes its place.
    std::thread::sleep(Duration::from_millis(150));
    sent.add_with_exemplar(1, &span(3));
    let exemplars = shown(&writer.snapshot().unwrap(), "sent_total", &[]);
    assert_eq!(exemplars[0].value, Number::Unsigned(1));
}

#[test]
fn a_span_that_nobody_keeps_leaves_none() {
    let writer = heap();
    let sent = writer
        .counter("sent_total", "h")
        .exemplars()
        .register()
        .unwrap();
    let header = format!("00-{}-{}-00", span(1).trace_id(), span(1).span_id());
    sent.add_with_exemplar(1, &SpanContext::from_traceparent(&header).unwrap());
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(told(&snapshot, "sent_total", &[]), []);
    assert_eq!(snapshot.number("sent_total", &[]), 1.0);
}

#[test]
fn the_first_registration_decides() {
    let writer = heap();
    let plain = writer.counter("sent_total", "h").register().unwrap();
    let traced = writer
        .counter("sent_total", "h")
        .exemplars()
        .register()
        .unwrap();
    plain.inc();
    traced.add_with_exemplar(1, &span(1));
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(told(&snapshot, "sent_total", &[]), []);
    assert_eq!(snapshot.number("sent_total", &[]), 2.0);
    assert_eq!(used(&snapshot), 1, "the one that stands for none");
}

#[test]
fn a_full_table_costs_exemplars_only() {
    let writer = SegmentOptions::new().exemplars(3).heap().unwrap();
    let family = writer
        .counter("sent_total", "h")
        .exemplars()
        .family()
        .unwrap();
    for who in ["a", "b", "c"] {
        let sent = family.with(&[("who", who)]).unwrap();
        sent.add_with_exemplar(1, &span(1));
    }
    let snapshot = writer.snapshot().unwrap();
    let counts = ["a", "b", "c"].map(|who| told(&snapshot, "sent_total", &[("who", who)]).len());
    assert_eq!(counts, [1, 1, 0]);
    assert_eq!(snapshot.number("sent_total", &[("who", "c")]), 1.0);
    assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
    assert!(snapshot.losses.iter().all(|(_, count)| count == 0));
}

/// What a removed series kept never shows in the one that has its memory, nor does memory grow.
#[test]
fn a_successor_begins_without() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("a.seg");
    let writer = SegmentOptions::new().path(&path).attach().unwrap();
    let family = writer
        .histogram("wait_seconds", "h")
        .unit(Unit::NANOSECONDS);
    let family = family.exemplars().family().unwrap();
    let mut reader = Reader::attach(&path).unwrap();
    let mut room = 0;
    for turn in 0..20 {
        let labels = [("turn", turn.to_string())];
        let labels = [("turn", labels[0].1.as_str())];
        let lease = family.lease(&labels).unwrap();
        let snapshot = reader.snapshot().unwrap();
        assert_eq!(told(&snapshot, "wait_seconds", &labels), [], "turn {turn}");
        for value in [10, 1_000_000, 1_000_000_000] {
            lease.record_with_exemplar(value, &span(turn + 1));
        }
        let snapshot = reader.snapshot().unwrap();
        let numbers = told(&snapshot, "wait_seconds", &labels).into_iter();
        assert_eq!(numbers.map(|it| it.1).collect::<Vec<_>>(), [turn + 1; 3]);
        if turn > 0 {
            assert_eq!(used(&snapshot), room);
        }
        room = used(&snapshot);
        drop(lease);
        assert!(family.remove(&labels).unwrap());
        assert!(
            reader
                .snapshot()
                .unwrap()
                .series("wait_seconds", &labels)
                .is_none()
        );
    }
    assert_eq!(reader.snapshot().unwrap().removals.reclaimed, 20);
    // A family of the same cells without exemplars does not get these.
    let plain = writer
        .histogram("plain_seconds", "h")
        .unit(Unit::NANOSECONDS);
    plain.register().unwrap().record(1);
    let snapshot = reader.snapshot().unwrap();
    assert_eq!(told(&snapshot, "plain_seconds", &[]), []);
    assert_eq!(snapshot.removals.removed, 20);
}

#[test]
fn idle_series_go_with_their_exemplars() {
    let writer = heap();
    let family = writer
        .counter("sent_total", "h")
        .keep_for(Duration::from_nanos(1));
    let family = family.exemplars().family().unwrap();
    let lease = family.lease(&[("who", "a")]).unwrap();
    lease.add_with_exemplar(1, &span(1));
    drop(lease);
    writer.sweep().unwrap();
    writer.sweep().unwrap();
    let lease = family.lease(&[("who", "b")]).unwrap();
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(snapshot.series_count(), 1);
    assert_eq!(told(&snapshot, "sent_total", &[("who", "b")]), []);
    drop(lease);
}

#[derive(Clone, Copy, LabelSet)]
struct Cached {
    cached: bool,
}

#[derive(LabelSet)]
struct Path<'a> {
    path: &'a str,
}

#[derive(Metrics)]
struct Declared {
    /// Requests.
    requests_total: Dense<Traced<Counter>, Cached>,
    /// Energy.
    spent_total: Traced<CounterF64>,
    /// Durations.
    #[metric(unit = nanoseconds, buckets = [1_000, 1_000_000])]
    request_seconds: Labelled<Traced<Histogram>, Path<'static>>,
}

#[test]
fn declared_handles_keep_exemplars() {
    let (declared, test) = Declared::for_test();
    let cached = declared.requests_total.get(Cached { cached: true });
    cached.add_with_exemplar(2, &span(1));
    cached.inc();
    declared.spent_total.add_with_exemplar(0.25, &span(2));
    let requests = declared.request_seconds.with(&Path { path: "/cart" });
    requests.record_with_exemplar(2_000_000, &span(3));
    drop(requests.start());
    let snapshot = test.snapshot();
    assert_eq!(
        told(&snapshot, "requests_total", &[("cached", "true")]),
        [(2.0, 1)]
    );
    assert_eq!(told(&snapshot, "spent_total", &[]), [(0.25, 2)]);
    assert_eq!(
        told(&snapshot, "request_seconds", &[("path", "/cart")]),
        [(2e6, 3)]
    );
    assert_eq!(test.count("request_seconds", &[("path", "/cart")]), Some(2));
}

/// Handles that were never registered, and those of a series without cells, take exemplars and keep none.
#[test]
fn a_handle_without_a_series_takes_any() {
    Traced::<Counter>::default().add_with_exemplar(1, &span(1));
    Traced::<Histogram>::default().record_with_exemplar(1, &span(1));
    let writer = SegmentOptions::new().series(1).families(1).heap().unwrap();
    writer.counter("a_total", "h").register().unwrap();
    let sink = writer
        .counter("b_total", "h")
        .exemplars()
        .register()
        .unwrap();
    sink.add_with_exemplar(1, &span(1));
    assert_eq!(
        writer
            .snapshot()
            .unwrap()
            .losses
            .iter()
            .map(|it| it.1)
            .max(),
        Some(1)
    );
}
