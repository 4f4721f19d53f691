//! `hist` and `diff`.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::support::{Demo, probe};

#[test]
fn hist_has_percentiles_and_a_chart() {
    let demo = Demo::new();
    let run = demo.probe(&["hist", "stage*"]);
    let lines = run.lines();
    assert_eq!(lines[0], r#"stage_duration_seconds{stage="read"}"#);
    assert_eq!(lines[1], "  count 4  sum 56 ms  mean 14 ms");
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<&str>>();
    assert_eq!(words(2), ["PERCENTILE", "AT", "MOST", "VALUES"]);
    assert_eq!(words(5), ["p50", "1", "ms", "2"]);
    assert_eq!(words(6), ["p75", "10", "ms", "3"]);
    assert_eq!(words(13), ["p100", "100", "ms", "4"]);
    assert!(
        lines[15].contains("█") && lines.last().unwrap().contains("25.0%"),
        "{lines:?}"
    );
    let document = demo.probe(&["hist", "--format", "json"]).json();
    let histogram = &document["histograms"][0];
    assert_eq!(histogram["count"], 4);
    assert_eq!(
        histogram["quantiles"][2],
        json!({"quantile": 0.5, "value": 0.001, "count": 2})
    );
    let csv = demo.probe(&["hist", "--format", "csv"]);
    assert_eq!(
        csv.lines()[0],
        "family,unit,labels,lower,upper,count,cumulative"
    );
    assert_eq!(csv.lines().len(), 4);
    let other = demo.probe(&["hist", "requests_total"]);
    assert_eq!(other.code, Some(1));
    assert!(other.stderr.contains("no family is called"), "{other:?}");
}

#[test]
fn hist_merges_series_and_takes_a_window() {
    let demo = Demo::new();
    let sizes = demo.writer.histogram("size_bytes", "Sizes");
    let sizes = sizes.unit(tachograph::Unit::BYTES).family().unwrap();
    for kind in ["a", "b", "c"] {
        sizes.with(&[("kind", kind)]).unwrap().record_n(100, 5);
    }
    let merged = demo
        .probe(&["hist", "size_bytes", "--merge", "--format", "json"])
        .json();
    assert_eq!(merged["histograms"].as_array().unwrap().len(), 1);
    assert_eq!(merged["histograms"][0]["count"], 15);
    assert_eq!(merged["seconds"], json!(null));
    let window = demo
        .probe(&["hist", "size_bytes", "--window", "20ms", "--format", "json"])
        .json();
    assert_eq!(
        window["histograms"][0]["count"], 0,
        "nothing came in that time"
    );
    assert!(window["seconds"].as_f64().unwrap() >= 0.02);
}

#[test]
fn a_picture_is_well_formed() {
    let demo = Demo::new();
    let path = demo.folder.path().join("stage.svg");
    let run = demo.probe(&["hist", "--svg", path.to_str().unwrap()]);
    assert_eq!(run.lines(), Vec::<&str>::new());
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("<svg xmlns=") && text.ends_with("</svg>\n"),
        "{text}"
    );
    assert_eq!(
        text.matches("<text").count(),
        text.matches("</text>").count()
    );
    assert_eq!(
        text.matches("<rect").count(),
        1 + 3,
        "a bar for each bucket"
    );
    let checked = Command::new("python3")
        .args([
            "-c",
            "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])",
        ])
        .arg(&path)
        .status();
    assert!(
        checked.is_ok_and(|status| status.success()),
        "it must be XML"
    );
}

/// Whether `text` has a bar of the picture's blue, and how wide and high the picture is, as Python's zlib has it.
const READ_PNG: &str = r#"
import struct, sys, zlib
data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n"
at, pixels = 8, b""
while at < len(data):
    length, kind = struct.unpack(">I4s", data[at:at + 8])
    body = data[at + 8:at + 8 + length]
    assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
    if kind == b"IHDR":
        width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        assert (depth, colour) == (8, 2)
    if kind == b"IDAT":
        pixels += body
    at += 12 + length
raw = zlib.decompress(pixels)
assert len(raw) == height * (1 + 3 * width)
print(width, height)
"#;

#[test]
fn a_png_can_be_read() {
    let demo = Demo::new();
    let path = demo.folder.path().join("stage.png");
    let run = demo.probe(&["hist", "--png", path.to_str().unwrap()]);
    assert_eq!(run.lines(), Vec::<&str>::new());
    let read = Command::new("python3")
        .args(["-c", READ_PNG])
        .arg(&path)
        .output();
    let read = read.unwrap();
    let size = String::from_utf8(read.stdout).unwrap();
    assert_eq!(size.trim(), "1080 189", "{:?}", read.stderr);
    let many = demo.writer.histogram("many_seconds", "Many");
    let many = many.unit(tachograph::Unit::NANOSECONDS).family().unwrap();
    fs::remove_file(&path).unwrap();
    for index in 0..300 {
        let series = many.with(&[("kind", &index.to_string())]).unwrap();
        series.record(1);
    }
    let run = demo.probe(&["hist", "--png", path.to_str().unwrap()]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("too many charts for one PNG") && !path.exists(),
        "{run:?}"
    );
}

