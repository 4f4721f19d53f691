//! `ls`, `get` and `dump`: what is shown is what was recorded.

use serde_json::{Value, json};

use tachograph::{SpanContext, Unit};

use crate::support::{Demo, attach, command, folder, probe, run};

fn family<'a>(document: &'a Value, name: &str) -> &'a Value {
    let families = document["families"].as_array().unwrap();
    let found = families.iter().find(|family| family["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {document}"))
}

#[test]
fn ls_lists_families_by_name() {
    let demo = Demo::new();
    let run = demo.probe(&["ls"]);
    let lines = run.lines();
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        words.join(" "),
        "NAME TYPE UNIT SERIES LIMIT FOLDED EACH HELP"
    );
    let names: Vec<&str> = lines[1..]
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "build_info",
            "cpu_seconds_total",
            "queue_bytes",
            "requests_total",
            "stage_duration_seconds",
            "worker_jobs",
            "worker_state"
        ]
    );
    assert!(lines[6].contains("gauge (each)") && lines[6].ends_with("Jobs of each worker"));
}

#[test]
fn ls_lists_series_when_asked() {
    let demo = Demo::new();
    let run = demo.probe(&["ls", "req*", "--series"]);
    let lines = run.lines();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].ends_with(r#"requests_total{code="200",method="get"}"#));
    assert!(lines[2].ends_with(r#"requests_total{code="503",method="post"}"#));
}

#[test]
fn ls_in_json_has_every_fact() {
    let demo = Demo::new();
    let document = demo.probe(&["ls", "--format", "json", "--series"]).json();
    assert_eq!(document["segment"]["path"], demo.path.to_str().unwrap());
    let requests = family(&document, "requests_total");
    assert_eq!(requests["type"], "counter");
    assert_eq!(requests["mode"], Value::Null);
    assert_eq!(requests["help"], "Requests served");
    assert_eq!(requests["series_count"], 2);
    assert_eq!(requests["overflowed"], 0);
    assert!(requests["series_bytes"].as_u64().unwrap() >= 8);
    assert_eq!(
        requests["series"][1]["labels"],
        json!({"code": "503", "method": "post"})
    );
    let state = family(&document, "worker_state");
    assert_eq!(state["type"], "stateset");
    assert_eq!(state["states"], json!(["idle", "busy"]));
    assert_eq!(family(&document, "cpu_seconds_total")["float"], true);
    assert_eq!(
        family(&document, "stage_duration_seconds")["unit"],
        "seconds"
    );
}

#[test]
fn ls_sorts_by_size() {
    let demo = Demo::new();
    let by_bytes = demo.probe(&["ls", "--sort", "bytes"]);
    assert!(
        by_bytes.lines()[1].starts_with("stage_duration_seconds"),
        "{by_bytes:?}"
    );
    let by_series = demo.probe(&["ls", "--sort", "series"]);
    assert!(by_series.lines()[1].starts_with("requests_total"));
}

#[test]
fn get_shows_scalars_in_aligned_columns() {
    let demo = Demo::new();
    let pid = std::process::id();
    let run = demo.probe(&["get", "*", "--label", "stage="]);
    let each = format!(r#"              -7  worker_jobs{{pid="{pid}",slot="0"}}"#);
    assert_eq!(
        run.lines(),
        [
            "           VALUE  SERIES",
            r#"               1  build_info{version="1.2"}"#,
            "          250 ms  cpu_seconds_total",
            "           2 KiB  queue_bytes",
            r#"4503599626321920  requests_total{code="200",method="get"}"#,
            r#"               2  requests_total{code="503",method="post"}"#,
            &each,
            "            busy  worker_state",
        ]
    );
}

#[test]
fn get_raw_shows_base_units() {
    let demo = Demo::new();
    let cpu = demo.probe(&["get", "--raw", "cpu_seconds_total"]);
    assert_eq!(cpu.lines()[1], " 0.25  cpu_seconds_total");
    let queue = demo.probe(&["get", "--raw", "queue_bytes"]);
    assert_eq!(queue.lines()[1], " 2048  queue_bytes");
}

#[test]
fn get_filters_by_label() {
    let demo = Demo::new();
    for (filters, values) in [
        (&["code=5*"][..], &["2"][..]),
        (&["method!=post"], &["4503599626321920"]),
        (&["method=get", "code=503"], &[]),
        (&["method=?*"], &["4503599626321920", "2"]),
    ] {
        let mut arguments = vec!["get", "requests_total"];
        for filter in filters {
            arguments.extend(["--label", filter]);
        }
        let run = demo.probe(&arguments);
        let lines = run.stdout.lines().skip(1);
        let found: Vec<&str> = lines
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(found, values, "{filters:?}");
    }
    let others = demo.probe(&["get", "worker_jobs", "--label", "slot!=0"]);
    assert_eq!(others.code, Some(1));
    let slot = demo.probe(&["get", "worker_jobs", "--label", "slot=0"]);
    assert_eq!(slot.lines().len(), 2);
    assert_eq!(
        demo.probe(&["get", "worker_jobs", "--label", "slot=1"])
            .code,
        Some(1)
    );
}

#[test]
fn get_draws_a_histogram() {
    let demo = Demo::new();
    let run = demo.probe(&["get", "stage*"]);
    let lines = run.lines();
    assert_eq!(lines[0], r#"stage_duration_seconds{stage="read"}"#);
    assert_eq!(
        lines[1],
        "  count 4  sum 56 ms  mean 14 ms  min 0 s  max 100 ms"
    );
    for name in ["p50 1 ms", "p90 100 ms", "p99 100 ms", "p99.9 100 ms"] {
        assert!(lines[2].contains(&format!("  {name}")), "{}", lines[2]);
    }
    let chart: Vec<Vec<&str>> = lines[3..]
        .iter()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(chart.len(), 3, "{run:?}");
    assert_eq!(chart[0][..5], ["0", "s", "–", "1", "ms"]);
    assert_eq!(chart[0][6..], ["2", "50.0%"]);
    assert_eq!(chart[2][6..], ["1", "25.0%"]);
    let widths = [0, 1, 2].map(|row: usize| chart[row][5].chars().count());
    assert_eq!(widths[0], widths[1] * 2);
    assert_eq!(widths[1], widths[2]);
    assert!(lines[3..].iter().all(|line| line.chars().count() <= 80));
}

#[test]
fn charts_are_ascii_where_blocks_cannot_be_shown() {
    let demo = Demo::new();
    let asked = demo.probe(&["get", "stage*", "--ascii"]);
    assert!(asked.stdout.contains("####") && asked.stdout.is_ascii());
    let mut c_locale = command(&["get", "stage*", "--segment"]);
    c_locale.arg(&demo.path).env("LC_ALL", "C");
    assert_eq!(run(c_locale).stdout, asked.stdout);
    let never = demo.probe(&["get", "stage*", "--chart", "never"]);
    assert_eq!(never.lines().len(), 3);
}

#[test]
fn get_in_json_is_exact() {
    let demo = Demo::new();
    let document = demo.probe(&["get", "--format", "json"]).json();
    let series = |name| &family(&document, name)["series"][0];
    assert_eq!(
        series("requests_total")["value"],
        json!(4_503_599_626_321_920_u64)
    );
    assert_eq!(series("cpu_seconds_total")["value"], json!(0.25));
    assert_eq!(series("queue_bytes")["value"], json!(2048));
    assert_eq!(series("build_info")["value"], json!(1));
    assert_eq!(
        series("worker_jobs")["each"],
        json!([{"slot": 0, "pid": std::process::id(), "value": -7}])
    );
    assert_eq!(
        series("worker_state")["states"],
        json!({"idle": false, "busy": true})
    );
    let histogram = &series("stage_duration_seconds")["histogram"];
    assert_eq!(histogram["count"], 4);
    assert_eq!(histogram["sum"], json!(0.056));
    assert_eq!(histogram["mean"], json!(0.014));
    let counts: Vec<u64> = histogram["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| bucket["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [2, 1, 1]);
    for name in ["min", "p50", "p90", "p99", "p999", "max"] {
        let value = histogram[name].as_f64().unwrap();
        assert!((0.0..=0.1).contains(&value), "{name} {value}");
    }
}

#[test]
fn a_value_that_nobody_set_is_null() {
    let demo = Demo::new();
    demo.writer
        .gauge("unset_jobs", "Nobody sets it")
        .mode(tachograph::GaugeMode::Max)
        .register()
        .unwrap();
    let document = demo
        .probe(&["get", "unset_jobs", "--format", "json"])
        .json();
    let series = &document["families"][0]["series"][0];
    assert_eq!(series.get("value"), Some(&Value::Null), "{series}");
    let text = demo.probe(&["get", "unset_jobs"]);
    assert_eq!(text.lines()[1], "    -  unset_jobs");
}

#[test]
fn label_values_cannot_command_the_terminal() {
    let demo = Demo::new();
    let nasty = demo.writer.counter("nasty_total", "A\x1b[2Jb");
    nasty
        .label("path", "x\x1b[31m\n\"\\")
        .register()
        .unwrap()
        .inc();
    for arguments in [
        &["ls"][..],
        &["ls", "--series"],
        &["get"],
        &["dump", "--format", "text"],
    ] {
        let run = demo.probe(arguments);
        assert!(!run.stdout.contains('\x1b'), "{arguments:?}");
    }
    let run = demo.probe(&["get", "nasty_total"]);
    assert_eq!(
        run.lines()[1],
        r#"    1  nasty_total{path="x\u{1b}[31m\n\"\\"}"#
    );
}

#[test]
fn dump_has_everything_in_one_document() {
    let demo = Demo::new();
    let document = demo.probe(&["dump"]).json();
    assert_eq!(document["families"].as_array().unwrap().len(), 7);
    assert_eq!(document["processes"][0]["name"], "tester");
    assert_eq!(document["segment"]["this_boot"], true);
    assert!(!document["segment"]["tables"].as_array().unwrap().is_empty());
    let losses = document["losses"].as_object().unwrap();
    assert_eq!(losses.len(), tachograph::Loss::ALL.len());
    assert!(losses.values().all(|count| count == 0), "{losses:?}");
    assert_eq!(document["damage"], json!([]));
    let got = demo.probe(&["get", "--format", "json"]).json();
    assert_eq!(document["families"], got["families"]);
}

#[test]
fn dump_in_text_has_every_section() {
    let demo = Demo::new();
    let run = demo.probe(&["dump", "--format", "text"]);
    let headings: Vec<&str> = run
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("# "))
        .collect();
    assert_eq!(
        headings,
        [
            "# Tables",
            "# Processes",
            "# Losses",
            "# Damage",
            "# Families",
            "# Values"
        ]
    );
    assert!(
        run.stdout
            .contains("stage_duration_seconds{stage=\"read\"}\n  count 4")
    );
}

#[test]
fn exemplars_are_shown_with_their_traces() {
    let folder = folder();
    let path = folder.path().join("a.seg");
    let writer = attach(&path);
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let header = format!("00-{trace}-{span}-01");
    let context = SpanContext::from_traceparent(&header).unwrap();
    let waits = writer.histogram("wait_seconds", "Waits");
    let waits = waits.unit(Unit::NANOSECONDS).label("stage", "read");
    let waits = waits.exemplars().register().unwrap();
    waits.record_with_exemplar(2_500_000, &context);
    let plain = writer.counter("jobs_total", "Jobs").exemplars();
    plain.register().unwrap().inc();
    let run = probe(&path, &["get", "--chart", "never"]);
    let lines = run.lines();
    let heading = lines.iter().position(|line| line.starts_with("EXEMPLAR"));
    let line = lines[heading.unwrap() + 1];
    assert!(line.trim_start().starts_with("2.5 ms  20"), "{line}");
    let expected = format!("{trace}  {span}  wait_seconds{{stage=\"read\"}}");
    assert!(line.ends_with(&expected), "{line}");
    assert_eq!(lines.len(), heading.unwrap() + 2, "{lines:?}");
    for command in [&["get", "--format", "json"][..], &["dump"]] {
        let document = probe(&path, command).json();
        let exemplar = &family(&document, "wait_seconds")["series"][0]["exemplars"][0];
        assert_eq!(exemplar["trace_id"], trace);
        assert_eq!(exemplar["span_id"], span);
        assert_eq!(exemplar["value"], 0.0025);
        assert!(exemplar["time_unix_nanos"].as_u64() > Some(1_600_000_000_000_000_000));
        let none = &family(&document, "jobs_total")["series"][0]["exemplars"];
        assert_eq!(none, &Value::Null);
    }
}

#[test]
fn selectors_are_those_of_promql() {
    let demo = Demo::new();
    let one = |selector| {
        let run = demo.probe(&["get", "--raw", selector]);
        run.lines()[1..]
            .iter()
            .map(|line| line.trim().to_owned())
            .collect::<Vec<String>>()
    };
    let post = r#"2  requests_total{code="503",method="post"}"#;
    assert_eq!(one(r#"requests_total{code=~"5.."}"#), [post]);
    assert_eq!(one(r#"{code!="200",code=~".+"}"#), [post]);
    assert_eq!(one(r#"requests_total{method!~"g.*"}"#), [post]);
    let stage = r#"{stage="read"}"#;
    assert_eq!(
        one("stage_duration_seconds_count"),
        [format!("4  stage_duration_seconds_count{stage}")]
    );
    assert_eq!(
        one("*_sum"),
        [format!("0.056  stage_duration_seconds_sum{stage}")]
    );
    let buckets = one("stage_duration_seconds_bucket");
    assert_eq!(buckets.len(), 4, "{buckets:?}");
    assert_eq!(
        buckets[0],
        r#"2  stage_duration_seconds_bucket{stage="read",le="0.001"}"#
    );
    assert_eq!(
        buckets[3],
        r#"4  stage_duration_seconds_bucket{stage="read",le="+Inf"}"#
    );
    let both = demo.probe(&["get", "queue_bytes", "worker_jobs"]);
    assert_eq!(both.lines().len(), 3);
    let wrong = demo.probe(&["get", "x{code=~\"(\"}"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("is no regular expression"),
        "{wrong:?}"
    );
}

#[test]
fn csv_has_a_header_and_stable_names() {
    let demo = Demo::new();
    let rows = |arguments: &[&str]| {
        let run = demo.probe(&[arguments, &["--format", "csv"]].concat());
        run.lines()
            .iter()
            .map(|&line| line.to_owned())
            .collect::<Vec<String>>()
    };
    assert_eq!(
        rows(&["get", "requests_total", "worker_state"]),
        [
            "family,type,unit,labels,field,value",
            r#"requests_total,counter,,"code=""200"",method=""get""",value,4503599626321920"#,
            r#"requests_total,counter,,"code=""503"",method=""post""",value,2"#,
            "worker_state,stateset,,,idle,0",
            "worker_state,stateset,,,busy,1",
        ]
    );
    let stage = rows(&["get", "stage*"]);
    assert_eq!(stage.len(), 10);
    assert_eq!(
        stage[1],
        r#"stage_duration_seconds,histogram,seconds,"stage=""read""",count,4"#
    );
    assert_eq!(rows(&["get", "stage*_count"]).len(), 2);
    assert_eq!(
        rows(&["ls", "queue*"])[0],
        "family,type,mode,unit,series_count,series_limit,overflowed,series_bytes,help"
    );
    assert!(rows(&["ls", "queue*"])[1].starts_with("queue_bytes,gauge,sum,bytes,1,"));
    assert_eq!(
        rows(&["procs"])[0],
        "slot,generation,pid,name,alive,recording,reason,attached_unix_nanos,holds_removed"
    );
    assert_eq!(rows(&["dump"]).len(), 1 + 2 + 1 + 1 + 1 + 9 + 1 + 2);
}
