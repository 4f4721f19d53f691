//! The exporter's pages, read by programs that are not ours: the official Python client, promtool, Prometheus and
//! VictoriaMetrics.

use std::collections::BTreeMap;
use std::process::{self, Command};

use serde_json::Value;
use tachograph::{
    Buckets, Error, GaugeMode, SegmentOptions, SpanContext, SpanId, TraceId, Unit, Writer,
};
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server::{self, Server};
use tachograph_tests::worker::PATIENCE;
use tachograph_tests::{eventually, http};

const TEXT: &str = "text/plain;version=0.0.4";
const TEXT_1: &str = "text/plain;version=1.0.0;escaping=allow-utf-8";
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
const OPENMETRICS_UTF8: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8";

/// Label values that break a page which does not escape them, or escapes them twice.
const AWKWARD: [&str; 10] = [
    r"back\slash",
    r"\n is no line end",
    "a line\nend",
    r#"a "quote""#,
    r#"\"both\""#,
    "ends with \\",
    "ünï → 花火 🚀",
    r#"x="1",y="2"} 3"#,
    "# HELP me",
    " blanks ",
];

/// Names that only a page with quoted ones can hold, with names of labels.
const ODD_NAMES: [(&str, &str); 4] = [
    ("requests", "http.method"),
    (r#"a "quote" and \ "#, r#"a "quote" and \ "#),
    ("a line\nend", "a line\nend"),
    ("花火{x=\"1\"} 3 # ", "花火{x=\"1\"} 3 # "),
];
/// The same for scrapers that read letters, digits and underscores.
const ODD_NAMES_ESCAPED: [(&str, &str); 4] = [
    ("requests", "http_method"),
    ("a__quote__and___", "a__quote__and___"),
    ("a_line_end", "a_line_end"),
    ("___x__1___3___", "exported____x__1___3___"),
];

const DURATIONS: [u64; 6] = [
    1,
    4_999_999,
    5_000_000,
    5_000_001,
    300_000_000,
    7_000_000_000,
];

/// A span whose ids tell its number.
fn span(number: u8) -> Result<SpanContext, Error> {
    let trace = TraceId::try_from([number; 16])?;
    Ok(SpanContext::new(trace, SpanId::try_from([number; 8])?))
}

/// One of every type, under names that begin with `shown_`.
fn fill(writer: &Writer) -> Result<(), Error> {
    let awkward = writer.counter("shown_awkward_total", "A \\ and a \n in a \"help\"");
    let awkward = awkward.family()?;
    for (at, value) in (1..).zip(AWKWARD) {
        awkward.with(&[("value", value), ("also", "x")])?.add(at);
    }
    writer
        .counter("shown_plain_total", "No labels")
        .exemplars()
        .register()?
        .add_with_exemplar(7, &span(7)?);
    writer
        .counter("shown_zero_total", "Never added to")
        .register()?;
    writer
        .counter("shown_large_total", "2^53 + 2")
        .register()?
        .add((1 << 53) + 2);
    for (at, (name, label)) in (1..).zip(ODD_NAMES) {
        let odd = writer
            .counter(&format!("shown.{name}_total"), "Any name")
            .utf8_names();
        odd.label(label, "x").register()?.add(at);
    }
    writer.gauge("shown_jobs", "Jobs").register()?.set(-1);
    writer
        .counter("shown_jobs_total", "Jobs done")
        .register()?
        .add(8);
    writer
        .counter("shown_empty_total", "A family without series")
        .family()?;
    fill_floats(writer)?;
    fill_gauges(writer)?;
    fill_histograms(writer)?;
    writer
        .info("shown_build_info", "A version")
        .label("version", "1.2 \"beta\"")
        .register()?;
    writer
        .state_set("shown_state", "A state", &["idle", "busy"])
        .register()?
        .set(1);
    Ok(())
}

fn fill_floats(writer: &Writer) -> Result<(), Error> {
    writer
        .counter_f64("shown_energy_joules_total", "A float")
        .unit(Unit::custom("joules", 1, 1))
        .register()?
        .add(0.1);
    for (name, value) in [
        // Refused, so there is nothing to show.
        ("shown_nan", f64::NAN),
        ("shown_up", f64::INFINITY),
        ("shown_down", f64::NEG_INFINITY),
        ("shown_tiny", 1e-300),
    ] {
        writer
            .gauge_f64(name, "A float")
            .mode(GaugeMode::Max)
            .register()?
            .set(value);
    }
    Ok(())
}

fn fill_gauges(writer: &Writer) -> Result<(), Error> {
    for mode in GaugeMode::ALL {
        let name = format!("shown_{}", mode.name().replace('-', "_"));
        writer
            .gauge(&format!("{name}_depth"), "An integer")
            .mode(mode)
            .register()?
            .set(-3);
        writer
            .gauge(&format!("{name}_size_bytes"), "Recorded in KiB")
            .unit(Unit::KIBIBYTES)
            .mode(mode)
            .register()?
            .set(3);
    }
    Ok(())
}

fn fill_histograms(writer: &Writer) -> Result<(), Error> {
    let explicit = Buckets::explicit_in(&Unit::NANOSECONDS, &[0.005, 0.25, 1.0])?;
    for (name, buckets) in [
        ("shown_explicit_seconds", explicit),
        ("shown_hdr_seconds", Buckets::default()),
    ] {
        let family = writer
            .histogram(name, "Durations")
            .unit(Unit::NANOSECONDS)
            .buckets(buckets);
        let family = family.exemplars().family()?;
        let histogram = family.with(&[("stage", "read")])?;
        for (number, duration) in (0..).zip(DURATIONS) {
            histogram.record_with_exemplar(duration, &span(number + 1)?);
        }
        family.with(&[("stage", "idle")])?;
    }
    Ok(())
}

/// Samples by name and labels; `le` in one form.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// What a page must show of the families that [`fill`] makes, the histograms aside.
fn expected(utf8_names: bool) -> Samples {
    let mut samples = Samples::new();
    let mut add = |name: &str, labels: &[(&str, &str)], value: f64| {
        let labels = labels
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        samples.insert((name.into(), labels.collect()), value);
    };
    for (at, value) in (1u8..).zip(AWKWARD) {
        add(
            "shown_awkward_total",
            &[("value", value), ("also", "x")],
            at.into(),
        );
    }
    let (odd, begin) = match utf8_names {
        true => (ODD_NAMES, "shown."),
        false => (ODD_NAMES_ESCAPED, "shown_"),
    };
    for (at, (name, label)) in (1u8..).zip(odd) {
        add(&format!("{begin}{name}_total"), &[(label, "x")], at.into());
    }
    add("shown_plain_total", &[], 7.0);
    add("shown_zero_total", &[], 0.0);
    add("shown_jobs", &[], -1.0);
    add("shown_jobs_total", &[], 8.0);
    add("shown_large_total", &[], 9_007_199_254_740_994.0);
    add("shown_energy_joules_total", &[], 0.1);
    add("shown_up", &[], f64::INFINITY);
    add("shown_down", &[], f64::NEG_INFINITY);
    add("shown_tiny", &[], 1e-300);
    let pid = process::id().to_string();
    for mode in GaugeMode::ALL {
        let name = format!("shown_{}", mode.name().replace('-', "_"));
        let own = [("pid", pid.as_str()), ("slot", "0")];
        let labels: &[(&str, &str)] = if mode == GaugeMode::Each { &own } else { &[] };
        add(&format!("{name}_depth"), labels, -3.0);
        add(&format!("{name}_size_bytes"), labels, 3072.0);
    }
    add("shown_build_info", &[("version", "1.2 \"beta\"")], 1.0);
    add("shown_state", &[("shown_state", "idle")], 0.0);
    add("shown_state", &[("shown_state", "busy")], 1.0);
    samples
}

struct Page {
    text: String,
    families: Vec<Value>,
}

/// Asks an exporter for its page and lets the official client parse it.
fn page(exporter: &Server, accept: &str) -> Page {
    let answer = http::get(exporter.address, "/metrics", accept).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.head);
    let media_type = accept.split(';').next().unwrap();
    assert!(answer.head.contains(media_type), "{}", answer.head);
    let format = match media_type {
        "application/openmetrics-text" => "openmetrics",
        _ => "text",
    };
    let families =
        parse(&answer.body, format).unwrap_or_else(|error| panic!("{error}\n{}", answer.body));
    Page {
        text: answer.body,
        families,
    }
}

