//! Segments that come, go and change while the exporter runs.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Exporter, get, read_answer, wait_for_page};
use tachograph::{Buckets, GaugeMode, SegmentOptions, Writer};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn create(path: &Path) -> Writer {
    let options = SegmentOptions::new().path(path).process_name("test");
    options.attach().unwrap()
}

fn count(writer: &Writer, name: &str, amount: u64) {
    let counter = writer.counter(name, "Counted by a test").register();
    counter.unwrap().add(amount);
}

fn start(segments: &[&PathBuf]) -> Exporter {
    let arguments: Vec<&str> = segments
        .iter()
        .flat_map(|path| ["--segment", path.to_str().unwrap()])
        .collect();
    Exporter::start(&arguments)
}

#[test]
fn an_absent_segment_is_waited_for() {
    let folder = folder();
    let path = folder.path().join("late.seg");
    let mut exporter = start(&[&path]);
    assert_eq!(exporter.get("/-/ready").status, 503);
    let page = exporter.get("/metrics");
    assert_eq!(
        page.sample("tachograph_segment_up{segment=\"late\"}"),
        Some("0")
    );
    exporter.wait_for_line("late.seg: waiting for it to appear");

    let writer = create(&path);
    count(&writer, "jobs_total", 3);
    let page = exporter.get("/metrics");
    assert_eq!(page.sample("jobs_total"), Some("3"));
    assert_eq!(
        page.sample("tachograph_segment_up{segment=\"late\"}"),
        Some("1")
    );
    assert_eq!(
        page.sample("tachograph_series{segment=\"late\"}"),
        Some("1")
    );
    let alive = "tachograph_processes{segment=\"late\",state=\"alive\"}";
    assert_eq!(page.sample(alive), Some("1"));
    assert_eq!(exporter.get("/-/ready").status, 200);
    exporter.wait_for_line("late.seg: attached");
    let landing = exporter.get("/").body;
    assert!(
        landing.contains("<td>Processes alive</td><td class=\"n\">1</td>"),
        "{landing}"
    );
}

#[test]
fn a_replaced_segment_is_attached_again() {
    let folder = folder();
    let path = folder.path().join("x.seg");
    count(&create(&path), "old_total", 1);
    let mut exporter = start(&[&path]);
    assert_eq!(exporter.get("/metrics").sample("old_total"), Some("1"));

    fs::remove_file(&path).unwrap();
    count(&create(&path), "new_total", 2);
    let page = exporter.get("/metrics");
    assert_eq!(
        (page.sample("old_total"), page.sample("new_total")),
        (None, Some("2"))
    );
    exporter.wait_for_line("x.seg: was replaced; attached again");

    fs::remove_file(&path).unwrap();
    let page = exporter.get("/metrics");
    assert_eq!(page.status, 200);
    assert_eq!(page.sample("new_total"), None);
    assert_eq!(
        page.sample("tachograph_segment_up{segment=\"x\"}"),
        Some("0")
    );
    assert_eq!(exporter.get("/-/ready").status, 503);
    exporter.wait_for_line("x.seg: was removed; waiting for a new one");
}

#[test]
fn a_truncated_segment_is_told_of_once() {
    let folder = folder();
    let path = folder.path().join("x.seg");
    count(&create(&path), "a_total", 1);
    let mut exporter = start(&[&path]);
    assert_eq!(exporter.get("/metrics").sample("a_total"), Some("1"));

    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(4096).unwrap();
    for _ in 0..5 {
        let page = exporter.get("/metrics");
        assert_eq!(page.status, 200);
        assert_eq!(page.sample("a_total"), None);
        assert_eq!(
            page.sample("tachograph_segment_up{segment=\"x\"}"),
            Some("0")
        );
    }
    exporter.wait_for_line("truncated");
    assert_eq!(exporter.get("/-/healthy").status, 200);
    // It changed underneath, and then could not be attached: two states, two lines.
    let told = exporter.lines_with("x.seg: ");
    assert!(told.len() <= 3, "{told:#?}");

    fs::remove_file(&path).unwrap();
    count(&create(&path), "b_total", 2);
    assert_eq!(exporter.get("/metrics").sample("b_total"), Some("2"));
}

