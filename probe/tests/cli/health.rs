//! `procs` and `check`.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tachograph::SegmentOptions;

use crate::support::{Demo, attach, folder, probe};

#[test]
fn procs_shows_who_is_attached() {
    let demo = Demo::new();
    let run = demo.probe(&["procs"]);
    let lines = run.lines();
    assert_eq!(lines.len(), 2);
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    let pid = std::process::id().to_string();
    assert_eq!(words[2..5], [pid.as_str(), "tester", "alive"]);
    let document = demo.probe(&["procs", "--format", "json"]).json();
    let process = &document["processes"][0];
    assert_eq!(process["slot"], 0);
    assert_eq!(process["pid"], json!(std::process::id()));
    assert_eq!(process["alive"], true);
    assert!(["rseq", "fallback"].contains(&process["recording"].as_str().unwrap()));
    assert!(!process["reason"].as_str().unwrap().is_empty());
    let attached = process["attached_unix_nanos"].as_u64().unwrap();
    assert!(attached <= document["time_unix_nanos"].as_u64().unwrap());
}

const SHORT_LIVED: &str = "PROBE_TEST_SHORT_LIVED";

/// The body of the process that the next test starts.
#[test]
#[ignore = "run by `an_ended_process_is_dead`"]
fn short_lived() {
    let Ok(path) = std::env::var(SHORT_LIVED) else {
        return;
    };
    let writer = attach(Path::new(&path));
    writer
        .counter("left_total", "Left behind")
        .register()
        .unwrap()
        .add(5);
    writer.gauge("gone_jobs", "Gone").register().unwrap().set(5);
}

#[test]
fn an_ended_process_is_dead() {
    let folder = folder();
    let path = folder.path().join("one.seg");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "health::short_lived"])
        .env(SHORT_LIVED, &path)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let text = probe(&path, &["procs"]);
    let words: Vec<&str> = text.lines()[1].split_whitespace().collect();
    assert_eq!(words[3..5], ["tester", "dead"]);
    let document = probe(&path, &["check", "--format", "json"]).json();
    assert_eq!(document["verdict"], "ok");
    assert_eq!(document["processes"]["alive"], 0);
    assert_eq!(document["processes"]["dead"], 1);
    assert_eq!(document["processes"]["fallback"], json!([]));
    let values = probe(&path, &["get"]);
    assert_eq!(
        values.lines()[1..],
        ["    -  gone_jobs", "    5  left_total"]
    );
}

#[test]
fn check_is_short_and_ends_with_the_verdict() {
    let demo = Demo::new();
    let run = demo.probe(&["check"]);
    let lines = run.lines();
    assert!(lines.len() <= 24, "it must fit a terminal: {run:?}");
    let verdict = *lines.last().unwrap();
    let path = demo.path.display().to_string();
    assert!(
        verdict == format!("OK: {path}: healthy")
            || verdict.starts_with(&format!("WARNING: {path}: ")),
        "{verdict}"
    );
    assert!(run.stdout.contains("processes  1 alive, 0 dead"));
}

#[test]
fn check_in_json_has_the_tables() {
    let demo = Demo::new();
    let document = demo.probe(&["check", "--format", "json"]).json();
    assert!(["ok", "warning"].contains(&document["verdict"].as_str().unwrap()));
    let tables = document["segment"]["tables"].as_array().unwrap();
    let series = tables
        .iter()
        .find(|table| table["table"] == "series")
        .unwrap();
    assert!(series["used"].as_u64().unwrap() >= 8);
    assert!(series["capacity"].as_u64() > series["used"].as_u64());
    assert_eq!(document["damage"], json!([]));
    assert_eq!(document["segment"]["instance"].as_str().unwrap().len(), 16);
}

#[test]
fn a_full_table_and_its_losses_are_warnings() {
    let folder = folder();
    let path = folder.path().join("small.seg");
    let writer = SegmentOptions::new()
        .path(&path)
        .series(64)
        .attach()
        .unwrap();
    let family = writer.counter("many_total", "Many").family().unwrap();
    for index in 0..200 {
        if let Ok(counter) = family.with(&[("index", &index.to_string())]) {
            counter.inc();
        }
    }
    let rejected = writer.counter_f64("float_total", "Floats").register();
    if let Ok(rejected) = rejected {
        rejected.add(f64::NAN);
    }
    let run = probe(&path, &["check"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout.contains("warning: the series table is "),
        "{run:?}"
    );
    assert!(run.stdout.contains("series_table_full"), "{run:?}");
    assert!(run.stdout.lines().last().unwrap().starts_with("WARNING: "));
    let document = probe(&path, &["check", "--format", "json"]).json();
    assert_eq!(document["verdict"], "warning");
    assert!(document["losses"]["series_table_full"].as_u64() > Some(0));
    assert_ne!(document["warnings"], Value::Array(vec![]));
}

#[test]
fn an_overflow_names_its_culprit_and_strict_fails() {
    let folder = folder();
    let path = folder.path().join("one.seg");
    let writer = attach(&path);
    let family = writer.counter("many_total", "Many").series_limit(50);
    let family = family.family().unwrap();
    for index in 0..80 {
        family.with(&[("path", &index.to_string())]).unwrap().inc();
    }
    let run = probe(&path, &["check"]);
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout.contains(
            "many_total folded 30 registrations into __other__: label `path` has 50 values"
        ),
        "{run:?}"
    );
    assert!(
        run.stdout
            .contains("\n  next: drop `path` or bound its values"),
        "{run:?}"
    );
    assert_eq!(probe(&path, &["check", "--strict"]).code, Some(1));
    let document = probe(&path, &["check", "--format", "json"]).json();
    let findings = document["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|found| found["code"] == "family_overflowed")
        .unwrap();
    assert_eq!(
        (&found["about"], &found["severity"]),
        (&json!("many_total"), &json!("warning"))
    );
    let csv = probe(&path, &["check", "--format", "csv"]);
    assert_eq!(
        csv.stdout.lines().next(),
        Some("severity,code,about,what,next")
    );
    assert!(
        csv.stdout
            .contains("\nwarning,family_overflowed,many_total,"),
        "{csv:?}"
    );
    let listed = probe(&path, &["ls"]);
    let words: Vec<&str> = listed.lines()[1].split_whitespace().collect();
    assert_eq!(words[..6], ["many_total", "counter", "-", "51", "50", "30"]);
}
