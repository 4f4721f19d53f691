//! Families by their labels: which series there are, with which values, and how many sets were folded.
#![cfg(feature = "derive")]

use std::collections::BTreeMap;

use tachograph::{
    Counter, Dense, Error, FamilyHandle, Gauge, GaugeMode, Histogram, LabelSet, LabelValue,
    Labelled, Loss, Range, SegmentOptions, Snapshot, TestSegment, Unit,
};

#[derive(Debug, Clone, Copy, PartialEq, LabelValue)]
enum Method {
    Get,
    Post,
    Delete,
}

#[derive(Debug, Clone, Copy, LabelSet)]
struct Request {
    method: Method,
    cached: bool,
    device: Range<0, 4>,
}

#[derive(LabelSet)]
struct Endpoint<'a> {
    method: Method,
    #[label(rename = "endpoint")]
    path: &'a str,
    code: u16,
}

#[derive(LabelSet)]
struct Path<'a> {
    path: &'a str,
}

/// The series of a family with their numbers.
fn series(snapshot: &Snapshot, family: &str) -> BTreeMap<String, f64> {
    let view = snapshot.family(family).unwrap();
    let each = view.series().map(|series| {
        let labels = &series.series.labels;
        let texts: Vec<String> = labels
            .iter()
            .map(|label| format!("{}={}", label.name, label.value))
            .collect();
        let pairs: Vec<(&str, &str)> = labels
            .iter()
            .map(|label| (label.name, label.value))
            .collect();
        (texts.join(","), snapshot.number(family, &pairs))
    });
    each.collect()
}

#[test]
fn a_dense_family_has_every_combination_from_the_start() {
    let test = TestSegment::new();
    let requests: Dense<Counter, Request> = test
        .writer()
        .counter("requests_total", "h")
        .dense()
        .unwrap();
    assert!(
        series(&test.snapshot(), "requests_total")
            .values()
            .all(|&value| value == 0.0)
    );
    let mut expected = BTreeMap::new();
    let mut amount = 0;
    for method in Method::ALL {
        for cached in [false, true] {
            for device in (0..4).map(Range::new) {
                amount += 1;
                requests
                    .get(Request {
                        method,
                        cached,
                        device,
                    })
                    .add(amount);
                let labels = format!("cached={cached},device={},method={method}", device.get());
                expected.insert(labels, f64::from(u32::try_from(amount).unwrap()));
            }
        }
    }
    assert_eq!(expected.len(), 24);
    assert_eq!(series(&test.snapshot(), "requests_total"), expected);
    assert_eq!(test.folded("requests_total"), 0);
}

#[test]
fn a_dense_family_larger_than_its_limit_is_refused() {
    let test = TestSegment::new();
    let declared = test
        .writer()
        .counter("requests_total", "h")
        .series_limit(23);
    let refused = declared.dense::<Request>().unwrap_err().to_string();
    assert!(
        refused.contains("24 combinations") && refused.contains("series_limit"),
        "{refused}"
    );
}

#[test]
fn dense_families_of_every_type() {
    let test = TestSegment::new();
    let writer = test.writer();
    let gauges: Dense<Gauge, Request> = writer
        .gauge("depth", "h")
        .mode(GaugeMode::Max)
        .dense()
        .unwrap();
    let times: Dense<Histogram, Request> = writer
        .histogram("wait_seconds", "h")
        .unit(Unit::NANOSECONDS)
        .dense()
        .unwrap();
    let labels = Request {
        method: Method::Post,
        cached: true,
        device: Range::new(2),
    };
    gauges.get(labels).set(-4);
    times.get(labels).record(2_000_000_000);
    let labels = [("method", "post"), ("cached", "true"), ("device", "2")];
    assert_eq!(test.value("depth", &labels), Some(-4.0));
    assert_eq!(test.count("wait_seconds", &labels), Some(1));
    assert_eq!(test.sum("wait_seconds", &labels), Some(2.0));
}

