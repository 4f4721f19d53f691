//! OTLP messages as the official Python messages read them.

use std::process::Command;

use serde_json::{Value, json};
use tachograph::{Buckets, GaugeMode, SegmentOptions, SpanContext, Unit};
use tachograph_tests::eventually;
use tachograph_tests::pusher::Pusher;
use tachograph_tests::receiver::{Received, Receiver, Reply};
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server::{python, run};
use tachograph_tests::worker::PATIENCE;

/// Its ids are in base64 where the messages are shown as JSON.
const SPAN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn decode(request: &Received) -> Value {
    let mut command = Command::new(python());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/otlp.py"));
    let output = run(command, &request.body);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The metric of that name, by what it is a message of.
fn metric<'a>(message: &'a Value, name: &str) -> &'a Value {
    let metrics = &message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    let mut metrics = metrics.as_array().unwrap().iter();
    metrics
        .find(|it| it["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {message:#}"))
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn fill(scratch: &Scratch) -> tachograph::Writer {
    let writer = SegmentOptions::new().path(scratch.segment()).attach();
    let writer = writer.unwrap();
    let sent = writer
        .counter("sent_bytes_total", "Bytes")
        .unit(Unit::BYTES);
    let sent = sent.label("tenant", "a \"b\"").register().unwrap();
    sent.add(7);
    let depth = writer.gauge("depth", "Depth").mode(GaugeMode::Max);
    depth.register().unwrap().set(-3);
    let waits = writer.histogram("wait_seconds", "Waits");
    let waits = waits.unit(Unit::NANOSECONDS).exemplars();
    let waits = waits.register().unwrap();
    let span = SpanContext::from_traceparent(SPAN).unwrap();
    waits.record_with_exemplar(1_000_000, &span);
    for millis in 2..=1000 {
        waits.record(millis * 1_000_000);
    }
    waits.record(0);
    let explicit = Buckets::explicit_in(&Unit::NANOSECONDS, &[0.005, 0.25, 1.0]).unwrap();
    let reads = writer.histogram("read_seconds", "Reads").buckets(explicit);
    let reads = reads.unit(Unit::NANOSECONDS).register().unwrap();
    for millis in [4, 200, 5000, 6000] {
        reads.record(millis * 1_000_000);
    }
    writer
}

/// How many values are at most `bound` by the buckets of an exponential histogram.
fn below(point: &Value, bound: f64) -> f64 {
    let scale = point["scale"].as_f64().unwrap_or(0.0);
    let base = 2f64.powf(2f64.powf(-scale));
    let offset = point["positive"]["offset"].as_f64().unwrap_or(0.0);
    let counts = point["positive"]["bucketCounts"].as_array().unwrap();
    let mut upper = base.powf(offset);
    let mut sum = number(&point["zeroCount"]) as f64;
    for count in counts {
        upper *= base;
        if upper <= bound {
            sum += number(count) as f64;
        }
    }
    sum
}

