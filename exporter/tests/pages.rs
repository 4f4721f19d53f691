//! Whole pages of the text formats.

use tachograph::{Buckets, GaugeMode, SegmentOptions, Snapshot, Unit, Writer};
use tachograph_exporter::Cause;
use tachograph_exporter::text::TextRenderer;

fn writer() -> Writer {
    SegmentOptions::new().series(100).heap().unwrap()
}

fn page(segments: &[(Option<&str>, &Snapshot)]) -> String {
    let mut renderer = TextRenderer::new();
    String::from_utf8(renderer.render(segments).to_vec()).unwrap()
}

fn page_of(writer: &Writer) -> String {
    page(&[(None, &writer.snapshot().unwrap())])
}

fn openmetrics_page_of(writer: &Writer) -> String {
    let mut renderer = TextRenderer::new();
    let snapshot = writer.snapshot().unwrap();
    String::from_utf8(renderer.render_openmetrics(&[(None, &snapshot)]).to_vec()).unwrap()
}

#[test]
fn nothing_gives_nothing() {
    assert_eq!(page(&[]), "");
    assert_eq!(page_of(&writer()), "");
}

#[test]
fn counters() {
    let writer = writer();
    let family = writer.counter("requests_total", "Requests \\ served\nby \"us\"");
    let family = family.family().unwrap();
    for (method, path, count) in [("get", "/", 3), ("put", "a\"b\\c\nd", u64::MAX)] {
        let series = family.with(&[("path", path), ("method", method)]);
        series.unwrap().add(count);
    }
    let joules = Unit::custom("joules", 1, 1);
    let energy = writer
        .counter_f64("energy_joules_total", "Energy")
        .unit(joules);
    energy.register().unwrap().add(1_234_567.5);
    let time = writer
        .counter("busy_seconds_total", "")
        .unit(Unit::NANOSECONDS);
    time.register().unwrap().add(1_500_000_000);
    assert_eq!(
        page_of(&writer),
        r#"# HELP busy_seconds_total 
# TYPE busy_seconds_total counter
busy_seconds_total 1.5
# HELP energy_joules_total Energy
# TYPE energy_joules_total counter
energy_joules_total 1.2345675e+06
# HELP requests_total Requests \\ served\nby "us"
# TYPE requests_total counter
requests_total{method="get",path="/"} 3
requests_total{method="put",path="a\"b\\c\nd"} 18446744073709551615
"#
    );
}

#[test]
fn gauges() {
    let writer = writer();
    let depth = writer.gauge("queue_depth", "Jobs that wait").register();
    depth.unwrap().set(-7);
    let unset = writer.gauge("unset", "Never set").mode(GaugeMode::Latest);
    unset.register().unwrap();
    let load = writer.gauge_f64("load_ratio", "Load").unit(Unit::RATIO);
    load.mode(GaugeMode::LastingLatest)
        .label("kind", "cpu")
        .register()
        .unwrap()
        .set(0.000_01);
    let age = writer
        .gauge("age_seconds", "Age of each")
        .unit(Unit::MILLISECONDS);
    let age = age.mode(GaugeMode::Each).label("pid", "mine");
    age.register().unwrap().set(2500);
    let pid = std::process::id();
    assert_eq!(
        page_of(&writer),
        format!(
            r#"# HELP age_seconds Age of each
# TYPE age_seconds gauge
age_seconds{{exported_pid="mine",pid="{pid}",slot="0"}} 2.5
# HELP load_ratio Load
# TYPE load_ratio gauge
load_ratio{{kind="cpu"}} 1e-05
# HELP queue_depth Jobs that wait
# TYPE queue_depth gauge
queue_depth -7
"#
        )
    );
}

