//! The probe beside other programs: HdrHistogram's own reader of logs, and the exporter.

use std::process::Command;

use serde_json::Value;
use tachograph::{SegmentOptions, Unit, Writer};
use tachograph_tests::{http, scratch::Scratch, server};

const READ_LOG: &str = r#"
import json, sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 1 << 42, 2))
found = {}
while (histogram := reader.get_next_interval_histogram()):
    found[histogram.get_tag()] = [
        histogram.get_total_count(),
        *(histogram.get_value_at_percentile(p) for p in (50, 99, 100)),
    ]
print(json.dumps(found))
"#;

fn probe(scratch: &Scratch, arguments: &[&str]) -> Command {
    let mut probe = Command::new(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
    probe
        .arg("--segment")
        .arg(scratch.segment())
        .args(arguments);
    probe
}

fn told(command: Command, input: &str) -> String {
    let output = server::run(command, input);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn shop(scratch: &Scratch) -> Writer {
    let options = SegmentOptions::new().path(scratch.segment());
    let writer = options.attach().unwrap();
    let times = writer.histogram("shop_request_duration_seconds", "Time of a request");
    let times = times.unit(Unit::NANOSECONDS).family().unwrap();
    for (path, nanos) in [("/home", 2_000_000), ("/pay", 20_000_000)] {
        let series = times.with(&[("path", path)]).unwrap();
        series.record_n(nanos, 980);
        series.record_n(nanos * 50, 20);
    }
    let sold = writer
        .counter("shop_sold_total", "Things sold")
        .label("kind", "book");
    sold.register().unwrap().add(12);
    writer
}

#[test]
fn the_reader_of_hdrhistogram_reads_a_log() {
    let scratch = Scratch::new();
    let _writer = shop(&scratch);
    let log = scratch.path("shop.hlog");
    told(
        probe(&scratch, &["hist", "--hlog", log.to_str().unwrap()]),
        "",
    );
    let mut python = Command::new(server::python());
    python.args(["-c", READ_LOG]).arg(&log);
    let read: Value = serde_json::from_str(&told(python, "")).unwrap();
    assert_eq!(read.as_object().unwrap().len(), 2, "{read}");
    for (path, nanos) in [("/home", 2_000_000.0), ("/pay", 20_000_000.0)] {
        let found = &read[format!("shop_request_duration_seconds{{path=\"{path}\"}}")];
        assert_eq!(found[0], 1000, "{read}");
        for (at, wanted) in [(1, nanos), (2, nanos * 50.0), (3, nanos * 50.0)] {
            let value = found[at].as_f64().unwrap();
            // As wide as a bucket of the segment and one of the log's two digits.
            assert!(
                (wanted..wanted * 1.05).contains(&value),
                "{path} {at}: {read}"
            );
        }
    }
}

#[test]
fn the_doctor_believes_a_true_exporter_and_no_other() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let (_writer, strange) = (shop(&scratch), shop(&other));
    let sold = strange
        .counter("shop_sold_total", "Things sold")
        .label("kind", "book");
    sold.register().unwrap().add(1);
    let codes = |segment: &Scratch| {
        let exporter = server::Server::exporter(&segment.segment());
        let url = format!("http://{}/metrics", exporter.address);
        let doctor = probe(&scratch, &["--format", "csv", "doctor", "--exporter", &url]);
        String::from_utf8(server::run(doctor, "").stdout).unwrap()
    };
    let fine = codes(&scratch);
    assert!(
        fine.starts_with("severity,code,") && !fine.contains("exporter_"),
        "{fine}"
    );
    assert!(codes(&other).contains("error,exporter_differs,"));
}

#[test]
fn a_json_page_is_a_dump() {
    let scratch = Scratch::new();
    let writer = shop(&scratch);
    let other = writer.counter_f64("shop_sold_total", "Things sold");
    assert!(other.register().is_err());
    let exporter = server::Server::exporter(&scratch.segment());
    let page = http::get(exporter.address, "/metrics", "application/json").unwrap();
    let page: Value = serde_json::from_str(&page.body).unwrap();
    let dump = page["segments"][0]["snapshot"].to_string();
    for (command, wanted) in [("get", "shop_sold_total"), ("check", ",conflict,")] {
        let arguments = ["--format", "csv", command];
        let mut from_page = Command::new(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
        from_page.args(["--segment", "-"]).args(arguments);
        let shown = told(from_page, &dump);
        assert!(shown.contains(wanted), "{shown}");
        let steady = |text: &str| text.split(" refused, the last").next().map(str::to_owned);
        assert_eq!(
            steady(&shown),
            steady(&told(probe(&scratch, &arguments), ""))
        );
    }
}
