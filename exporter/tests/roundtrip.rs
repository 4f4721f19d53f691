//! Whatever a segment holds, each format says it, and a parser that is not ours finds it there again.

mod messages;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;
use tachograph::{
    Buckets, Family, GaugeMode, HistogramView, Labels, Number, SegmentOptions, Snapshot, Unit,
    ValueView, Writer,
};
use tachograph_exporter::protobuf::ProtobufRenderer;
use tachograph_exporter::text::{Syntax, TextRenderer};
use tachograph_exporter::{Escaping, Wanted, json};

/// A family with its series and what is recorded there.
#[derive(Debug, Clone)]
struct Declared {
    kind: Kind,
    unit: usize,
    help: String,
    /// What stands in the name and in that of a label.
    odd: String,
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
    (kind, 0..4usize, text(), odd(), series).prop_map(|(kind, unit, help, odd, series)| Declared {
        kind,
        unit,
        help,
        odd,
        series,
    })
}

/// A part of a name: nothing, or any text in which nothing has a meaning.
fn odd() -> impl Strategy<Value = String> {
    let any = text().prop_map(|text| text.replace([':', '_', '\0'], "."));
    prop_oneof![Just(String::new()), any]
}

fn record(writer: &Writer, at: usize, declared: &Declared) {
    let (unit, end) = unit(declared.unit);
    let odd = &declared.odd;
    let (name, help) = (format!("f{at}{odd}{end}"), declared.help.as_str());
    let label = format!("a{odd}");
    let total = format!("{name}_total");
    for ((a, b), values) in &declared.series {
        let (a, b, values) = ((&label, a.as_str()), ("pid", b.as_str()), values.iter());
        macro_rules! series {
            ($registration:expr) => {
                $registration
                    .utf8_names()
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
                series!(writer.info(&format!("i{at}{odd}"), help));
            }
            Kind::States(mode) => {
                let states = writer.state_set(&format!("s{at}{odd}"), help, &["on \"x\"", "off\\"]);
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
        let (mut name, mut rest) = word(line, &['{', ' ']);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (found, behind) = word(rest, &['=']);
                rest = behind;
                if let Some(value) = behind.strip_prefix('=') {
                    let (value, behind) = word(value, &[]);
                    labels.push((found, value));
                    rest = behind;
                } else {
                    assert_eq!(name, "", "{line}");
                    name = found;
                }
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
            rest = &rest[1..];
        }
        let value = rest.strip_prefix(' ').unwrap().parse().unwrap();
        let before = samples.insert(key(&name, labels), value);
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

/// A name or value in quotes, or what stands before one of `ends`; and the rest.
fn word<'a>(text: &'a str, ends: &[char]) -> (String, &'a str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let (word, end) = unquoted(quoted);
        return (word, &quoted[end..]);
    }
    let (word, rest) = text.split_at(text.find(ends).unwrap());
    (word.to_owned(), rest)
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

/// Sees that a document in JSON holds all of a snapshot's numbers, to the last digit.
fn compare_json(document: &Value, snapshot: &Snapshot) {
    let families = document["families"].as_array().unwrap();
    assert_eq!(families.len(), snapshot.families().count());
    for (shown, view) in families.iter().zip(snapshot.families()) {
        let family = view.family;
        assert_eq!(shown["name"], *family.name);
        assert_eq!(shown["help"], *family.help);
        assert_eq!(shown["unit"], *family.unit.base());
        let series = shown["series"].as_array().unwrap();
        assert_eq!(series.len(), family.series.len());
        for (shown, series) in series.iter().zip(view.series()) {
            let labels = series.series.labels.iter();
            let labels: BTreeMap<&str, &str> =
                labels.map(|label| (label.name, label.value)).collect();
            assert_eq!(shown["labels"], serde_json::to_value(labels).unwrap());
            compare_value(shown, family, series.value);
        }
    }
}

fn compare_value(shown: &Value, family: &Family, value: ValueView<'_>) {
    match value {
        ValueView::Absent => assert_eq!(shown["value"], Value::Null),
        ValueView::Number(number) => assert!(says(shown, number), "{shown}: {number:?}"),
        ValueView::Info => assert_eq!(shown["value"], 1),
        ValueView::States(states) => {
            for (state, &holds) in family.states.iter().zip(states) {
                assert_eq!(shown["states"][state], holds);
            }
        }
        ValueView::Each(values) => {
            let shown = shown["each"].as_array().unwrap();
            assert_eq!(shown.len(), values.len());
            for (shown, value) in shown.iter().zip(values) {
                assert_eq!(shown["pid"], value.pid);
                assert_eq!(shown["slot"], value.slot);
                assert!(says(shown, value.value), "{shown}: {value:?}");
            }
        }
        ValueView::Histogram(view) => {
            let shown = &shown["histogram"];
            assert_eq!(shown["count"], view.count());
            let sum = shown["recorded_sum"].to_string();
            assert_eq!(sum, view.sum.to_string());
            let counts = view.counts.iter().enumerate().filter(|it| *it.1 > 0);
            let counts: Vec<(u64, u64)> = counts.map(|(at, &count)| (at as u64, count)).collect();
            let buckets = shown["buckets"].as_array().unwrap().iter();
            let number = |it: &Value| it.as_u64().unwrap();
            let buckets: Vec<(u64, u64)> = buckets
                .map(|it| (number(&it["index"]), number(&it["count"])))
                .collect();
            assert_eq!(buckets, counts);
        }
    }
}

/// Whether this says what was recorded, to the last digit.
fn says(shown: &Value, number: Number) -> bool {
    let recorded = shown.get("recorded").unwrap_or(&shown["value"]);
    match number {
        Number::Unsigned(number) => recorded.as_u64() == Some(number),
        Number::Signed(number) => recorded.as_i64() == Some(number),
        Number::Float(number) => {
            let text = recorded.as_str().map(|text| text.parse().unwrap());
            same(text.unwrap_or_else(|| recorded.as_f64().unwrap()), number)
        }
    }
}

/// What is left of samples when names are set aside: the values of labels, sorted, with the numbers.
fn nameless(samples: &Samples) -> Vec<(Vec<String>, u64)> {
    let nameless = samples.iter().map(|((_, labels), value)| {
        let mut labels: Vec<String> = labels.iter().map(|(_, value)| value.clone()).collect();
        labels.sort();
        let value = if value.is_nan() { f64::NAN } else { *value };
        (labels, value.to_bits())
    });
    let mut nameless: Vec<_> = nameless.collect();
    nameless.sort();
    nameless
}

/// Sees that a page has the samples, under names that every scraper reads.
fn compare_escaped(format: &str, found: &Samples, expected: &Samples) {
    let is_plain = |name: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.chars().all(is_part) && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    for (name, labels) in found.keys() {
        assert!(is_plain(name), "{format}: {name}");
        assert!(
            labels.iter().all(|(name, _)| is_plain(name)),
            "{format}: {labels:?}"
        );
    }
    assert_eq!(nameless(found), nameless(expected), "{format}");
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
        let wanted = Wanted::default();
        let (mut text, mut protobuf) = (TextRenderer::new(), ProtobufRenderer::default());
        for escaping in Escaping::ALL {
            let compare = match escaping {
                Escaping::AllowUtf8 => compare,
                _ => compare_escaped,
            };
            let name = escaping.name();
            for syntax in [Syntax::Prometheus, Syntax::OpenMetrics] {
                let mut page = Vec::new();
                text.render_as(syntax, escaping, &segments, &wanted, &mut page);
                let page = String::from_utf8(page).unwrap();
                compare(&format!("{syntax:?}, {name}"), &parsed(&page), &expected);
            }
            let mut page = Vec::new();
            protobuf.render_over(&segments, escaping, &wanted, &mut page);
            compare(&format!("protobuf, {name}"), &decoded(&page), &expected);
            prop_assert_eq!(text.conflicts(), []);
        }
        let mut page = Vec::new();
        json::render_snapshot(&snapshot, &mut page);
        compare_json(&serde_json::from_slice(&page).unwrap(), &snapshot);
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
