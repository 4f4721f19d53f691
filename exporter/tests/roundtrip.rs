//! Whatever a segment holds, each format says it, and a parser that is not ours finds it there again.

mod messages;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tachograph::{
    Buckets, Family, GaugeMode, HistogramView, Labels, SegmentOptions, Snapshot, Unit, ValueView,
    Writer,
};
use tachograph_exporter::Wanted;
use tachograph_exporter::protobuf::ProtobufRenderer;
use tachograph_exporter::text::TextRenderer;

/// A family with its series and what is recorded there.
#[derive(Debug, Clone)]
struct Declared {
    kind: Kind,
    unit: usize,
    help: String,
    series: BTreeMap<(String, String), Vec<u64>>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    CounterF64,
    Gauge(usize),
    GaugeF64(usize),
    LogLinear(u8),
    Explicit,
    Info,
    States(GaugeMode),
}

/// Units with the names that families of them end in.
fn unit(at: usize) -> (Unit, &'static str) {
    match at {
        0 => (Unit::NONE, ""),
        1 => (Unit::NANOSECONDS, "_seconds"),
        2 => (Unit::KIBIBYTES, "_bytes"),
        _ => (Unit::custom("joules", 3, 7), "_joules"),
    }
}

fn text() -> impl Strategy<Value = String> {
    "(?s)[\\\\\"\n,}{=# a-c花\r\t]{0,10}|(?s).{0,10}"
}

fn declared() -> impl Strategy<Value = Declared> {
    let kind = prop_oneof![
        Just(Kind::Counter),
        Just(Kind::CounterF64),
        (0..9usize).prop_map(Kind::Gauge),
        (0..9usize).prop_map(Kind::GaugeF64),
        (0..8u8).prop_map(Kind::LogLinear),
        Just(Kind::Explicit),
        Just(Kind::Info),
        prop::sample::select(vec![
            GaugeMode::Max,
            GaugeMode::Each,
            GaugeMode::LastingLatest
        ])
        .prop_map(Kind::States),
    ];
    let bits = prop_oneof![
        any::<u64>(),
        0..1000u64,
        Just(f64::INFINITY.to_bits()),
        Just(f64::NEG_INFINITY.to_bits()),
        Just(f64::NAN.to_bits()),
        any::<f64>().prop_map(f64::to_bits),
    ];
    let values = proptest::collection::vec(bits, 0..4);
    // No series at all is a family, too.
    let series = proptest::collection::btree_map((text(), text()), values, 0..4);
    (kind, 0..4usize, text(), series).prop_map(|(kind, unit, help, series)| Declared {
        kind,
        unit,
        help,
        series,
    })
}

fn record(writer: &Writer, at: usize, declared: &Declared) {
    let (unit, end) = unit(declared.unit);
    let (name, help) = (format!("f{at}{end}"), declared.help.as_str());
    let total = format!("{name}_total");
    for ((a, b), values) in &declared.series {
        let (a, b, values) = (("a", a.as_str()), ("pid", b.as_str()), values.iter());
        macro_rules! series {
            ($registration:expr) => {
                $registration
                    .label(a.0, a.1)
                    .label(b.0, b.1)
                    .register()
                    .unwrap()
            };
        }
        match declared.kind {
            Kind::Counter => {
                let counter = series!(writer.counter(&total, help).unit(unit.clone()));
                values.for_each(|&value| counter.add(value));
            }
            Kind::CounterF64 => {
                let counter = series!(writer.counter_f64(&total, help).unit(unit.clone()));
                values.for_each(|&value| counter.add(f64::from_bits(value)));
            }
            Kind::Gauge(mode) => {
                let gauge = writer.gauge(&name, help).unit(unit.clone());
                let gauge = series!(gauge.mode(GaugeMode::ALL[mode]));
                values.for_each(|&value| gauge.set(value.cast_signed()));
            }
            Kind::GaugeF64(mode) => {
                let gauge = writer.gauge_f64(&name, help).unit(unit.clone());
                let gauge = series!(gauge.mode(GaugeMode::ALL[mode]));
                values.for_each(|&value| gauge.set(f64::from_bits(value)));
            }
            Kind::LogLinear(precision) => {
                let buckets = Buckets::log_linear(precision, 1 << 50).unwrap();
                let histogram = writer.histogram(&name, help).unit(unit.clone());
                let histogram = series!(histogram.buckets(buckets));
                values.for_each(|&value| histogram.record(value));
            }
            Kind::Explicit => {
                let buckets = Buckets::explicit([1, 10, 500, 1 << 40]).unwrap();
                let histogram = writer.histogram(&name, help).unit(unit.clone());
                let histogram = series!(histogram.buckets(buckets));
                values.for_each(|&value| histogram.record(value));
            }
            Kind::Info => {
                series!(writer.info(&format!("i{at}"), help));
            }
            Kind::States(mode) => {
                let states = writer.state_set(&format!("s{at}"), help, &["on \"x\"", "off\\"]);
                let states = series!(states.mode(mode));
                values.for_each(|&value| states.set((value % 2) as usize));
            }
        }
    }
}