#[test]
fn facts_and_states() {
    let writer = writer();
    let build = writer
        .info("build_info", "The build")
        .label("version", "1.2");
    build.register().unwrap();
    let host = writer.info("host", "The host").label("name", "a");
    host.register().unwrap();
    let states = ["idle", "busy"];
    let mode = writer.state_set("mode", "What it does", &states);
    let mode = mode.mode(GaugeMode::LastingLatest).register().unwrap();
    mode.set(1);
    let phase = writer.state_set("phase", "What each does", &states);
    let phase = phase.mode(GaugeMode::Each).label("job", "x").register();
    phase.unwrap().set(0);
    let pid = std::process::id();
    assert_eq!(
        page_of(&writer),
        format!(
            r#"# HELP build_info The build
# TYPE build_info gauge
build_info{{version="1.2"}} 1
# HELP host_info The host
# TYPE host_info gauge
host_info{{name="a"}} 1
# HELP mode What it does
# TYPE mode gauge
mode{{mode="idle"}} 0
mode{{mode="busy"}} 1
# HELP phase What each does
# TYPE phase gauge
phase{{job="x",phase="idle",pid="{pid}",slot="0"}} 1
phase{{job="x",phase="busy",pid="{pid}",slot="0"}} 0
"#
        )
    );
}

#[test]
fn histograms() {
    let writer = writer();
    let bounds = [0.005, 1.0, 2.5];
    let buckets = Buckets::explicit_in(&Unit::NANOSECONDS, &bounds).unwrap();
    let time = writer
        .histogram("stage_seconds", "Time")
        .unit(Unit::NANOSECONDS);
    let time = time
        .buckets(buckets)
        .label("stage", "read")
        .register()
        .unwrap();
    for nanoseconds in [1, 5_000_000, 5_000_001, 2_000_000_000, 9_000_000_000] {
        time.record(nanoseconds);
    }
    let size = writer.histogram("size_bytes", "Size").unit(Unit::BYTES);
    let size = size.buckets(Buckets::log_linear(2, 1000).unwrap());
    let size = size.register().unwrap();
    size.record_n(3, 2);
    size.record(100_000);
    assert_eq!(
        page_of(&writer),
        r#"# HELP size_bytes Size
# TYPE size_bytes histogram
size_bytes_bucket{le="1.0"} 0
size_bytes_bucket{le="3.0"} 2
size_bytes_bucket{le="7.0"} 2
size_bytes_bucket{le="15.0"} 2
size_bytes_bucket{le="31.0"} 2
size_bytes_bucket{le="63.0"} 2
size_bytes_bucket{le="127.0"} 2
size_bytes_bucket{le="255.0"} 2
size_bytes_bucket{le="511.0"} 2
size_bytes_bucket{le="1023.0"} 2
size_bytes_bucket{le="+Inf"} 3
size_bytes_sum 100006
size_bytes_count 3
# HELP stage_seconds Time
# TYPE stage_seconds histogram
stage_seconds_bucket{stage="read",le="0.005"} 2
stage_seconds_bucket{stage="read",le="1.0"} 3
stage_seconds_bucket{stage="read",le="2.5"} 4
stage_seconds_bucket{stage="read",le="+Inf"} 5
stage_seconds_sum{stage="read"} 11.010000002
stage_seconds_count{stage="read"} 5
"#
    );
}

#[test]
fn openmetrics() {
    let writer = writer();
    let states = ["idle", "busy"];
    let sent = writer.counter("sent_bytes_total", "Sent by \"us\"\n");
    let sent = sent.unit(Unit::BYTES).label("to", "a\"b");
    sent.register().unwrap().add(7);
    let depth = writer.gauge("jobs", "Jobs that wait").register();
    depth.unwrap().set(-7);
    let jobs = writer.counter("jobs_total", "Jobs done").register();
    jobs.unwrap().add(2);
    let host = writer.info("host", "The host").label("name", "a");
    host.register().unwrap();
    let mode = writer.state_set("mode", "What it does", &states);
    let mode = mode.mode(GaugeMode::LastingLatest).register().unwrap();
    mode.set(1);
    let unset = writer.gauge("unset", "Never set").mode(GaugeMode::Latest);
    unset.register().unwrap();
    let buckets = Buckets::explicit_in(&Unit::NANOSECONDS, &[0.005, 1.0]).unwrap();
    let time = writer.histogram("stage_seconds", "Time").buckets(buckets);
    let time = time.unit(Unit::NANOSECONDS).register().unwrap();
    time.record(2_000_000_000);
    let lag = writer.gauge("stage_seconds_created", "Not a creation time");
    lag.register().unwrap().set(1);
    assert_eq!(
        openmetrics_page_of(&writer),
        r#"# TYPE host info
# HELP host The host
host_info{name="a"} 1
# TYPE jobs gauge
# HELP jobs Jobs that wait
jobs -7
# TYPE jobs_total unknown
# HELP jobs_total Jobs done
jobs_total 2
# TYPE mode stateset
# HELP mode What it does
mode{mode="idle"} 0
mode{mode="busy"} 1
# TYPE sent_bytes counter
# UNIT sent_bytes bytes
# HELP sent_bytes Sent by \"us\"\n
sent_bytes_total{to="a\"b"} 7
# TYPE stage_seconds histogram
# UNIT stage_seconds seconds
# HELP stage_seconds Time
stage_seconds_bucket{le="0.005"} 0
stage_seconds_bucket{le="1.0"} 0
stage_seconds_bucket{le="+Inf"} 1
stage_seconds_sum 2
stage_seconds_count 1
# EOF
"#
    );
    let text = page_of(&writer);
    assert!(text.contains("\nstage_seconds_created 1\n"), "{text}");
}

