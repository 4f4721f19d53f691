//! The protobuf page, decoded by prost.

mod messages;

use messages::{Exemplar, Family, Metric};
use tachograph::{Buckets, GaugeMode, SegmentOptions, SpanContext, SpanId, TraceId, Unit, Writer};
use tachograph_exporter::protobuf::ProtobufRenderer;
use tachograph_exporter::{Escaping, Wanted};

fn writer() -> Writer {
    SegmentOptions::new().series(100).heap().unwrap()
}

fn families(writer: &Writer) -> Vec<Family> {
    let snapshot = writer.snapshot().unwrap();
    let mut page = b"an earlier page".to_vec();
    ProtobufRenderer::default().render_over(
        &[(Some("s"), &snapshot)],
        Escaping::default(),
        &Wanted::default(),
        &mut page,
    );
    messages::families(&page)
}

fn labels(metric: &Metric) -> Vec<(&str, &str)> {
    let labels = metric.labels.iter();
    labels
        .map(|it| (it.name.as_str(), it.value.as_str()))
        .collect()
}

#[test]
fn numbers_infos_and_states() {
    let writer = writer();
    let sent = writer.counter("sent_bytes_total", "Sent").unit(Unit::BYTES);
    let sent = sent.label("to", "a\"b\n").register().unwrap();
    sent.add(300);
    let load = writer.gauge("load_ratio", "").unit(Unit::PERCENT);
    load.register().unwrap().set(-50);
    let unset = writer.gauge("unset", "").mode(GaugeMode::Latest);
    unset.register().unwrap();
    let depth = writer.gauge("depth", "").mode(GaugeMode::Each);
    depth.register().unwrap().set(3);
    writer.info("host", "").register().unwrap();
    let mode = writer.state_set("mode", "", &["idle", "busy"]);
    let mode = mode.mode(GaugeMode::LastingLatest).register().unwrap();
    mode.set(1);
    let families = families(&writer);
    let names: Vec<&str> = families.iter().map(|it| it.name.as_str()).collect();
    let expected = [
        "depth",
        "host_info",
        "load_ratio",
        "mode",
        "sent_bytes_total",
    ];
    assert_eq!(names, expected);
    let [depth, host, load, mode, sent] = &families[..] else {
        panic!("{families:?}");
    };
    let gauge = |metric: &Metric| metric.gauge.as_ref().unwrap().value;
    let pid = std::process::id().to_string();
    assert_eq!(
        labels(&depth.metrics[0]),
        [("segment", "s"), ("pid", &*pid), ("slot", "0")]
    );
    assert_eq!(gauge(&depth.metrics[0]), 3.0);
    assert_eq!((host.kind, gauge(&host.metrics[0])), (1, 1.0));
    assert_eq!((&*load.unit, gauge(&load.metrics[0])), ("ratio", -0.5));
    let states: Vec<_> = mode
        .metrics
        .iter()
        .map(|it| (labels(it)[1], gauge(it)))
        .collect();
    assert_eq!(states, [(("mode", "idle"), 0.0), (("mode", "busy"), 1.0)]);
    assert_eq!((sent.kind, &*sent.help, &*sent.unit), (0, "Sent", "bytes"));
    assert_eq!(
        labels(&sent.metrics[0]),
        [("segment", "s"), ("to", "a\"b\n")]
    );
    let counter = sent.metrics[0].counter.as_ref().unwrap();
    assert_eq!(counter.value, 300.0);
    let snapshot = writer.snapshot().unwrap();
    let family = snapshot.family("sent_bytes_total").unwrap().family;
    let created = family.series[0].created_unix_nanos;
    let start = counter.start.as_ref().unwrap();
    let nanos = i128::from(start.seconds) * 1_000_000_000 + i128::from(start.nanos);
    assert_eq!(nanos, i128::from(created));
}