#[test]
fn a_labelled_family_registers_what_is_used_and_finds_it_again() {
    let test = TestSegment::new();
    let requests: Labelled<Counter, Endpoint<'static>> = test
        .writer()
        .counter("requests_total", "h")
        .labelled()
        .unwrap();
    let mut expected = BTreeMap::new();
    for turn in 0..3u32 {
        for at in 0..300u16 {
            // Any UTF-8, neighbours in length and in content, and texts longer than a digest.
            let path = [
                "",
                "ä\n\"\\",
                "x",
                "a,b=c",
                "0123456789abcdef",
                "0123456789abcdefg",
            ][usize::from(at) % 6]
                .to_owned()
                + &"é".repeat(usize::from(at) / 6);
            let method = Method::ALL[usize::from(at) % 3];
            requests
                .with(&Endpoint {
                    method,
                    path: &path,
                    code: at,
                })
                .inc();
            let endpoint = if path.is_empty() {
                String::new()
            } else {
                format!("endpoint={path},")
            };
            expected.insert(
                format!("code={at},{endpoint}method={method}"),
                f64::from(turn + 1),
            );
        }
    }
    assert_eq!(expected.len(), 300);
    assert_eq!(series(&test.snapshot(), "requests_total"), expected);
    assert_eq!(test.folded("requests_total"), 0);
}

#[test]
fn sets_beyond_the_limit_are_folded_and_counted_once_each() {
    let test = TestSegment::new();
    let requests: Labelled<Counter, Path<'static>> = test
        .writer()
        .counter("requests_total", "h")
        .series_limit(10)
        .labelled()
        .unwrap();
    for _ in 0..3 {
        for at in 0..35 {
            requests
                .with(&Path {
                    path: &format!("/{at}"),
                })
                .inc();
        }
    }
    let mut expected: BTreeMap<String, f64> =
        (0..10).map(|at| (format!("path=/{at}"), 3.0)).collect();
    expected.insert("path=__other__".into(), 75.0);
    let snapshot = test.snapshot();
    assert_eq!(series(&snapshot, "requests_total"), expected);
    assert_eq!(test.folded("requests_total"), 25);
    assert_eq!(snapshot.losses.count(Loss::SeriesLimit), 25);
}

#[test]
fn a_value_that_is_too_long_is_folded() {
    let test = TestSegment::new();
    let requests: Labelled<Counter, Path<'static>> = test
        .writer()
        .counter("requests_total", "h")
        .label("service", "api")
        .labelled()
        .unwrap();
    let long = "x".repeat(5_000);
    (0..4).for_each(|_| requests.with(&Path { path: &long }).inc());
    requests
        .with(&Path {
            path: &long[..4_096],
        })
        .inc();
    let snapshot = test.snapshot();
    assert_eq!(
        test.value(
            "requests_total",
            &[("path", "__other__"), ("service", "__other__")]
        ),
        Some(4.0)
    );
    assert_eq!(
        test.value(
            "requests_total",
            &[("path", &long[..4_096]), ("service", "api")]
        ),
        Some(1.0)
    );
    assert_eq!(snapshot.losses.count(Loss::LabelTooLong), 1);
    assert_eq!(test.folded("requests_total"), 1);
}

#[test]
fn by_name_the_order_of_labels_does_not_matter_and_empty_ones_are_absent() {
    let test = TestSegment::new();
    let family: FamilyHandle<Counter> = test
        .writer()
        .counter("requests_total", "h")
        .family()
        .unwrap();
    for _ in 0..2 {
        family.with(&[("a", "1"), ("b", "2")]).unwrap().inc();
        family.with(&[("b", "2"), ("a", "1")]).unwrap().inc();
        family
            .with(&[("b", "2"), ("c", ""), ("a", "1")])
            .unwrap()
            .inc();
        family.with(&[("a", "2"), ("b", "1")]).unwrap().add(10);
        family.with(&[]).unwrap().add(100);
        let many = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")];
        family.with(&many).unwrap().add(1_000);
    }
    let expected = [
        ("", 200.0),
        ("a=1,b=2", 6.0),
        ("a=1,b=2,c=3,d=4,e=5", 2_000.0),
        ("a=2,b=1", 20.0),
    ];
    let expected = expected.map(|(labels, value)| (labels.to_owned(), value));
    assert_eq!(
        series(&test.snapshot(), "requests_total"),
        BTreeMap::from(expected)
    );
}

