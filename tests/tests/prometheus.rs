//! A real Prometheus server ends up with exactly what the segment shows, although processes were killed.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tachograph::{Reader, SegmentOptions, SpanContext, SpanId, TraceId, Unit};
use tachograph_tests::ack::AckFile;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server::Server;
use tachograph_tests::verdict::{Shown, counter_value};
use tachograph_tests::worker::{PATIENCE, Worker};
use tachograph_tests::{eventually, http, long, update};

const WRITER: &str = env!("CARGO_BIN_EXE_writer");
const PROCESSES: usize = 3;
const THREADS: usize = 2;

/// The only value that a query gives; `None` while there is none.
fn query(prometheus: SocketAddr, query: &str) -> Option<f64> {
    let target = format!("/api/v1/query?query={}", http::percent_encoded(query));
    let answer = http::get(prometheus, &target, "application/json").ok()?;
    let json: Value = serde_json::from_str(&answer.body).ok()?;
    let result = json["data"]["result"].as_array()?;
    assert!(result.len() <= 1, "{query}: {json}");
    result.first()?["value"][1].as_str()?.parse().ok()
}

/// What Prometheus keeps of a family's header: its type and unit.
fn declared(prometheus: SocketAddr, family: &str) -> Option<(String, String)> {
    let target = format!("/api/v1/metadata?metric={family}");
    let answer = http::get(prometheus, &target, "application/json").ok()?;
    let json: Value = serde_json::from_str(&answer.body).ok()?;
    let text = |field: &str| Some(json["data"][family][0][field].as_str()?.to_owned());
    Some((text("type")?, text("unit")?))
}

fn start(scratch: &Scratch, process: usize) -> Worker {
    let mut arguments = vec![
        "count".into(),
        "--acks".into(),
        scratch.acks().into_os_string(),
    ];
    arguments.push(format!("--threads={THREADS}").into());
    arguments.push(format!("--first={}", process * THREADS).into());
    let mut worker = Worker::start(WRITER, &scratch.segment(), &[], arguments);
    worker.close_input();
    worker
}

/// Kills and restarts processes for a while; at the end all have stopped by themselves.
fn storm(scratch: &Scratch) {
    let acks = AckFile::create(&scratch.acks(), PROCESSES * THREADS).unwrap();
    let mut workers: Vec<Worker> = (0..PROCESSES).map(|at| start(scratch, at)).collect();
    for _ in 0..if long() { 120 } else { 16 } {
        thread::sleep(Duration::from_millis(500));
        let at = fastrand::usize(..PROCESSES);
        workers.push(start(scratch, at));
        workers.swap_remove(at).kill();
    }
    acks.stop();
    workers
        .into_iter()
        .for_each(|worker| worker.finish(PATIENCE));
}

#[test]
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has floats; the sums stay below 2^53"
)]
fn prometheus_shows_the_final_sums() {
    let scratch = Scratch::new();
    SegmentOptions::new()
        .path(scratch.segment())
        .attach()
        .unwrap();
    let exporter = Server::exporter(&scratch.segment());
    let folder = scratch.path("prometheus");
    std::fs::create_dir(&folder).unwrap();
    let prometheus = Server::prometheus(exporter.address, &folder);
    let ask = |text: &str| query(prometheus.address, text);
    eventually("Prometheus has scraped", PATIENCE, || {
        ask("up") == Some(1.0)
    });

    storm(&scratch);

    let snapshot = Reader::attach(scratch.segment())
        .unwrap()
        .snapshot()
        .unwrap();
    let counter = counter_value(&snapshot, update::SHARED_COUNTER, &[]);
    let shared = Shown::shared(&snapshot);
    let count: u64 = shared.counts.iter().sum();
    assert!(counter > 1_000 && counter < 1 << 53, "{counter} updates");
    let finals = [
        (update::SHARED_COUNTER.to_owned(), counter as f64),
        (format!("{}_count", update::SHARED_HISTOGRAM), count as f64),
        (
            format!("{}_bucket{{le=\"+Inf\"}}", update::SHARED_HISTOGRAM),
            count as f64,
        ),
        (
            format!("sum({})", update::OWN_COUNTER),
            own_sum(&snapshot) as f64,
        ),
    ];
    for (text, expected) in &finals {
        let mut shown = None;
        eventually(&format!("{text} is {expected}"), PATIENCE, || {
            shown = ask(text);
            shown == Some(*expected)
        });
    }
    // In all the time it saw no value fall, and no scrape failed.
    for name in [update::SHARED_COUNTER, update::OWN_COUNTER] {
        assert_eq!(
            ask(&format!("max(resets({name}[10m]))")),
            Some(0.0),
            "{name}"
        );
    }
    assert_eq!(ask("min_over_time(up[10m])"), Some(1.0));
    assert!(ask("count_over_time(up[10m])").unwrap() >= 5.0);
    // It asked for OpenMetrics and got it: the text format has no units.
    let own = "tachograph_exporter_scrape_duration_seconds";
    let seconds = ("gauge".to_owned(), "seconds".to_owned());
    assert_eq!(declared(prometheus.address, own), Some(seconds));
    // A control: the question tells one sum from the next.
    assert_ne!(
        ask(&format!("{} + 1", update::SHARED_COUNTER)),
        Some(counter as f64)
    );
}