/// Samples by name and labels; `le` as a float in one form.
type Samples = BTreeMap<(String, Vec<(String, String)>), f64>;

fn canonical(bound: f64) -> String {
    format!("{bound:e}")
}

/// The labels of a series as the page shows them, sorted.
fn exposed(labels: &Labels, more: &[(&str, &str)], is_each: bool) -> Vec<(String, String)> {
    let own = labels.iter().map(|label| match label.name {
        "pid" if is_each => ("exported_pid".to_owned(), label.value.to_string()),
        name => (name.to_owned(), label.value.to_string()),
    });
    let more = more
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut labels: Vec<_> = own.chain(more).collect();
    labels.sort();
    labels
}

/// All that a page must say.
fn expected(snapshot: &Snapshot) -> Samples {
    let mut samples = Samples::new();
    for view in snapshot.families() {
        let family = view.family;
        let scale = family.unit.scale();
        for series in view.series() {
            let labels = &series.series.labels;
            let mut add = |name: &str, more: &[(&str, &str)], is_each, value: f64| {
                let key = (name.to_owned(), exposed(labels, more, is_each));
                samples.insert(key, value);
            };
            match series.value {
                ValueView::Absent => {}
                ValueView::Number(number) => {
                    add(&family.name, &[], false, number.scaled(scale).as_f64());
                }
                ValueView::Info => add(&format!("{}_info", family.name), &[], false, 1.0),
                ValueView::States(states) => {
                    for (state, &holds) in family.states.iter().zip(states) {
                        add(
                            &family.name,
                            &[(&family.name, state)],
                            false,
                            f64::from(holds),
                        );
                    }
                }
                ValueView::Each(values) => {
                    for value in values {
                        let (pid, slot) = (value.pid.to_string(), value.slot.to_string());
                        let process = [("pid", &*pid), ("slot", &*slot)];
                        if family.states.is_empty() {
                            add(
                                &family.name,
                                &process,
                                true,
                                value.value.scaled(scale).as_f64(),
                            );
                        }
                        for (at, state) in (0u8..).zip(&family.states) {
                            let more = [process[0], process[1], (&*family.name, &**state)];
                            let holds = same(value.value.as_f64(), at.into());
                            add(&family.name, &more, true, f64::from(holds));
                        }
                    }
                }
                ValueView::Histogram(histogram) => {
                    let sums = distribution(family, histogram);
                    for (suffix, bound, value) in sums {
                        let more = bound.as_ref().map(|bound| ("le", bound.as_str()));
                        let more: Vec<(&str, &str)> = more.into_iter().collect();
                        add(&format!("{}{suffix}", family.name), &more, false, value);
                    }
                }
            }
        }
    }
    samples
}

/// The samples of a histogram: suffix, bound and value.
#[expect(clippy::cast_precision_loss, reason = "a page has floats")]
fn distribution(
    family: &Family,
    histogram: HistogramView<'_>,
) -> Vec<(&'static str, Option<String>, f64)> {
    let scale = family.unit.scale();
    let buckets = family.buckets.as_ref().unwrap();
    let count = histogram.count() as f64;
    let mut samples = vec![
        ("_sum", None, scale.apply(histogram.sum as f64)),
        ("_count", None, count),
        ("_bucket", Some(canonical(f64::INFINITY)), count),
    ];
    for (last, bound) in buckets.exposed() {
        let below: u64 = histogram.counts[..=last].iter().sum();
        let bound = canonical(scale.apply(bound as f64));
        samples.push(("_bucket", Some(bound), below as f64));
    }
    samples
}

fn same(left: f64, right: f64) -> bool {
    left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan() || left == right
}

/// The samples of a text page, read as scrapers do.
fn parsed(page: &str) -> Samples {
    let mut samples = Samples::new();
    for line in page
        .split('\n')
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, value) = rest.split_once("=\"").unwrap();
                let (text, end) = unquoted(value);
                labels.push((label.to_owned(), text));
                rest = value[end..].strip_prefix(',').unwrap_or(&value[end..]);
            }
            rest = &rest[1..];
        }
        let value = rest.strip_prefix(' ').unwrap().parse().unwrap();
        let before = samples.insert(key(name, labels), value);
        assert_eq!(before, None, "{line}");
    }
    samples
}