fn parse(page: &str, format: &str) -> Result<Vec<Value>, String> {
    let mut command = Command::new(server::python());
    command.args([
        concat!(env!("CARGO_MANIFEST_DIR"), "/python/parse.py"),
        format,
    ]);
    let output = server::run(command, page);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// The samples of the families that [`fill`] made.
fn samples(page: &Page) -> Samples {
    let mut samples = Samples::new();
    let all = page
        .families
        .iter()
        .flat_map(|family| family["samples"].as_array().unwrap());
    for sample in all {
        let name = sample[0].as_str().unwrap().to_owned();
        if !name.starts_with("shown") {
            continue;
        }
        let labels: BTreeMap<String, String> = serde_json::from_value(sample[1].clone()).unwrap();
        // Python writes `inf` and `nan`, which Rust reads.
        let value = sample[2].as_str().unwrap().parse().unwrap();
        let before = samples.insert((name, labels), value);
        assert_eq!(before, None, "a sample stands twice: {sample}");
    }
    samples
}

/// Whether a sample belongs to a histogram.
fn is_of_histogram(name: &str) -> bool {
    name.contains("_explicit_seconds_") || name.contains("_hdr_seconds_")
}

fn same(left: f64, right: f64) -> bool {
    left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan()
}

fn compare(shown: &Samples, expected: &Samples) {
    for (key, value) in shown {
        let wanted = expected.get(key);
        assert!(
            wanted.is_some_and(|&wanted| same(wanted, *value)),
            "{key:?} is {value}, expected {wanted:?}"
        );
    }
    for key in expected.keys() {
        assert!(shown.contains_key(key), "{key:?} is missing");
    }
}

/// Checks a histogram's samples against the values recorded, bound by bound.
#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn check_histogram(shown: &Samples, name: &str, stage: &str, recorded: &[u64]) {
    let of = |suffix: &str| {
        let wanted = format!("{name}_{suffix}");
        let matching = shown
            .iter()
            .filter(move |((name, labels), _)| *name == wanted && labels["stage"] == stage);
        matching
            .map(|((_, labels), value)| (labels.get("le").cloned(), *value))
            .collect::<Vec<_>>()
    };
    let count = recorded.len() as f64;
    let sum = recorded.iter().sum::<u64>() as f64 / 1e9;
    assert_eq!(of("count"), [(None, count)], "{name} {stage}");
    assert_eq!(of("sum"), [(None, sum)], "{name} {stage}");
    let buckets = of("bucket");
    assert!(
        buckets.contains(&(Some("+Inf".into()), count)),
        "{buckets:?}"
    );
    assert!(buckets.len() >= 4, "{buckets:?}");
    for (bound, value) in buckets {
        let seconds: f64 = bound.unwrap().parse().unwrap();
        let below = recorded
            .iter()
            .filter(|&&nanos| nanos as f64 / 1e9 <= seconds)
            .count();
        assert_eq!(value, below as f64, "{name} {stage} le={seconds}");
    }
}