fn own_sum(snapshot: &tachograph::Snapshot) -> u64 {
    let threads = 0..PROCESSES * THREADS;
    threads
        .map(|thread| Shown::own(snapshot, thread).counter)
        .sum()
}

/// Asked to keep native histograms, Prometheus asks for protobuf.
#[test]
fn prometheus_reads_native_histograms() {
    let scratch = Scratch::new();
    let writer = SegmentOptions::new().path(scratch.segment()).attach();
    let writer = writer.unwrap();
    let waits = writer.histogram("wait_seconds", "Waits");
    let waits = waits.unit(Unit::NANOSECONDS).label("k", "a \"b\"");
    let waits = waits.register().unwrap();
    for millis in 1..=1000 {
        waits.record(millis * 1_000_000);
    }
    let jobs = writer.counter("jobs_total", "Jobs").register().unwrap();
    jobs.add(7);
    let exporter = Server::exporter(&scratch.segment());
    let folder = scratch.path("prometheus");
    std::fs::create_dir(&folder).unwrap();
    let native = ["--enable-feature=native-histograms"];
    let prometheus = Server::prometheus_with(&native, exporter.address, &folder);
    let ask = |text: &str| query(prometheus.address, text);
    eventually("Prometheus has scraped", PATIENCE, || {
        ask("histogram_count(wait_seconds{k='a \"b\"'})") == Some(1000.0)
    });
    assert_eq!(ask("histogram_sum(wait_seconds)"), Some(500.5));
    for (quantile, expected) in [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)] {
        let shown = ask(&format!("histogram_quantile({quantile}, wait_seconds)")).unwrap();
        // Buckets of schema 4 are 4.4 % wide.
        assert!(
            (shown / expected - 1.0).abs() < 0.045,
            "{quantile}: {shown}"
        );
    }
    assert_eq!(ask("jobs_total"), Some(7.0));
    assert_eq!(ask("tachograph_exporter_build_info"), Some(1.0));
    assert_eq!(ask("tachograph_segments"), Some(1.0));
    assert_eq!(ask("min_over_time(up[10m])"), Some(1.0));
}

/// The exemplars that a query gives: the name of their series, trace, span and value.
fn exemplars(prometheus: SocketAddr, query: &str) -> Vec<(String, String, String, f64)> {
    let query = http::percent_encoded(query);
    let target = format!("/api/v1/query_exemplars?query={query}&start=0&end=9000000000");
    let answer = http::get(prometheus, &target, "application/json").unwrap();
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for series in json["data"].as_array().into_iter().flatten() {
        let name = text(&series["seriesLabels"]["__name__"]);
        for exemplar in series["exemplars"].as_array().into_iter().flatten() {
            let labels = &exemplar["labels"];
            let (trace, span) = (text(&labels["trace_id"]), text(&labels["span_id"]));
            let value = text(&exemplar["value"]).parse().unwrap();
            found.push((name.clone(), trace, span, value));
        }
    }
    found
}

