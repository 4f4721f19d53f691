//! Exemplars in the text formats.

use tachograph::{Buckets, SegmentOptions, Snapshot, SpanContext, SpanId, TraceId, Unit, Writer};
use tachograph_exporter::text::TextRenderer;

fn span(number: u8) -> SpanContext {
    let trace = TraceId::try_from([number; 16]).unwrap();
    SpanContext::new(trace, SpanId::try_from([number; 8]).unwrap())
}

fn writer() -> Writer {
    SegmentOptions::new().heap().unwrap()
}

fn openmetrics(snapshot: &Snapshot) -> String {
    let mut renderer = TextRenderer::with_created(true);
    String::from_utf8_lossy(renderer.render_openmetrics(&[(None, snapshot)])).into_owned()
}

/// What a line with an exemplar of `span` says of it, up to its time.
fn exemplar(number: u8, value: &str) -> String {
    let (trace, span) = (span(number).trace_id(), span(number).span_id());
    format!(" # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} ")
}

/// The line that begins so: what stands before its exemplar's time, and the time.
fn line<'a>(page: &'a str, beginning: &str) -> (&'a str, &'a str) {
    let mut lines = page.lines().filter(|line| line.starts_with(beginning));
    let line = lines
        .next()
        .unwrap_or_else(|| panic!("no {beginning} in {page}"));
    assert!(lines.next().is_none(), "{page}");
    let blank = line.rfind(' ').unwrap() + 1;
    line.split_at(blank)
}

fn check_time(time: &str) {
    let (seconds, millis) = time.split_once('.').unwrap();
    assert!(seconds.len() == 10 && millis.len() == 3, "{time}");
}

#[test]
fn each_bucket_shows_its_own() {
    let writer = writer();
    let bounds = Buckets::explicit_in(&Unit::NANOSECONDS, &[0.005, 0.25, 1.0]).unwrap();
    let waits = writer
        .histogram("wait_seconds", "h")
        .unit(Unit::NANOSECONDS);
    let waits = waits.buckets(bounds).exemplars().register().unwrap();
    waits.record_with_exemplar(5_000_000, &span(1));
    waits.record(250_000_001);
    waits.record_with_exemplar(3_000_000_000, &span(2));
    let snapshot = writer.snapshot().unwrap();
    let page = openmetrics(&snapshot);
    for (le, count, shown) in [
        ("0.005", 1, Some((1, "0.005"))),
        ("+Inf", 3, Some((2, "3"))),
    ] {
        let (number, value) = shown.unwrap();
        let (said, time) = line(&page, &format!("wait_seconds_bucket{{le=\"{le}\"}}"));
        let expected = exemplar(number, value);
        assert_eq!(
            said,
            format!("wait_seconds_bucket{{le=\"{le}\"}} {count}{expected}")
        );
        check_time(time);
    }
    assert_eq!(page.matches(" # {").count(), 2, "{page}");
    assert!(
        page.contains("\nwait_seconds_bucket{le=\"0.25\"} 1\n"),
        "{page}"
    );
    assert!(page.contains("\nwait_seconds_created "), "{page}");
    // The text format has none.
    let mut renderer = TextRenderer::new();
    let text = String::from_utf8_lossy(renderer.render(&[(None, &snapshot)])).into_owned();
    assert!(
        text.contains("wait_seconds_bucket{le=\"+Inf\"} 3\n"),
        "{text}"
    );
    assert!(!text.contains("trace_id"), "{text}");
}

/// Of the exemplars of one exposed bucket the newest is shown, and each lies in its bucket.
#[test]
fn octaves_show_the_newest() {
    let writer = writer();
    let sizes = writer
        .histogram("sizes", "h")
        .exemplars()
        .register()
        .unwrap();
    sizes.record_with_exemplar(900, &span(9));
    // Longer than a tick of the clock.
    std::thread::sleep(std::time::Duration::from_millis(30));
    for (number, value) in (1..).zip([1, 40_000, 3_000_000, 1 << 31, (1 << 42) + 7]) {
        sizes.record_with_exemplar(value, &span(number));
    }
    let page = openmetrics(&writer.snapshot().unwrap());
    let (first, _) = line(&page, "sizes_bucket{le=\"2047.0\"}");
    assert!(first.ends_with(&exemplar(1, "1")), "{first}");
    let mut below = f64::NEG_INFINITY;
    let mut shown = 0;
    for line in page.lines().filter(|line| line.starts_with("sizes_bucket")) {
        let bound = line.split('"').nth(1).unwrap().parse().unwrap();
        if let Some((_, exemplar)) = line.split_once("\"} ").unwrap().1.split_once("\"} ") {
            let value: f64 = exemplar.split(' ').next().unwrap().parse().unwrap();
            assert!(below < value && value <= bound, "{line}");
            shown += 1;
        }
        below = bound;
    }
    assert_eq!(shown, 5, "{page}");
}

#[test]
fn counters_show_what_was_added() {
    let writer = writer();
    let sent = writer
        .counter("sent_bytes_total", "h")
        .unit(Unit::KIBIBYTES);
    let sent = sent
        .label("to", "a # {\"b\"}")
        .exemplars()
        .register()
        .unwrap();
    sent.add(1);
    sent.add_with_exemplar(2, &span(1));
    let spent = writer.counter_f64("spent_total", "h").exemplars();
    spent.register().unwrap().add_with_exemplar(0.5, &span(2));
    // A counter beside a gauge of its name is of no type that has exemplars.
    writer.gauge("jobs", "h").register().unwrap();
    let jobs = writer
        .counter("jobs_total", "h")
        .exemplars()
        .register()
        .unwrap();
    jobs.add_with_exemplar(1, &span(3));
    let page = openmetrics(&writer.snapshot().unwrap());
    let (said, time) = line(&page, "sent_bytes_total");
    let expected = exemplar(1, "2048");
    assert_eq!(
        said,
        format!("sent_bytes_total{{to=\"a # {{\\\"b\\\"}}\"}} 3072{expected}")
    );
    check_time(time);
    assert_eq!(
        line(&page, "spent_total").0,
        format!("spent_total 0.5{}", exemplar(2, "0.5"))
    );
    assert!(page.contains("\njobs_total 1\n"), "{page}");
}