#[test]
fn bad_labels_are_errors_also_after_good_ones() {
    let test = TestSegment::new();
    let family: FamilyHandle<Counter> = test
        .writer()
        .counter("requests_total", "h")
        .family()
        .unwrap();
    family.with(&[("a", "1"), ("b", "2")]).unwrap();
    for labels in [
        [("a", "1"), ("a", "1")],
        [("a", "1"), ("le", "2")],
        [("a", "1"), ("quantile", "")],
        [("a", "1"), ("__b", "2")],
        [("a", "1"), ("b-c", "2")],
        [("a", "1"), ("request_id", "2")],
    ] {
        let refused = family.with(&labels).unwrap_err();
        assert!(
            matches!(
                refused,
                Error::Invalid {
                    what: "label name",
                    ..
                }
            ),
            "{refused}"
        );
    }
    assert_eq!(series(&test.snapshot(), "requests_total").len(), 1);
}

#[test]
fn ids_are_labels_only_where_they_are_allowed() {
    #[derive(LabelSet)]
    struct User<'a> {
        user_id: &'a str,
    }
    let test = TestSegment::new();
    let counter = || test.writer().counter("logins_total", "h");
    let refused = counter()
        .labelled::<User<'static>>()
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("user_id") && refused.contains("allow_id_labels"),
        "{refused}"
    );
    assert!(counter().label("session_id", "x").register().is_err());
    assert!(
        test.snapshot().family("logins_total").is_none(),
        "nothing was registered"
    );
    let logins = counter()
        .allow_id_labels()
        .labelled::<User<'static>>()
        .unwrap();
    logins.with(&User { user_id: "ann" }).inc();
    assert_eq!(test.value("logins_total", &[("user_id", "ann")]), Some(1.0));
}

#[test]
fn constant_and_other_labels_must_differ() {
    let test = TestSegment::new();
    let counter = || {
        test.writer()
            .counter("requests_total", "h")
            .label("path", "x")
    };
    assert!(counter().labelled::<Path<'static>>().is_err());
    assert!(counter().family().unwrap().with(&[("path", "y")]).is_err());
}

#[test]
fn threads_share_every_series() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let writer = SegmentOptions::new()
        .path(folder.path().join("a.seg"))
        .attach()
        .unwrap();
    let declare = || -> Labelled<Counter, Path<'static>> {
        writer
            .counter("requests_total", "h")
            .series_limit(600)
            .labelled()
            .unwrap()
    };
    let (one, two) = (declare(), declare());
    let paths: Vec<String> = (0..600).map(|at| format!("/{at}")).collect();
    let count = |family: &Labelled<Counter, Path<'static>>, step: usize| {
        (0..6_000).for_each(|at| {
            family
                .with(&Path {
                    path: &paths[at * step % 600],
                })
                .inc()
        });
    };
    std::thread::scope(|scope| {
        for (family, step) in [(&one, 1), (&one, 7), (&two, 11), (&two, 13)] {
            scope.spawn(move || count(family, step));
        }
    });
    let expected: BTreeMap<String, f64> = paths
        .iter()
        .map(|path| (format!("path={path}"), 40.0))
        .collect();
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(series(&snapshot, "requests_total"), expected);
    assert_eq!(snapshot.family("requests_total").unwrap().overflowed(), 0);
}

#[test]
fn every_series_has_the_time_of_its_creation() {
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(since.unwrap().as_nanos()).unwrap()
    };
    let test = TestSegment::new();
    let before = now();
    test.writer()
        .counter("requests_total", "h")
        .dense::<Request>()
        .unwrap();
    let after = now();
    let snapshot = test.snapshot();
    let series = snapshot.family("requests_total").unwrap().series();
    let created: Vec<u64> = series
        .map(|series| series.series.created_unix_nanos)
        .collect();
    assert_eq!(created.len(), 24);
    assert!(
        created.iter().all(|at| (before..=after).contains(at)),
        "{created:?}"
    );
}