#[test]
fn python_reads_what_is_pushed() {
    let scratch = Scratch::new();
    let _writer = fill(&scratch);
    let receiver = Receiver::start(|_| Reply::status(200));
    let config = format!(
        "[[push.otlp]]\nurl = \"http://{}/v1/metrics\"\ninterval = \"0.2s\"\n\
         labels = {{ \"service.name\" = \"shop\", \"host.name\" = \"\" }}\n",
        receiver.address
    );
    let _pusher = Pusher::start(&scratch.segment(), &config);
    eventually("two have come", PATIENCE, || receiver.count() > 1);
    let received = receiver.received();
    let (first, second) = (decode(&received[0]), decode(&received[1]));

    let attributes = first["resourceMetrics"][0]["resource"]["attributes"].as_array();
    let attributes = attributes.unwrap();
    assert!(attributes.contains(&text("service.name", "shop")));
    assert!(
        attributes
            .iter()
            .any(|it| it["key"] == "service.instance.id")
    );
    assert!(!attributes.iter().any(|it| it["key"] == "host.name"));

    let sent = metric(&first, "sent_bytes_total");
    assert_eq!(
        (&sent["unit"], &sent["description"]),
        (&json!("By"), &json!("Bytes"))
    );
    let cumulative = json!("AGGREGATION_TEMPORALITY_CUMULATIVE");
    assert_eq!(sent["sum"]["aggregationTemporality"], cumulative);
    assert_eq!(sent["sum"]["isMonotonic"], true);
    let point = &sent["sum"]["dataPoints"][0];
    assert_eq!(point["asDouble"], 7.0);
    assert_eq!(point["attributes"], json!([text("tenant", "a \"b\"")]));
    let (start, time) = (
        number(&point["startTimeUnixNano"]),
        number(&point["timeUnixNano"]),
    );
    assert!(0 < start && start <= time, "{point}");
    let later = &metric(&second, "sent_bytes_total")["sum"]["dataPoints"][0];
    assert_eq!(number(&later["startTimeUnixNano"]), start);
    assert!(number(&later["timeUnixNano"]) > time);

    assert_eq!(
        metric(&first, "depth")["gauge"]["dataPoints"][0]["asDouble"],
        -3.0
    );

    let reads = metric(&first, "read_seconds");
    assert_eq!(
        (
            &reads["unit"],
            &reads["histogram"]["aggregationTemporality"]
        ),
        (&json!("s"), &cumulative)
    );
    let point = &reads["histogram"]["dataPoints"][0];
    assert_eq!(point["explicitBounds"], json!([0.005, 0.25, 1.0]));
    assert_eq!(point["bucketCounts"], json!(["1", "1", "0", "2"]));
    assert_eq!(
        (&point["count"], &point["sum"]),
        (&json!("4"), &json!(11.204))
    );

    let waits = metric(&first, "wait_seconds");
    check_exponential(&waits["exponentialHistogram"]["dataPoints"][0]);
}

fn check_exponential(point: &Value) {
    assert_eq!(
        (&point["count"], &point["zeroCount"]),
        (&json!("1001"), &json!("1"))
    );
    assert_eq!((&point["sum"], &point["scale"]), (&json!(500.5), &json!(4)));
    let exemplar = &point["exemplars"][0];
    assert_eq!(
        (&exemplar["traceId"], &exemplar["spanId"]),
        (&json!("S/kvNXezTaajzpKdDg5HNg=="), &json!("APBnqgupArc="))
    );
    assert_eq!(exemplar["asDouble"], 0.001);
    // All are below two seconds; half of them below half a second, to a bucket.
    assert_eq!(below(point, 2.0), 1001.0);
    let half = below(point, 0.5);
    assert!((478.0..=502.0).contains(&half), "{half}");
}

#[test]
fn another_segment_is_another_start_and_what_is_gone_says_so() {
    let scratch = Scratch::new();
    let _writer = fill(&scratch);
    let receiver = Receiver::start(|_| Reply::status(200));
    let config = format!(
        "[[push.otlp]]\nurl = \"http://{}\"\ninterval = \"0.1s\"\nnative_histograms = false\n",
        receiver.address
    );
    let _pusher = Pusher::start(&scratch.segment(), &config);
    eventually("one has come", PATIENCE, || receiver.count() > 0);
    let first = decode(&receiver.received()[0]);
    std::fs::remove_file(scratch.segment()).unwrap();
    let has_gone = |message: &Value| {
        let metrics = &message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        let metrics = metrics.as_array().unwrap();
        let sent = metrics.iter().find(|it| it["name"] == "sent_bytes_total");
        sent.is_some_and(|it| it["sum"]["dataPoints"][0]["flags"] == 1)
    };
    let mut seen = 0;
    eventually("it says that the series is gone", PATIENCE, || {
        let received = receiver.received();
        let found = received[seen..].iter().any(|it| {
            let message = decode(it);
            if !has_gone(&message) {
                return false;
            }
            let waits = &metric(&message, "wait_seconds")["histogram"]["dataPoints"][0];
            assert_eq!((&waits["flags"], waits.get("count")), (&json!(1), None));
            let sent = &metric(&message, "sent_bytes_total")["sum"]["dataPoints"][0];
            assert_eq!(sent.get("asDouble"), None);
            true
        });
        seen = received.len();
        found
    });
    let _writer = fill(&scratch);
    let start = |message: &Value| {
        let sent = metric(message, "sent_bytes_total");
        number(&sent["sum"]["dataPoints"][0]["startTimeUnixNano"])
    };
    let before = start(&first);
    eventually("the new series is there", PATIENCE, || {
        let received = receiver.received();
        let latest = decode(received.last().unwrap());
        latest.to_string().contains("sent_bytes_total") && start(&latest) > before
    });
}