fn check_page(page: &Page, utf8_names: bool) {
    let (histograms, others): (Samples, Samples) = samples(page)
        .into_iter()
        .partition(|((name, _), _)| is_of_histogram(name));
    compare(&others, &expected(utf8_names));
    for name in ["shown_explicit_seconds", "shown_hdr_seconds"] {
        check_histogram(&histograms, name, "read", &DURATIONS);
        check_histogram(&histograms, name, "idle", &[]);
    }
    let bounds = histograms
        .keys()
        .filter(|(name, _)| name == "shown_explicit_seconds_bucket");
    assert_eq!(bounds.count(), 2 * 4, "two series, three bounds and +Inf");
    let awkward = page
        .families
        .iter()
        .find(|family| family["name"] == "shown_awkward")
        .unwrap();
    assert_eq!(awkward["help"], "A \\ and a \n in a \"help\"");
    assert_eq!(awkward["type"], "counter");
}

/// Sees that the exemplars which the official client found are those that were left, each on a sample that may
/// have one and in its bucket.
fn check_exemplars(page: &Page) {
    let samples = page.families.iter();
    let samples = samples.flat_map(|family| family["samples"].as_array().unwrap());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for sample in samples.filter(|sample| !sample[3].is_null()) {
        let [name, labels, _, exemplar] = &sample.as_array().unwrap()[..] else {
            panic!("{sample}");
        };
        let name = name.as_str().unwrap();
        let trace = exemplar[0]["trace_id"].as_str().unwrap();
        let number = u8::from_str_radix(&trace[..2], 16).unwrap();
        let expected = span(number).unwrap();
        assert_eq!(trace, expected.trace_id().to_string());
        assert_eq!(exemplar[0]["span_id"], expected.span_id().to_string());
        assert!(exemplar[2].as_f64().unwrap() > 1.6e9, "{sample}");
        let value = exemplar[1].as_f64().unwrap();
        *counts.entry(name).or_default() += 1;
        if name == "shown_plain_total" {
            assert_eq!((number, value), (7, 7.0));
            continue;
        }
        assert!(name.ends_with("_bucket"), "{sample}");
        #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
        let recorded = DURATIONS[usize::from(number) - 1] as f64 / 1e9;
        assert_eq!(value, recorded, "{sample}");
        let bound: f64 = labels["le"].as_str().unwrap().parse().unwrap();
        assert!(value <= bound, "{sample}");
    }
    assert_eq!(counts["shown_plain_total"], 1);
    assert_eq!(
        counts["shown_explicit_seconds_bucket"], 4,
        "every bucket has one"
    );
    assert!(counts["shown_hdr_seconds_bucket"] >= 3, "{counts:?}");
}