#[test]
fn what_is_no_segment_is_told_of() {
    let folder = folder();
    let path = folder.path().join("x.seg");
    fs::write(&path, "not a segment").unwrap();
    let mut exporter = start(&[&path]);
    let ready = exporter.get("/-/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("not a usable segment"), "{ready:?}");
    exporter.wait_for_line("not a usable segment");
    assert!(exporter.get("/").body.contains("not a usable segment"));
}

#[test]
fn a_folder_is_listed_at_each_scrape() {
    let folder = folder();
    let path = folder.path().to_owned();
    let mut exporter = start(&[&path]);
    let ready = exporter.get("/-/ready");
    assert!(ready.body.contains("a folder"), "{ready:?}");
    let writer = create(&path.join("a.seg"));
    count(&writer, "jobs_total", 1);
    let page = exporter.get("/metrics");
    assert_eq!(page.sample("jobs_total{segment=\"a\"}"), Some("1"));
    count(&create(&path.join("b.seg")), "jobs_total", 2);
    fs::write(path.join("notes.txt"), "x").unwrap();
    let page = exporter.get("/metrics");
    assert_eq!(page.sample("jobs_total{segment=\"a\"}"), Some("1"));
    assert_eq!(page.sample("jobs_total{segment=\"b\"}"), Some("2"));
    assert_eq!(page.sample("tachograph_segments"), Some("2"));
    assert_eq!(page.body.matches("# TYPE jobs_total").count(), 1);
    fs::remove_file(path.join("a.seg")).unwrap();
    let page = exporter.get("/metrics");
    assert_eq!(page.sample("jobs_total{segment=\"a\"}"), None);
    exporter.wait_for_line("a.seg: gone from its folder");
}

#[test]
fn conflicts_are_counted_and_listed() {
    let folder = folder();
    let (one, two) = (folder.path().join("1/x.seg"), folder.path().join("2/x.seg"));
    for path in [&one, &two] {
        fs::create_dir(path.parent().unwrap()).unwrap();
    }
    let (first, second) = (create(&one), create(&two));
    first.gauge("level", "A level").register().unwrap().set(1);
    second
        .histogram("level", "Levels")
        .register()
        .unwrap()
        .record(1);
    let exporter = start(&[&one, &two]);
    let page = exporter.get("/metrics");
    assert_eq!(page.sample("level{segment=\"1/x\"}"), Some("1"));
    assert!(!page.body.contains("level_bucket"));
    let conflicts =
        |segment| format!("tachograph_exporter_conflicts{{segment=\"{segment}\",reason=\"type\"}}");
    assert_eq!(page.sample(&conflicts("1/x")), Some("0"));
    assert_eq!(page.sample(&conflicts("2/x")), Some("1"));
    let landing = exporter.get("/").body;
    assert!(
        landing.contains("type is histogram here and gauge in an earlier"),
        "{landing}"
    );
}

#[test]
fn a_name_of_the_exporter_is_its_own() {
    let folder = folder();
    let writer = create(&folder.path().join("x.seg"));
    let refused = writer.gauge("tachograph_segments", "Mine").register();
    assert!(refused.unwrap_err().to_string().contains("the exporter's"));
}

#[test]
fn segments_are_added_up_and_rules_applied() {
    let folder = folder();
    let config = folder.path().join("exporter.toml");
    let rules = "[segments]\npaths = ['.']\n[series]\nsegments = 'merge'\nlabels = { zone = 'a' }\n\
        [[series.rule]]\nname = 'debug_*'\naction = 'drop'\n";
    fs::write(&config, rules).unwrap();
    for (name, amount) in [("a.seg", 1), ("b.seg", 2)] {
        let writer = create(&folder.path().join(name));
        count(&writer, "jobs_total", amount);
        count(&writer, "debug_total", 1);
        let level = writer.gauge("level", "A level").mode(GaugeMode::Latest);
        level.register().unwrap().set(3);
        let waits = writer.histogram("wait", "Waits").register().unwrap();
        waits.record(amount);
    }
    let config = config.to_str().unwrap();
    let exporter = Exporter::start(&["--config", config]);
    let check = |page: &common::Answer, jobs: &str, count: &str| {
        assert_eq!(
            page.sample("jobs_total{zone=\"a\"}"),
            Some(jobs),
            "{}",
            page.body
        );
        assert_eq!(page.sample("wait_count{zone=\"a\"}"), Some(count));
        // There is no later of two segments, and its writer has ended.
        assert_eq!(page.sample("level{segment=\"a\",zone=\"a\"}"), Some("3"));
        assert_eq!(page.sample("level{segment=\"b\",zone=\"a\"}"), Some("3"));
        assert!(!page.body.contains("debug_total"));
    };
    check(&exporter.get("/metrics"), "3", "2");
    count(&create(&folder.path().join("a.seg")), "jobs_total", 7);
    check(&exporter.get("/metrics"), "10", "2");
    let writer = create(&folder.path().join("c.seg"));
    count(&writer, "jobs_total", 10);
    let other = Buckets::explicit([5]).unwrap();
    writer
        .histogram("wait", "Waits")
        .buckets(other)
        .register()
        .unwrap()
        .record(1);
    let page = exporter.get("/metrics");
    check(&page, "20", "2");
    let conflicts = "tachograph_exporter_conflicts{segment=\"c\",reason=\"buckets\"}";
    assert_eq!(page.sample(conflicts), Some("1"));
    // The command line has the last word.
    let exporter = Exporter::start(&["--config", config, "--merge-segments=false"]);
    let page = exporter.get("/metrics");
    assert_eq!(
        page.sample("jobs_total{segment=\"b\",zone=\"a\"}"),
        Some("2"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("debug_total"));
}

#[test]
fn a_scrape_asks_for_families_by_name() {
    let folder = folder();
    let path = folder.path().join("x.seg");
    let writer = create(&path);
    count(&writer, "jobs_total", 1);
    count(&writer, "other_total", 2);
    let exporter = start(&[&path]);
    let page = exporter.get("/metrics?name[]=jobs_total&name%5B%5D=tachograph_segments");
    let samples: Vec<&str> = page
        .body
        .lines()
        .filter(|it| !it.starts_with('#'))
        .collect();
    assert_eq!(samples, ["jobs_total 1", "tachograph_segments 1"]);
    // Both pages are made from one plan.
    let all = exporter.get("/metrics");
    assert_eq!(all.sample("other_total"), Some("2"));
    let none = exporter.get("/metrics?name[]=absent");
    assert_eq!((none.status, none.body.as_str()), (200, ""));
}

#[test]
fn scrapes_at_work_are_limited() {
    let folder = folder();
    let path = large_segment(&folder);
    let segment = path.to_str().unwrap();
    let exporter = Exporter::start(&["--segment", segment, "--max-scrapes", "1"]);
    let mut slow = exporter.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .unwrap();
    // Its page does not fit into the socket: that scrape is at work until it is read.
    let mut first = [0];
    slow.read_exact(&mut first).unwrap();
    let refused = exporter.get("/metrics");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.body.contains("--max-scrapes"), "{}", refused.body);
    assert_eq!(exporter.get("/-/healthy").status, 200);
    std::io::copy(&mut slow, &mut std::io::sink()).unwrap();
    let name = "tachograph_exporter_scrapes_refused_total{reason=\"busy\"}";
    wait_for_page(&exporter, |page| {
        page.sample(name).is_some_and(|count| count != "0")
    });
}

/// A page that no socket buffer holds.
fn large_segment(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("large.seg");
    let options = SegmentOptions::new().path(&path).series(4_000);
    let writer = options.string_bytes(64 << 20).attach().unwrap();
    let long = "x".repeat(4_000);
    let family = writer.counter("large_total", "Large").series_limit(4_000);
    let family = family.family().unwrap();
    for at in 0..3_000 {
        let labels = [("at", at.to_string()), ("long", long.clone())];
        let labels = labels
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        family.with(&labels).unwrap().inc();
    }
    path
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_one_that_does_is_served() {
    let folder = folder();
    let path = large_segment(&folder);
    let segment = path.to_str().unwrap();
    let mut exporter = Exporter::start(&["--segment", segment, "--response-timeout", "8s"]);
    let expected = wait_for_page(&exporter, |page| {
        page.sample("tachograph_segments").is_some()
    });
    assert_eq!(expected.body.matches("large_total{").count(), 3_000);

    let mut stuck = exporter.connect();
    stuck
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_secs(10));
    let mut taken = Vec::new();
    // What the socket buffers hold still comes; then the connection ends early.
    let _ = stuck.read_to_end(&mut taken);
    assert!(taken.len() < expected.body.len(), "{} bytes", taken.len());

    // A request that is in flight when the exporter is stopped is finished.
    let mut slow = exporter.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut first = [0; 1000];
    slow.read_exact(&mut first).unwrap();
    exporter.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        std::net::TcpStream::connect(exporter.host()).is_err(),
        "it still accepts"
    );
    let answer = read_answer(first.chain(slow));
    assert_eq!(answer.body.matches("large_total{").count(), 3_000);
    assert_eq!(exporter.wait().code(), Some(0));
}