#[test]
fn a_recording_is_looked_back_into() {
    let demo = Demo::new();
    let tape = demo.folder.path().join("night.tape");
    let tape = tape.to_str().unwrap();
    let stages = demo
        .writer
        .histogram("stage_duration_seconds", "Time of a stage");
    let stages = stages.unit(tachograph::Unit::NANOSECONDS);
    let buckets = tachograph::Buckets::explicit([1_000_000, 10_000_000, 100_000_000]);
    let stages = stages.buckets(buckets.unwrap()).label("stage", "read");
    let stages = stages.register().unwrap();
    let ticks = demo.writer.counter("ticks_total", "Ticks");
    let ticks = ticks.register().unwrap();
    std::thread::scope(|scope| {
        let recorder = scope.spawn(|| demo.probe(&["record", tape, "-i", "20ms", "-n", "50"]));
        while !recorder.is_finished() {
            stages.record(2_000_000);
            ticks.inc();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(recorder.join().unwrap().code, Some(0));
    });
    let path = std::path::Path::new(tape);
    let count = |more: &[&str]| {
        let arguments = [&["hist", "--format", "json"], more].concat();
        let document = probe(path, &arguments).json();
        let seconds = document["seconds"].as_f64();
        (
            document["histograms"][0]["count"].as_u64().unwrap(),
            seconds,
        )
    };
    let (last, none) = count(&[]);
    assert!(last > 4 && none.is_none());
    let (before, _) = count(&["--back", "500ms"]);
    assert!(before < last, "{before} {last}");
    let (within, seconds) = count(&["--window", "500ms"]);
    assert_eq!(within, last - before);
    assert!(seconds.unwrap() >= 0.5, "{seconds:?}");
    let (both, _) = count(&["--window", "200ms", "--back", "300ms"]);
    assert!(both > 0 && both < within, "{both} {within}");
    let far = probe(path, &["hist", "--back", "1h"]);
    assert_eq!(far.code, Some(1));
    assert!(far.stderr.contains("the recording goes back "), "{far:?}");
    let live = demo.probe(&["get", "--back", "1s"]);
    assert!(
        live.stderr.contains("is no recording: no --back"),
        "{live:?}"
    );
    let rates = probe(
        path,
        &["watch", "ticks_total", "-i", "200ms", "--format", "json"],
    );
    let rate = &rates.json()["families"][0]["series"][0]["rate"];
    assert!(rate.as_f64().unwrap() > 0.0, "{rates:?}");
    let kept = demo.folder.path().join("then.json");
    let kept = kept.to_str().unwrap();
    probe(path, &["dump", "-o", kept, "--back", "500ms"]);
    let changes = probe(path, &["diff", kept, "ticks_total", "--format", "json"]).json();
    assert!(
        changes["changes"][0]["change"].as_u64().unwrap() > 0,
        "{changes}"
    );
    assert_eq!(changes["changes"].as_array().unwrap().len(), 1);
}

#[test]
fn a_log_has_a_line_a_series() {
    let demo = Demo::new();
    let path = demo.folder.path().join("stage.hlog");
    let run = demo.probe(&["hist", "--hlog", path.to_str().unwrap()]);
    assert_eq!(run.lines(), Vec::<&str>::new());
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("#values in 1/1000000000 of a base unit of seconds\n"),
        "{text}"
    );
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("Tag="))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(
        lines[0].starts_with("Tag=stage_duration_seconds{stage=\"read\"},0"),
        "{text}"
    );
    let missing = demo.probe(&["hist", "--hlog", "/nosuch/x.hlog"]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("cannot write /nosuch/x.hlog"),
        "{missing:?}"
    );
}

#[test]
fn diff_tells_what_changed() {
    let demo = Demo::new();
    let dump = demo.folder.path().join("before.json");
    let dump = dump.to_str().unwrap();
    demo.probe(&["dump", "-o", dump]);
    let same = demo.probe(&["diff", "--exit-code", dump]);
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (Some(0), "no difference\n"),
        "{same:?}"
    );
    let post = demo.writer.counter("requests_total", "Requests served");
    post.label("method", "post")
        .label("code", "503")
        .register()
        .unwrap()
        .add(40);
    demo.writer
        .counter("new_total", "New")
        .register()
        .unwrap()
        .inc();
    let run = demo.probe(&["diff", dump]);
    assert_eq!(run.code, Some(0));
    assert!(run.stderr.contains("later"), "{run:?}");
    let lines: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1], ["-", "1", "new", "new_total"]);
    assert_eq!(
        lines[2],
        [
            "2",
            "42",
            "+40",
            r#"requests_total{code="503",method="post"}"#
        ]
    );
    assert_eq!(lines.len(), 3);
    assert_eq!(demo.probe(&["diff", "--exit-code", dump]).code, Some(1));
    let json = demo.probe(&["diff", dump, "--format", "json"]).json();
    assert_eq!(json["same_segment"], true);
    assert_eq!(json["changes"][1]["change"], 40);
    let alone = demo.probe(&["diff", dump, "new*"]);
    assert_eq!(alone.stdout.lines().count(), 2, "{alone:?}");
    let missing = demo.probe(&["diff", dump, "after.json.gz"]);
    assert!(
        missing.stderr.contains("no segment at after.json.gz"),
        "{missing:?}"
    );
    let live = demo.path.to_str().unwrap();
    let csv = demo.probe(&["diff", live, dump, "requests_total", "--format", "csv"]);
    assert_eq!(
        csv.lines()[0],
        "family,type,unit,labels,field,before,after,change"
    );
    assert!(csv.lines()[1].ends_with(",value,42,2,-40"), "{csv:?}");
}

#[test]
fn diff_of_another_segment_says_so() {
    let (one, other) = (Demo::new(), Demo::new());
    let run = probe(&one.path, &["diff", other.path.to_str().unwrap()]);
    assert!(
        run.stderr
            .contains("another segment, whose counters began anew"),
        "{run:?}"
    );
}
