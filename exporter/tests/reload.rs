//! A new configuration while the exporter runs.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::{Exporter, command, get};

const SUCCESSFUL: &str = "tachograph_exporter_config_last_reload_successful";
const TIME: &str = "tachograph_exporter_config_last_reload_success_timestamp_seconds";

fn start(folder: &Path, text: &str) -> (Exporter, PathBuf) {
    let file = folder.join("exporter.toml");
    fs::write(&file, text).unwrap();
    let mut command = command();
    command
        .args(["--listen", "127.0.0.1:0", "--config"])
        .arg(&file);
    (Exporter::spawn(command, 1), file)
}

fn serving(name: &str) -> String {
    format!("[segments]\npaths = [\"/nonexistent/{name}.seg\"]\n")
}

#[test]
fn by_signal_and_by_request() {
    let folder = tempfile::tempdir().unwrap();
    let (mut exporter, file) = start(folder.path(), &serving("a"));
    let up = |name: &str| format!("tachograph_segment_up{{segment=\"{name}\"}}");
    let page = exporter.get("/metrics");
    assert_eq!(page.sample(&up("a")), Some("0"));
    assert_eq!(page.sample(SUCCESSFUL), Some("1"));
    let time = |page: &common::Answer| page.sample(TIME).unwrap().parse::<f64>().unwrap();
    let started = time(&page);
    assert!(started > 1e9);

    fs::write(&file, serving("b")).unwrap();
    let answer = exporter.request("POST", "/-/reload");
    assert_eq!((answer.status, answer.body.as_str()), (200, "reloaded\n"));
    let page = exporter.get("/metrics");
    assert_eq!(
        (page.sample(&up("a")), page.sample(&up("b"))),
        (None, Some("0"))
    );
    assert!(time(&page) > started);

    fs::write(&file, serving("c")).unwrap();
    exporter.signal("HUP");
    exporter.wait_for_line("the configuration was read anew");
    exporter.wait_for_line("the configuration was read anew");
    assert_eq!(exporter.get("/metrics").sample(&up("c")), Some("0"));

    let wrong = exporter.get("/-/reload");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
}

#[test]
fn what_is_wrong_changes_nothing_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mut exporter, file) = start(folder.path(), &serving("a"));
    let scrapes = "tachograph_exporter_scrapes_total";
    assert_eq!(exporter.get("/metrics").sample(scrapes), Some("1"));
    fs::write(&file, "[segments]\npats = []\n").unwrap();
    let expected = format!(
        "the old configuration stays in use: {}:2:1: unknown field `pats`; did you mean `paths`?\n",
        file.display()
    );
    let answer = exporter.request("POST", "/-/reload");
    assert_eq!((answer.status, answer.body.as_str()), (500, &*expected));
    let page = exporter.get("/metrics");
    assert_eq!(
        page.sample("tachograph_segment_up{segment=\"a\"}"),
        Some("0")
    );
    assert_eq!(page.sample(SUCCESSFUL), Some("0"));
    let line = exporter.wait_for_line("stays in use");
    assert!(line.contains("did you mean `paths`?"), "{line}");

    let listen = format!("{}[listen]\nunix_mode = \"0600\"\n", serving("a"));
    fs::write(&file, listen).unwrap();
    let answer = exporter.request("POST", "/-/reload");
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("restart it"), "{answer:?}");

    // What serves the same pages goes on with them.
    fs::write(
        &file,
        format!("{}[limits]\nmax_connections = 9\n", serving("a")),
    )
    .unwrap();
    assert_eq!(exporter.request("POST", "/-/reload").status, 200);
    let page = exporter.get("/metrics");
    assert_eq!(
        (page.sample(SUCCESSFUL), page.sample(scrapes)),
        (Some("1"), Some("3"))
    );
}

#[test]
fn rules_for_series_are_those_of_now() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("a.seg");
    let writer = tachograph::SegmentOptions::new().path(&path).attach();
    let jobs = writer.unwrap().counter("jobs_total", "Jobs").register();
    jobs.unwrap().add(3);
    let (exporter, file) = start(folder.path(), "[segments]\npaths = [\"a.seg\"]\n");
    let shows = |expected: &str| {
        let page = exporter.get("/metrics");
        let jobs = page.body.lines().filter(|line| line.contains("jobs"));
        let jobs: Vec<&str> = jobs.filter(|line| !line.starts_with('#')).collect();
        assert_eq!(jobs, [expected]);
    };
    shows("jobs_total 3");
    for (rule, expected) in [
        ("rename = 'big_jobs_total'", "big_jobs_total 3"),
        ("set = { team = 'jobs' }", "jobs_total{team=\"jobs\"} 3"),
    ] {
        let rule = format!("[[series.rule]]\nname = 'jobs_total'\n{rule}\n");
        fs::write(&file, format!("[segments]\npaths = [\"a.seg\"]\n{rule}")).unwrap();
        assert_eq!(exporter.request("POST", "/-/reload").status, 200);
        shows(expected);
    }
}

#[test]
fn limits_hold_for_new_connections() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, file) = start(folder.path(), "");
    fs::write(&file, "[limits]\nmax_connections = 1\n").unwrap();
    assert_eq!(exporter.request("POST", "/-/reload").status, 200);
    let patience = common::Patience::default();
    patience.until("it is still busy", || {
        exporter.get("/-/healthy").status == 200
    });
    let _kept = exporter.connect();
    let busy = || exporter.get("/-/healthy").status == 503;
    patience.until("a second connection is served", busy);
}

#[test]
fn under_load_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, file) = start(folder.path(), &serving("a"));
    let host = exporter.host();
    let done = OnceLock::new();
    let asked: usize = std::thread::scope(|scope| {
        let ask = || {
            let mut count = 0;
            while done.get().is_none() {
                let page = get(host, "/metrics");
                assert_eq!(page.status, 200);
                let has = |name| {
                    page.body
                        .contains(&format!("segment_up{{segment=\"{name}\"}} 0"))
                };
                assert!(has("a") != has("b"), "a page of two configurations");
                count += 1;
            }
            count
        };
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for round in 0..40 {
            let text = match round % 4 {
                0 => serving("b"),
                2 => serving("a"),
                _ => "[broken".to_owned(),
            };
            fs::write(&file, &text).unwrap();
            let status = exporter.request("POST", "/-/reload").status;
            assert_eq!(status, if text == "[broken" { 500 } else { 200 });
        }
        done.set(()).unwrap();
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    });
    assert!(asked > 10, "{asked} requests are no load");
}