fn key(name: &str, mut labels: Vec<(String, String)>) -> (String, Vec<(String, String)>) {
    if name.ends_with("_bucket") {
        let le = labels.iter_mut().find(|(name, _)| name == "le").unwrap();
        le.1 = canonical(le.1.parse().unwrap());
    }
    labels.sort();
    (name.to_owned(), labels)
}

/// Text up to its closing quote, and where that ends.
fn unquoted(quoted: &str) -> (String, usize) {
    let mut text = String::new();
    let mut rest = quoted.char_indices();
    loop {
        match rest.next().unwrap() {
            (end, '"') => return (text, end + 1),
            (_, '\\') => text.push(match rest.next().unwrap().1 {
                'n' => '\n',
                other => other,
            }),
            (_, other) => text.push(other),
        }
    }
}

/// The samples of a protobuf page.
#[expect(clippy::cast_precision_loss, reason = "a page has floats")]
fn decoded(page: &[u8]) -> Samples {
    let mut samples = Samples::new();
    for family in messages::families(page) {
        for metric in &family.metrics {
            let labels = metric.labels.iter();
            let labels: Vec<_> = labels
                .map(|it| (it.name.clone(), it.value.clone()))
                .collect();
            let mut add = |suffix: &str, bound: Option<f64>, value: f64| {
                let mut labels = labels.clone();
                labels.extend(bound.map(|bound| ("le".to_owned(), bound.to_string())));
                samples.insert(key(&format!("{}{suffix}", family.name), labels), value);
            };
            if let Some(value) = metric.counter.as_ref().or(metric.gauge.as_ref()) {
                add("", None, value.value);
            }
            let Some(histogram) = &metric.histogram else {
                continue;
            };
            add("_count", None, histogram.count as f64);
            add("_sum", None, histogram.sum);
            for bucket in &histogram.buckets {
                add(
                    "_bucket",
                    Some(bucket.upper_bound),
                    bucket.cumulative_count as f64,
                );
            }
            if histogram.schema.is_some() {
                assert_eq!(native_count(histogram), histogram.count);
            }
        }
    }
    samples
}

/// How many values the native buckets of a histogram hold.
fn native_count(histogram: &messages::Histogram) -> u64 {
    let lengths: u32 = histogram.spans.iter().map(|span| span.length).sum();
    assert_eq!(lengths as usize, histogram.deltas.len());
    let mut bucket = 0i64;
    let mut count = histogram.zero_count;
    for delta in &histogram.deltas {
        bucket += delta;
        count += bucket.cast_unsigned();
    }
    count
}

fn compare(format: &str, found: &Samples, expected: &Samples) {
    for (key, value) in found {
        let wanted = expected.get(key);
        assert!(
            wanted.is_some_and(|&wanted| same(wanted, *value)),
            "{format}: {key:?} is {value}, expected {wanted:?}"
        );
    }
    for key in expected.keys() {
        assert!(found.contains_key(key), "{format}: {key:?} is missing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(128)
    })]

    #[test]
    fn every_format_says_what_the_snapshot_holds(
        families in proptest::collection::vec(declared(), 0..6)
    ) {
        let writer = SegmentOptions::new().series(200).heap().unwrap();
        for (at, declared) in families.iter().enumerate() {
            record(&writer, at, declared);
        }
        let snapshot = writer.snapshot().unwrap();
        let expected = expected(&snapshot);
        let segments = [(None, &snapshot)];
        let mut renderer = TextRenderer::new();
        let text = String::from_utf8(renderer.render(&segments).to_vec()).unwrap();
        compare("text", &parsed(&text), &expected);
        let openmetrics = renderer.render_openmetrics(&segments).to_vec();
        let openmetrics = String::from_utf8(openmetrics).unwrap();
        prop_assert!(openmetrics.ends_with("# EOF\n"));
        compare("OpenMetrics", &parsed(&openmetrics), &expected);
        let mut page = Vec::new();
        ProtobufRenderer::default().render_over(&segments, &Wanted::default(), &mut page);
        compare("protobuf", &decoded(&page), &expected);
        prop_assert_eq!(renderer.conflicts(), []);
    }
}

/// The test can fail.
#[test]
#[should_panic(expected = "is missing")]
fn control_a_sample_that_is_not_shown_is_missed() {
    let writer = SegmentOptions::new().series(200).heap().unwrap();
    writer.counter("a_total", "").register().unwrap();
    compare("text", &parsed(""), &expected(&writer.snapshot().unwrap()));
}