#[test]
fn creation_times_stand_in_openmetrics_only_and_when_asked_for() {
    let writer = writer();
    writer.gauge("a_depth", "").register().unwrap().set(4);
    let jobs = writer.counter("jobs_total", "").label("kind", "x");
    jobs.register().unwrap().add(2);
    writer.histogram("sizes", "").register().unwrap();
    let snapshot = writer.snapshot().unwrap();
    let family = snapshot.family("jobs_total").unwrap().family;
    let created = family.series[0].created_unix_nanos;
    let mut renderer = TextRenderer::with_created(true);
    let segments = [(None, &snapshot)];
    let page = String::from_utf8(renderer.render_openmetrics(&segments).to_vec()).unwrap();
    let (seconds, nanos) = (created / 1_000_000_000, created % 1_000_000_000);
    let line =
        format!("jobs_total{{kind=\"x\"}} 2\njobs_created{{kind=\"x\"}} {seconds}.{nanos:09}\n");
    assert!(page.contains(&line), "{page}");
    assert!(page.contains("sizes_count 0\nsizes_created "), "{page}");
    assert_eq!(page.matches("_created").count(), 2);
    assert_eq!(renderer.render(&segments), page_of(&writer).as_bytes());
}

#[test]
fn both_formats_have_the_same_samples() {
    let writer = writer();
    let states = ["idle", "busy"];
    let phase = writer.state_set("phase", "", &states).mode(GaugeMode::Each);
    phase.register().unwrap().set(1);
    writer.counter("a_total", "").register().unwrap().add(3);
    writer.info("build", "").label("v", "1").register().unwrap();
    writer.histogram("sizes", "").register().unwrap().record(9);
    let samples = |page: String| -> Vec<String> {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let text = samples(page_of(&writer));
    assert_eq!(text, samples(openmetrics_page_of(&writer)));
    assert_eq!(text.len(), 2 + 1 + 1 + 32 + 3);
}

/// Neighbouring large integers are one float, and two lines with one bound are no page.
#[test]
fn bounds_that_are_one_float_are_one_line() {
    let writer = writer();
    let buckets = Buckets::explicit([1, (1 << 60) - 1, 1 << 60, (1 << 60) + 1]).unwrap();
    let sizes = writer.histogram("sizes", "h").buckets(buckets);
    let sizes = sizes.register().unwrap();
    for value in [1, 1 << 60, (1 << 60) + 1] {
        sizes.record(value);
    }
    let page = page_of(&writer);
    let buckets = page.lines().filter(|line| line.starts_with("sizes_bucket"));
    let buckets: Vec<&str> = buckets.collect();
    let large = r#"sizes_bucket{le="1.152921504606847e+18"} 3"#;
    let all = r#"sizes_bucket{le="+Inf"} 3"#;
    assert_eq!(buckets, [r#"sizes_bucket{le="1.0"} 1"#, large, all]);
}

#[test]
fn a_family_of_several_segments_is_one_group() {
    let (a, b) = (writer(), writer());
    for (writer, count) in [(&a, 1), (&b, 2)] {
        let jobs = writer.counter("jobs_total", "Jobs").label("kind", "x");
        jobs.register().unwrap().add(count);
    }
    let only = b.gauge("only", "In b").label("segment", "mine").register();
    only.unwrap().set(4);
    let (a, b) = (a.snapshot().unwrap(), b.snapshot().unwrap());
    assert_eq!(
        page(&[(Some("a"), &a), (Some("b"), &b)]),
        r#"# HELP jobs_total Jobs
# TYPE jobs_total counter
jobs_total{segment="a",kind="x"} 1
jobs_total{segment="b",kind="x"} 2
# HELP only In b
# TYPE only gauge
only{segment="b",exported_segment="mine"} 4
"#
    );
}

#[test]
fn the_first_segment_decides_what_a_name_is() {
    let (a, b) = (writer(), writer());
    a.gauge("level", "A level").register().unwrap().set(1);
    b.histogram("level", "Levels").register().unwrap().record(1);
    let seconds = |writer: &Writer, unit| {
        let gauge = writer.gauge("x_seconds", "").unit(unit);
        gauge.register().unwrap().set(3);
    };
    seconds(&a, Unit::SECONDS);
    seconds(&b, Unit::MILLISECONDS);
    a.gauge("y_joules", "").register().unwrap().set(1);
    b.gauge("y_joules", "")
        .unit(Unit::custom("joules", 1, 1))
        .register()
        .unwrap()
        .set(1);
    let (a, b) = (a.snapshot().unwrap(), b.snapshot().unwrap());
    let mut renderer = TextRenderer::new();
    let segments = [(Some("a"), &a), (Some("b"), &b)];
    let page = String::from_utf8(renderer.render(&segments).to_vec()).unwrap();
    assert!(page.contains("level{segment=\"a\"} 1\n"));
    assert!(!page.contains("histogram"));
    assert!(page.contains("x_seconds{segment=\"b\"} 0.003\n"), "{page}");
    assert!(!page.contains("y_joules{segment=\"b\"}"), "{page}");
    let reasons: Vec<(usize, &str, &str)> = renderer
        .conflicts()
        .iter()
        .map(|it| (it.segment, it.family.as_str(), it.reason.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            (
                1,
                "level",
                "type is histogram here and gauge in an earlier segment"
            ),
            (
                1,
                "y_joules",
                "unit is joules here and none in an earlier segment"
            ),
        ]
    );
}

#[test]
fn series_that_look_the_same_are_shown_once() {
    let writer = writer();
    let family = writer.counter("jobs_total", "Jobs").family().unwrap();
    for (label, count) in [("segment", 1), ("exported_segment", 2), ("other", 4)] {
        family.with(&[(label, "x")]).unwrap().add(count);
    }
    let snapshot = writer.snapshot().unwrap();
    let mut renderer = TextRenderer::new();
    let page = String::from_utf8(renderer.render(&[(Some("s"), &snapshot)]).to_vec()).unwrap();
    let samples: Vec<&str> = page.lines().filter(|it| !it.starts_with('#')).collect();
    assert_eq!(
        samples,
        [
            "jobs_total{segment=\"s\",exported_segment=\"x\"} 2",
            "jobs_total{segment=\"s\",other=\"x\"} 4",
        ]
    );
    let conflicts: Vec<Cause> = renderer.conflicts().iter().map(|it| it.cause).collect();
    assert_eq!(conflicts, [Cause::Series]);
    // Without the label of the page no name changes.
    assert_eq!(
        renderer
            .render(&[(None, &snapshot)])
            .iter()
            .filter(|&&it| it == b'\n')
            .count(),
        5
    );
    assert_eq!(renderer.conflicts(), []);
}

#[test]
fn samples_of_two_families_never_share_a_name() {
    let writer = writer();
    writer
        .histogram("wait", "Waits")
        .register()
        .unwrap()
        .record(1);
    writer
        .gauge("wait_count", "Waiters")
        .register()
        .unwrap()
        .set(9);
    writer.info("host", "Host").register().unwrap();
    writer
        .gauge("host_info", "No info")
        .register()
        .unwrap()
        .set(2);
    let snapshot = writer.snapshot().unwrap();
    let mut renderer = TextRenderer::new();
    let page = String::from_utf8(renderer.render(&[(None, &snapshot)]).to_vec()).unwrap();
    assert!(
        page.contains("wait_count 1\n") && !page.contains("wait_count 9"),
        "{page}"
    );
    assert!(
        page.contains("host_info 1\n") && !page.contains("host_info 2"),
        "{page}"
    );
    let families = renderer.conflicts().iter().map(|it| it.family.as_str());
    assert_eq!(families.collect::<Vec<_>>(), ["host_info", "wait_count"]);
}

#[test]
fn a_renderer_follows_what_is_registered_and_set() {
    let writer = writer();
    let mut renderer = TextRenderer::new();
    let mut render = |segment: Option<&str>| {
        let snapshot = writer.snapshot().unwrap();
        String::from_utf8(renderer.render(&[(segment, &snapshot)]).to_vec()).unwrap()
    };
    let a = writer.counter("a_total", "A").register().unwrap();
    a.add(99);
    assert_eq!(
        render(None),
        "# HELP a_total A\n# TYPE a_total counter\na_total 99\n"
    );
    a.inc();
    assert_eq!(
        render(None),
        "# HELP a_total A\n# TYPE a_total counter\na_total 100\n"
    );
    let gauge = writer
        .gauge("g", "G")
        .mode(GaugeMode::Latest)
        .register()
        .unwrap();
    assert!(!render(None).contains("# HELP g"));
    gauge.set(5);
    assert!(render(None).ends_with("# TYPE g gauge\ng 5\n"));
    assert!(render(Some("s")).ends_with("g{segment=\"s\"} 5\n"));
}

#[test]
fn a_page_is_the_same_over_any_other() {
    let writer = writer();
    writer.counter("a_total", "A").register().unwrap().add(7);
    let snapshot = writer.snapshot().unwrap();
    let expected = page(&[(None, &snapshot)]);
    let mut renderer = TextRenderer::new();
    for old in [0, 1, 40, 10_000] {
        let mut over = vec![b'#'; old];
        renderer.render_over(&[(None, &snapshot)], &mut over);
        assert_eq!(over, expected.as_bytes());
    }
}

/// Reads a sample as a scraper does: the labels and the value behind them. Written without a look at
/// how pages are made.
fn parse(line: &str) -> Option<(Vec<(String, String)>, u64)> {
    let mut rest = line.strip_prefix("any_total{")?;
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((labels, rest.strip_prefix("} ")?.parse().ok()?)),
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn a_scraper_reads_what_was_recorded(
        help in "(?s)[\\\\\"\na-c花\r ]{0,12}",
        series in proptest::collection::btree_map(
            ("(?s)[\\\\\"\n,}{= a花\r]{1,8}", "(?s).{1,8}"),
            1..u64::MAX,
            1..8,
        ),
    ) {
        let writer = writer();
        let family = writer.counter("any_total", &help).family().unwrap();
        for ((a, b), count) in &series {
            family.with(&[("a", a), ("b", b)]).unwrap().add(*count);
        }
        let page = page_of(&writer);
        let samples: Vec<&str> = page.split('\n').filter(|line| line.starts_with("any")).collect();
        proptest::prop_assert_eq!(samples.len(), series.len(), "{}", page);
        for sample in samples {
            let (labels, value) = parse(sample).expect("a scraper can read it");
            let [(a, first), (b, second)] = &labels[..] else {
                panic!("{labels:?}");
            };
            proptest::prop_assert_eq!((a.as_str(), b.as_str()), ("a", "b"));
            let key = (first.clone(), second.clone());
            proptest::prop_assert_eq!(series.get(&key), Some(&value), "{}", sample);
        }
    }
}

#[test]
fn a_state_set_does_not_take_a_label_of_the_page() {
    let writer = writer();
    for name in ["slot", "segment", "__name__", "fine"] {
        let states = writer.state_set(name, "", &["on"]).mode(GaugeMode::Each);
        states.register().unwrap().set(0);
    }
    let snapshot = writer.snapshot().unwrap();
    let shown = |label| {
        let mut renderer = TextRenderer::new();
        let page = String::from_utf8(renderer.render(&[(label, &snapshot)]).to_vec()).unwrap();
        let conflicts = renderer.conflicts().iter();
        let conflicts = conflicts.map(|it| (it.family.clone(), it.cause));
        (
            page.matches("# TYPE").count(),
            conflicts.collect::<Vec<_>>(),
        )
    };
    let refused = |names: &[&str]| {
        let causes = names.iter().map(|name| ((*name).to_owned(), Cause::Name));
        causes.collect::<Vec<_>>()
    };
    assert_eq!(shown(None), (2, refused(&["__name__", "slot"])));
    let refused = refused(&["__name__", "segment", "slot"]);
    assert_eq!(shown(Some("a")), (1, refused));
}
