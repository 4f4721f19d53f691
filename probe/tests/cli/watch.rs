//! `watch`: rates that agree with what was recorded, through replacement.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Demo, attach, command, copy};

#[test]
fn text_is_a_block_an_interval() {
    let demo = Demo::new();
    let run = demo.probe(&[
        "watch",
        "requests_total",
        "--count",
        "2",
        "--interval",
        "20ms",
    ]);
    let lines = run.lines();
    assert_eq!(lines.len(), 2 * 4 + 1, "{run:?}");
    assert!(lines[0].ends_with("demo.seg") && lines[0].contains("Z  "));
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words, ["VALUE", "RATE", "SERIES"]);
    assert_eq!(
        lines[3],
        r#"               2   0/s  requests_total{code="503",method="post"}"#
    );
    assert_eq!(lines[4], "");
}

#[test]
fn histograms_bring_percentiles_of_the_window() {
    let demo = Demo::new();
    let run = demo.probe(&["watch", "stage*", "--count", "1", "--interval", "20ms"]);
    let words: Vec<&str> = run.lines()[1].split_whitespace().collect();
    assert_eq!(words, ["COUNT", "RATE", "P50", "P99", "SERIES"]);
    let words: Vec<&str> = run.lines()[2].split_whitespace().collect();
    assert_eq!(words[..4], ["4", "0/s", "-", "-"]);
}

fn value(tick: &Value) -> f64 {
    tick["families"][0]["series"][0]["value"].as_f64().unwrap()
}

#[test]
fn rates_are_differences_over_time() {
    let demo = Demo::new();
    let ticks = demo
        .writer
        .counter("ticks_total", "Ticks")
        .register()
        .unwrap();
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            let arguments = "watch ticks_total --count 4 --interval 50ms --format json";
            let arguments: Vec<&str> = arguments.split(' ').collect();
            demo.probe(&arguments)
        });
        while !run.is_finished() {
            ticks.add(10);
            thread::sleep(Duration::from_millis(5));
        }
        let run = run.join().unwrap();
        let documents: Vec<Value> = run
            .lines()
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(documents.len(), 4);
        for pair in documents.windows(2) {
            let seconds = pair[1]["seconds"].as_f64().unwrap();
            assert!(seconds >= 0.025, "half an interval at least: {seconds}");
            let rate = pair[1]["families"][0]["series"][0]["rate"]
                .as_f64()
                .unwrap();
            let risen = value(&pair[1]) - value(&pair[0]);
            assert!(
                (rate * seconds - risen).abs() < 1e-6,
                "{rate} {seconds} {risen}"
            );
            assert!(risen > 0.0);
        }
    });
}

#[test]
fn a_gauge_has_no_rate() {
    let demo = Demo::new();
    let run = demo.probe(&[
        "watch",
        "queue_bytes",
        "-n",
        "1",
        "-i",
        "10ms",
        "-f",
        "json",
    ]);
    let series = &run.json()["families"][0]["series"][0];
    assert_eq!(series["value"], 2048);
    assert_eq!(series["rate"], Value::Null);
}