#[test]
fn overlapping_scrapes_share_a_page() {
    let folder = folder();
    let path = large_segment(&folder);
    let exporter = start(&[&path]);
    let before = exporter.get("/metrics");
    let scrapes = |page: &common::Answer| -> u64 {
        page.sample("tachograph_exporter_scrapes_total")
            .unwrap()
            .parse()
            .unwrap()
    };
    let (clients, host) = (16, exporter.host().to_owned());
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| assert_eq!(get(&host, "/metrics").status, 200));
        }
    });
    let rendered = scrapes(&exporter.get("/metrics")) - scrapes(&before) - 1;
    assert!((1..=clients).contains(&rendered), "{rendered} pages");
}

#[test]
fn nothing_is_done_while_nobody_asks() {
    let folder = folder();
    let path = folder.path().join("x.seg");
    count(&create(&path), "a_total", 1);
    let exporter = start(&[&path]);
    assert_eq!(exporter.get("/metrics").status, 200);
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", exporter.pid())).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum()
    };
    let switches = || -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", exporter.pid())).unwrap();
        let count = |status: String| -> u64 {
            let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
            lines
                .map(|line| line.rsplit('\t').next().unwrap().parse::<u64>().unwrap())
                .sum()
        };
        let statuses = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
        statuses.filter_map(Result::ok).map(count).sum()
    };
    // What the last request left to do is done soon.
    let start = Instant::now();
    let mut before = switches();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = switches();
        if now == before {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it never rests");
        before = now;
    }
    let (ticks_before, switches_before) = (ticks(), switches());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(ticks() - ticks_before, 0);
    assert!(switches().saturating_sub(switches_before) <= 2, "it polls");
}

#[test]
fn a_segment_is_mapped_for_reading_only() {
    let folder = folder();
    let path = folder.path().join("read.seg");
    let writer = create(&path);
    count(&writer, "jobs_total", 1);
    let exporter = start(&[&path]);
    assert_eq!(exporter.get("/metrics").sample("jobs_total"), Some("1"));
    let maps = fs::read_to_string(format!("/proc/{}/maps", exporter.pid())).unwrap();
    let ours = maps.lines().filter(|line| line.ends_with("read.seg"));
    let modes: Vec<&str> = ours.map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert!(!modes.is_empty(), "{maps}");
    assert!(
        modes.iter().all(|mode| matches!(*mode, "r--s" | "---s")),
        "{modes:?}"
    );
    let opened = fs::read_dir(format!("/proc/{}/fd", exporter.pid())).unwrap();
    let opened = opened.map(|entry| entry.unwrap());
    let ours = opened.filter(|it| fs::read_link(it.path()).is_ok_and(|to| to == path));
    for descriptor in ours {
        let name = descriptor.file_name().into_string().unwrap();
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{name}", exporter.pid())).unwrap();
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_eq!(flags & 3, 0, "it is open for writing: {info}");
    }
}