/// Prometheus answers the trace ids that were left, whether it asks for OpenMetrics or for protobuf.
#[test]
fn prometheus_keeps_exemplars() {
    let scratch = Scratch::new();
    let writer = SegmentOptions::new().path(scratch.segment()).attach();
    let writer = writer.unwrap();
    let waits = writer.histogram("wait_seconds", "Waits");
    let waits = waits.unit(Unit::NANOSECONDS).exemplars();
    let waits = waits.register().unwrap();
    let jobs = writer.counter("jobs_total", "Jobs").exemplars();
    let jobs = jobs.register().unwrap();
    let span = |number: u8| {
        let trace = TraceId::try_from([number; 16]).unwrap();
        SpanContext::new(trace, SpanId::try_from([number; 8]).unwrap())
    };
    let told = |name: &str, number: u8, value: f64| {
        let (trace, span) = (span(number).trace_id(), span(number).span_id());
        (name.to_owned(), trace.to_string(), span.to_string(), value)
    };
    waits.record_with_exemplar(2_000, &span(1));
    // A native histogram's exemplars are one series, of one exemplar a millisecond.
    thread::sleep(Duration::from_millis(50));
    waits.record_with_exemplar(3_000_000_000, &span(2));
    jobs.add_with_exemplar(5, &span(3));
    let exporter = Server::exporter(&scratch.segment());
    for is_native in [false, true] {
        let (feature, waits) = match is_native {
            false => ("exemplar-storage", "wait_seconds_bucket"),
            true => ("exemplar-storage,native-histograms", "wait_seconds"),
        };
        let folder = scratch.path(waits);
        std::fs::create_dir(&folder).unwrap();
        let feature = format!("--enable-feature={feature}");
        let prometheus = Server::prometheus_with(&[&feature], exporter.address, &folder);
        let ask = |text: &str| query(prometheus.address, text);
        eventually("Prometheus has scraped", PATIENCE, || {
            ask("jobs_total") == Some(5.0)
        });
        let jobs = exemplars(prometheus.address, "jobs_total");
        assert_eq!(jobs, [told("jobs_total", 3, 5.0)], "{feature}");
        let mut shown = exemplars(prometheus.address, waits);
        shown.sort_by(|a, b| a.3.total_cmp(&b.3));
        let mut expected = vec![told(waits, 1, 2e-6), told(waits, 2, 3.0)];
        if is_native {
            // Older versions take one of a native histogram.
            expected.retain(|exemplar| shown.contains(exemplar));
            assert!(!expected.is_empty(), "{shown:?}");
        }
        assert_eq!(shown, expected, "{feature}");
        // Nor did a later scrape of the same ones fail.
        eventually("Prometheus has scraped again", PATIENCE, || {
            ask("count_over_time(up[10m]) >= 3").is_some()
        });
        assert_eq!(ask("min_over_time(up[10m])"), Some(1.0), "{feature}");
        assert_eq!(exemplars(prometheus.address, "jobs_total").len(), 1);
    }
}

/// VictoriaMetrics asks for text and says that all is well also when it understood nothing.
#[test]
fn victoria_metrics_gives_the_values_back() {
    let scratch = Scratch::new();
    let writer = SegmentOptions::new().path(scratch.segment()).attach();
    let writer = writer.unwrap();
    let awkward = [
        r"back\slash",
        "a line\nend",
        "a \"quote\"",
        "ünï 花火",
        "}, {",
    ];
    let family = writer
        .counter("awkward_total", "A \\ and a \n")
        .family()
        .unwrap();
    for (count, value) in (1..).zip(awkward) {
        family.with(&[("value", value)]).unwrap().add(count);
    }
    writer.gauge("level", "").register().unwrap().set(-3);
    let tiny = writer.gauge_f64("tiny", "").register().unwrap();
    tiny.set(1e-300);
    let waits = writer.histogram("wait_seconds", "Waits");
    let waits = waits.unit(Unit::NANOSECONDS).register().unwrap();
    (1..=100u64).for_each(|millis| waits.record(millis * 1_000_000));
    let exporter = Server::exporter(&scratch.segment());
    let folder = scratch.path("victoria");
    std::fs::create_dir(&folder).unwrap();
    let victoria = Server::victoria_metrics_scraping(exporter.address, &folder);
    let ask = |text: &str| query(victoria.address, text);
    eventually("VictoriaMetrics has scraped", PATIENCE, || {
        ask("level") == Some(-3.0)
    });
    for (count, value) in (1u8..).zip(awkward) {
        let text = format!("awkward_total{{value={value:?}}}");
        eventually(&text, PATIENCE, || ask(&text) == Some(count.into()));
    }
    assert_eq!(ask("tiny"), Some(1e-300));
    assert_eq!(ask("wait_seconds_count"), Some(100.0));
    assert_eq!(ask("wait_seconds_sum"), Some(5.05));
    assert_eq!(ask("wait_seconds_bucket{le=\"+Inf\"}"), Some(100.0));
    assert_eq!(ask("tachograph_segments"), Some(1.0));
    // Every sample of the page arrived.
    let page = http::get(exporter.address, "/metrics", "").unwrap().body;
    let samples = page.lines().filter(|line| !line.starts_with('#')).count();
    let scraped = ask("scrape_samples_scraped").unwrap();
    assert_eq!(scraped.to_string(), samples.to_string());
    assert_eq!(ask("absent_metric"), None);
}
