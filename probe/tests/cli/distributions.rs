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