/// A segment with one of everything and an exporter on it.
fn exported() -> (Scratch, Writer, Server) {
    let scratch = Scratch::new();
    let writer = SegmentOptions::new()
        .path(scratch.segment())
        .attach()
        .unwrap();
    fill(&writer).unwrap();
    let exporter = Server::exporter(&scratch.segment());
    (scratch, writer, exporter)
}

#[test]
fn the_official_client_reads_the_text_page() {
    let (_scratch, _writer, exporter) = exported();
    check_page(&page(&exporter, TEXT), false);
    check_page(&page(&exporter, TEXT_1), true);
}

#[test]
fn the_official_client_reads_the_openmetrics_page() {
    let (_scratch, _writer, exporter) = exported();
    let page = page(&exporter, OPENMETRICS);
    check_page(&page, false);
    check_exemplars(&page);
    assert!(page.text.ends_with("# EOF\n"));
    let types: BTreeMap<&str, &str> = page
        .families
        .iter()
        .map(|family| {
            (
                family["name"].as_str().unwrap(),
                family["type"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(types["shown_build"], "info");
    assert_eq!(types["shown_state"], "stateset");
    assert_eq!(types["shown_hdr_seconds"], "histogram");
    // A counter beside a gauge of its name keeps its value and loses its type.
    assert_eq!(types["shown_jobs"], "gauge");
    assert_eq!(types["shown_jobs_total"], "unknown");
    let units = page.families.iter().filter(|family| family["unit"] != "");
    assert!(units.count() >= 12, "{}", page.text);
}

#[test]
fn the_official_client_reads_any_name() {
    let (_scratch, _writer, exporter) = exported();
    check_page(&page(&exporter, OPENMETRICS_UTF8), true);
    let names = |escaping: &str| -> Vec<String> {
        let page = page(
            &exporter,
            &format!("text/plain;version=1.0.0;escaping={escaping}"),
        );
        let names = samples(&page).into_keys().map(|(name, _)| name);
        names.filter(|name| name.contains("requests")).collect()
    };
    assert_eq!(names("allow-utf-8"), ["shown.requests_total"]);
    assert_eq!(names("underscores"), ["shown_requests_total"]);
    assert_eq!(names("dots"), ["shown_dot_requests__total"]);
    // Prefix and all, it begins with another letter.
    let page = http::get(
        exporter.address,
        "/metrics",
        "text/plain;version=1.0.0;escaping=values",
    );
    assert!(
        page.unwrap()
            .body
            .contains("\nU__shown_2e_requests__total{U__http_2e_method=\"x\"} 1\n")
    );
}

/// What the probe prints and what the exporter serves are one document.
#[test]
fn the_json_page_holds_what_the_probe_dumps() {
    let (scratch, _writer, exporter) = exported();
    let served = http::get(exporter.address, "/metrics", "application/json").unwrap();
    assert!(served.head.contains("application/json"), "{}", served.head);
    let mut served: Value = serde_json::from_str(&served.body).unwrap();
    let segment = &mut served["segments"][0];
    assert_eq!(segment["state"], "attached");
    let mut probe = Command::new(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
    probe.arg("--segment").arg(scratch.segment()).arg("dump");
    let output = server::run(probe, "");
    let mut dumped: Value = serde_json::from_slice(&output.stdout).unwrap();
    // They looked at different moments.
    for document in [&mut segment["snapshot"], &mut dumped] {
        let time = document.as_object_mut().unwrap().remove("time_unix_nanos");
        assert!(time.unwrap().as_u64().unwrap() > 0);
    }
    assert_eq!(segment["snapshot"], dumped);
    let families = dumped["families"].as_array().unwrap();
    assert!(families.len() > 30, "{dumped}");
    let plain = families.iter().find(|it| it["name"] == "shown_plain_total");
    let exemplar = &plain.unwrap()["series"][0]["exemplars"][0];
    assert_eq!(exemplar["trace_id"], "07".repeat(16));
    assert_eq!(
        (&exemplar["span_id"], &exemplar["value"]),
        (&"07".repeat(8).into(), &7.into())
    );
}

fn promtool(page: &str) -> (Option<i32>, String) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    let output = server::run(command, page);
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Our own judge, which is stricter than parsers are.
#[test]
fn the_probe_finds_no_fault() {
    let (scratch, _writer, exporter) = exported();
    let lint = |format: &str, page: &str| -> String {
        let mut probe = Command::new(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
        probe.args(["lint", "--as", format, page]);
        let output = server::run(probe, "");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.ends_with(" 0 findings\n"), "{told}");
        told
    };
    let address = format!("http://{}/metrics", exporter.address);
    assert!(lint("text", &address).contains("text"));
    assert!(lint("openmetrics", &address).contains("OpenMetrics"));
    for (format, accept) in [("text", TEXT_1), ("openmetrics", OPENMETRICS_UTF8)] {
        let page = http::get(exporter.address, "/metrics", accept)
            .unwrap()
            .body;
        assert!(page.contains("\n{\"shown.requests_total\",\"http.method\"=\"x\"} 1\n"));
        let file = scratch.path(format);
        std::fs::write(&file, page).unwrap();
        lint(format, file.to_str().unwrap());
    }
}

#[test]
fn promtool_finds_no_fault() {
    let (_scratch, _writer, exporter) = exported();
    let page = page(&exporter, TEXT);
    let (status, complaints) = promtool(&page.text);
    assert_eq!(
        (status, complaints.as_str()),
        (Some(0), ""),
        "{}",
        page.text
    );
}

/// The judges do find faults: the tests can fail.
#[test]
fn control_broken_pages_are_refused() {
    let unescaped = "# TYPE a counter\na_total{x=\"a\nb\"} 1\n";
    assert_eq!(promtool(unescaped).0, Some(1));
    parse(unescaped, "text").unwrap_err();
    // An exemplar that is longer than it may be, or on a sample that may have none.
    for exemplar in [
        format!("a_total 1 # {{x=\"{}\"}} 1\n", "x".repeat(128)),
        "a_created 1 # {x=\"y\"} 1\n".into(),
    ] {
        let page = format!("# TYPE a counter\n{exemplar}# EOF\n");
        parse(&page, "openmetrics").unwrap_err();
    }
    let without_end = "# TYPE a counter\na_total 1.0\n";
    parse(without_end, "openmetrics").unwrap_err();
    let lint = "# HELP a_total A\n# TYPE a_total gauge\na_total 1\n";
    assert_eq!(promtool(lint).0, Some(3));
}

/// All samples whose names begin with `shown`, as a server gives them back.
fn kept(server: &Server) -> Samples {
    let query = http::percent_encoded("{__name__=~\"shown.+\"}");
    let target = format!("/api/v1/query?query={query}");
    let Ok(answer) = http::get(server.address, &target, "application/json") else {
        return Samples::new();
    };
    // A server that is not ready answers other things.
    let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let series = answer["data"]["result"].as_array().into_iter().flatten();
    let samples = series.map(|series| {
        let labels = series["metric"].clone();
        let mut labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap();
        let name = labels.remove("__name__").unwrap();
        labels.retain(|name, _| !["instance", "job"].contains(&name.as_str()));
        let value = series["value"][1].as_str().unwrap().parse().unwrap();
        ((name, labels), value)
    });
    samples.collect()
}

/// Whole servers keep every sample of the page, whichever format they ask for.
#[test]
fn servers_give_the_whole_page_back() {
    let (scratch, _writer, exporter) = exported();
    let folder = |name: &str| {
        let folder = scratch.path(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let features = "--enable-feature=exemplar-storage";
    let servers = [
        Server::prometheus_with(&[features], exporter.address, &folder("prometheus")),
        Server::victoria_metrics(Some(exporter.address), &folder("victoria")),
    ];
    for server in &servers {
        let is_there = || {
            let (kept, expected) = (kept(server), expected(false));
            let mut names = kept.keys().map(|(name, _)| name);
            expected.keys().all(|key| kept.contains_key(key))
                && names.any(|name| name == "shown_hdr_seconds_count")
        };
        eventually("the page is kept", PATIENCE, is_there);
        // What one scrape brought may come to sight in parts.
        std::thread::sleep(std::time::Duration::from_secs(2));
        let (histograms, others): (Samples, Samples) = kept(server)
            .into_iter()
            .partition(|((name, _), _)| is_of_histogram(name));
        compare(&others, &expected(false));
        for name in ["shown_explicit_seconds", "shown_hdr_seconds"] {
            check_histogram(&histograms, name, "read", &DURATIONS);
            check_histogram(&histograms, name, "idle", &[]);
        }
    }
}