#[test]
fn histograms() {
    let writer = writer();
    let time = writer.histogram("time_seconds", "").unit(Unit::NANOSECONDS);
    let time = time.register().unwrap();
    for nanos in [0, 1_000_000, 1_000_000, 3_000_000_000] {
        time.record(nanos);
    }
    let bounds = writer
        .histogram("bounds", "")
        .buckets(Buckets::explicit([1, 5]).unwrap());
    let bounds = bounds.register().unwrap();
    for value in [1, 4, 9] {
        bounds.record(value);
    }
    let families = families(&writer);
    assert_eq!(
        families.iter().map(|it| it.kind).collect::<Vec<_>>(),
        [4, 4]
    );
    let histogram = |at: usize| families[at].metrics[0].histogram.clone().unwrap();
    let explicit = histogram(0);
    let buckets = explicit.buckets.iter();
    let buckets: Vec<_> = buckets
        .map(|it| (it.upper_bound, it.cumulative_count))
        .collect();
    assert_eq!(buckets, [(1.0, 1), (5.0, 2), (f64::INFINITY, 3)]);
    assert_eq!((explicit.count, explicit.sum), (3, 14.0));
    assert_eq!((explicit.schema, explicit.spans.len()), (None, 0));
    assert!(explicit.start.is_some());

    let native = histogram(1);
    assert_eq!((native.count, native.sum), (4, 3.002));
    assert_eq!(native.buckets.last().unwrap().cumulative_count, 4);
    assert_eq!((native.schema, native.zero_count), (Some(4), 1));
    assert_eq!(native.zero_threshold.log2(), -128.0);
    // Buckets end with 2^(i/16): 1 ms is 16 × log₂ 0.001 = -159.45, 3 s is 25.36.
    assert_eq!(native.spans.len(), 2);
    assert_eq!((native.spans[0].offset, native.spans[0].length), (-159, 1));
    assert_eq!(
        (native.spans[1].offset, native.spans[1].length),
        (26 + 158, 1)
    );
    assert_eq!(native.deltas, [2, -1]);
}

#[test]
fn exemplars() {
    let writer = writer();
    let trace = TraceId::try_from([0xab; 16]).unwrap();
    let span = SpanContext::new(trace, SpanId::try_from([0xcd; 8]).unwrap());
    let time = writer.histogram("time_seconds", "").unit(Unit::NANOSECONDS);
    let time = time.exemplars().register().unwrap();
    let bounds = writer.histogram("bounds", "").exemplars();
    let bounds = bounds.buckets(Buckets::explicit([1, 5]).unwrap());
    let bounds = bounds.register().unwrap();
    for value in [1, 5, 3_000_000_000] {
        time.record_with_exemplar(value, &span);
        bounds.record_with_exemplar(value, &span);
    }
    let sent = writer.counter("sent_total", "").exemplars().register();
    sent.unwrap().add_with_exemplar(3, &span);
    let families = families(&writer);
    let check = |exemplar: &Exemplar, value: f64| {
        let (trace, span) = ("ab".repeat(16), "cd".repeat(8));
        let labels = exemplar.labels.iter().map(|it| (&*it.name, &*it.value));
        let expected = [("trace_id", &*trace), ("span_id", &*span)];
        assert_eq!(labels.collect::<Vec<_>>(), expected);
        assert_eq!(exemplar.value, value);
        assert!(exemplar.time.as_ref().unwrap().seconds > 1_600_000_000);
    };
    let histogram = |at: usize| families[at].metrics[0].histogram.clone().unwrap();
    let explicit = histogram(0);
    for (bucket, value) in explicit.buckets.iter().zip([1.0, 5.0, 3e9]) {
        check(bucket.exemplar.as_ref().unwrap(), value);
    }
    assert_eq!(explicit.exemplars, []);
    let native = histogram(2);
    assert_eq!(families[2].name, "time_seconds");
    assert_eq!(native.exemplars.len(), 2);
    check(&native.exemplars[0], 1e-9);
    check(&native.exemplars[1], 3.0);
    for bucket in native.buckets {
        if let Some(exemplar) = bucket.exemplar {
            assert!(exemplar.value <= bucket.upper_bound);
        }
    }
    let counter = families[1].metrics[0].counter.clone().unwrap();
    check(&counter.exemplar.unwrap(), 3.0);
}