#[test]
fn a_replaced_segment_is_followed() {
    let demo = Demo::new();
    let mut command = command(&[
        "watch",
        "--interval",
        "50ms",
        "--format",
        "json",
        "--segment",
    ]);
    let mut child = command.arg(&demo.path).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert!(first["seconds"].as_f64().is_some());
    fs::remove_file(&demo.path).unwrap();
    thread::sleep(Duration::from_millis(120));
    let writer = attach(&demo.path);
    writer
        .counter("new_total", "New")
        .register()
        .unwrap()
        .add(3);
    let instance = &first["segment"]["instance"];
    let second = loop {
        let tick = next();
        if tick["segment"]["instance"] != *instance {
            break tick;
        }
    };
    assert_eq!(
        second["seconds"],
        Value::Null,
        "no window spans two segments"
    );
    let third = next();
    assert!(third["seconds"].as_f64().is_some());
    assert_eq!(value(&third), 3.0);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(stderr.contains("waiting: no segment at"), "{stderr}");
    assert!(stderr.contains("attached again"), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
}

#[test]
fn a_segment_that_stays_away_is_a_failure() {
    let demo = Demo::new();
    let mut command = command(&["watch", "-n", "6", "-i", "50ms", "--segment"]);
    let mut child = command.arg(&demo.path).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    fs::remove_file(&demo.path).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_truncation_under_the_watch_is_survived() {
    let demo = Demo::new();
    let path = demo.folder.path().join("copy.seg");
    copy(&demo.path, &path, u64::MAX);
    let mut command = command(&["watch", "-i", "20ms", "-f", "json", "--segment"]);
    let mut child = command.arg(&path).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(4096).unwrap();
    thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "it must go on");
    let whole = demo.folder.path().join("whole");
    copy(&demo.path, &whole, u64::MAX);
    fs::rename(&whole, &path).unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap()).lines();
    let waiting = messages.next().unwrap().unwrap();
    assert!(waiting.contains("waiting: ") && waiting.contains("copy.seg"));
    let again = messages.next().unwrap().unwrap();
    assert!(again.contains("attached again"), "{again}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_condition_that_holds_ends_the_wait() {
    let demo = Demo::new();
    let jobs = demo
        .writer
        .counter("jobs_total", "Jobs")
        .register()
        .unwrap();
    let now = demo.probe(&["watch", "-q", "--until", "processes() == 1"]);
    assert_eq!(
        (now.code, now.stdout.as_str(), now.stderr.as_str()),
        (Some(0), "", "")
    );
    thread::scope(|scope| {
        let wait = scope.spawn(|| {
            demo.probe(&[
                "watch",
                "--until",
                "jobs_total >= 5",
                "-i",
                "5ms",
                "--timeout",
                "1m",
            ])
        });
        while !wait.is_finished() {
            jobs.inc();
            thread::sleep(Duration::from_millis(5));
        }
        let run = wait.join().unwrap();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(
            !run.stdout.contains("requests_total"),
            "only what is waited for"
        );
    });
}

#[test]
fn a_condition_that_does_not_hold_is_3() {
    let demo = Demo::new();
    for ending in [["--timeout", "20ms"], ["--count", "2"]] {
        let mut arguments = vec!["watch", "-q", "-i", "5ms", "--until", "queue_bytes > 1MiB"];
        arguments.extend(ending);
        let run = demo.probe(&arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
        assert!(
            run.stderr
                .ends_with("not met: queue_bytes > 1MiB; it is 2048\n"),
            "{run:?}"
        );
    }
    let both = [
        "watch",
        "-q",
        "-n",
        "1",
        "-i",
        "5ms",
        "--until",
        "queue_bytes > 1",
        "--until",
        "nosuch > 1",
    ];
    let run = demo.probe(&both);
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.ends_with("not met: nosuch > 1\n"), "{run:?}");
    let wrong = demo.probe(&["watch", "--until", "queue_bytes"]);
    assert_eq!(wrong.code, Some(2));
    let timed = demo.probe(&["watch", "-q", "-i", "5ms", "--timeout", "20ms"]);
    assert_eq!(timed.code, Some(0), "nothing was waited for");
}

#[test]
fn changes_alone_are_shown_when_asked() {
    let demo = Demo::new();
    let ticks = demo
        .writer
        .counter("ticks_total", "Ticks")
        .register()
        .unwrap();
    thread::scope(|scope| {
        let run = scope.spawn(|| demo.probe(&["watch", "--changes", "-n", "3", "-i", "50ms"]));
        while !run.is_finished() {
            ticks.inc();
            thread::sleep(Duration::from_millis(2));
        }
        let run = run.join().unwrap();
        let text = run.lines().join("\n");
        assert!(
            text.contains("ticks_total") && !text.contains("requests_total"),
            "{text}"
        );
    });
    let still = demo.probe(&["watch", "--changes", "-n", "2", "-i", "5ms"]);
    assert_eq!(still.lines(), Vec::<&str>::new());
}

#[test]
fn watch_in_csv_has_one_header() {
    let demo = Demo::new();
    let run = demo.probe(&[
        "watch", "req*", "stage*", "-n", "2", "-i", "5ms", "--format", "csv",
    ]);
    let lines = run.lines();
    assert_eq!(
        lines[0],
        "time_unix_nanos,seconds,family,type,unit,labels,field,value"
    );
    assert_eq!(lines.len(), 1 + 2 * (2 * 2 + 5), "{lines:?}");
    assert!(lines[1].ends_with(r#","code=""200"",method=""get""",value,4503599626321920"#));
}

#[test]
fn a_dump_is_watched_once() {
    let demo = Demo::new();
    let path = demo.folder.path().join("kept.json");
    demo.probe(&["dump", "-o", path.to_str().unwrap()]);
    let run = crate::support::probe(&path, &["watch", "req*"]);
    assert_eq!(run.lines().len(), 4);
    let met = crate::support::probe(&path, &["watch", "-q", "--until", "requests_total > 5"]);
    assert_eq!(met.code, Some(0), "{met:?}");
    let unmet = crate::support::probe(&path, &["watch", "-q", "--until", "requests_total < 5"]);
    assert_eq!(unmet.code, Some(3), "{unmet:?}");
}
