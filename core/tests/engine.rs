//! The engine from outside: what is recorded is what is read.

use std::path::PathBuf;

use tachograph::{
    Buckets, Error, GaugeMode, Loss, Number, Outcome, Reader, SegmentOptions, Sharding, Snapshot,
    Split, Unit, ValueView, Writer,
};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("test.seg")
    }

    fn options(&self) -> SegmentOptions {
        SegmentOptions::new().path(self.path())
    }
}

fn value<'a>(snapshot: &'a Snapshot, name: &str, labels: &[(&str, &str)]) -> ValueView<'a> {
    snapshot
        .value(name, labels)
        .unwrap_or_else(|| panic!("{name} {labels:?} is not there"))
}

/// The same must hold on the heap and in a file.
fn each_backing(check: impl Fn(Writer)) {
    check(SegmentOptions::new().heap().unwrap());
    let folder = Folder::new();
    check(folder.options().attach().unwrap());
}

#[test]
fn every_type_reads_back() {
    each_backing(|writer| {
        writer
            .counter("requests_total", "h")
            .label("b", "2")
            .label("a", "1")
            .register()
            .unwrap()
            .add(7);
        writer
            .counter_f64("energy_joules_total", "h")
            .register()
            .unwrap()
            .add(0.25);
        writer.gauge("depth", "h").register().unwrap().set(-3);
        writer
            .gauge_f64("load_ratio", "h")
            .unit(Unit::RATIO)
            .register()
            .unwrap()
            .set(0.5);
        let stages = writer
            .histogram("stage_seconds", "h")
            .unit(Unit::NANOSECONDS)
            .register()
            .unwrap();
        stages.record(1_000);
        stages.record_n(2_000, 3);
        writer
            .info("build_info", "h")
            .label("version", "1")
            .register()
            .unwrap();
        writer
            .state_set("worker_state", "h", &["idle", "busy"])
            .register()
            .unwrap()
            .set(1);
        let snapshot = writer.snapshot().unwrap();
        assert_eq!(
            value(&snapshot, "requests_total", &[("a", "1"), ("b", "2")]),
            ValueView::Number(Number::Unsigned(7))
        );
        assert_eq!(snapshot.number("energy_joules_total", &[]), 0.25);
        assert_eq!(
            value(&snapshot, "depth", &[]),
            ValueView::Number(Number::Signed(-3))
        );
        assert_eq!(snapshot.number("load_ratio", &[]), 0.5);
        assert_eq!(
            value(&snapshot, "build_info", &[("version", "1")]),
            ValueView::Info
        );
        assert_eq!(
            value(&snapshot, "worker_state", &[]),
            ValueView::States(&[false, true])
        );
        let ValueView::Histogram(histogram) = value(&snapshot, "stage_seconds", &[]) else {
            panic!()
        };
        assert_eq!((histogram.count(), histogram.sum), (4, 7_000));
        let family = snapshot.family("stage_seconds").unwrap().family;
        let distribution = histogram.distribution(family).unwrap();
        assert_eq!(distribution.quantile(0.0), Some(0.000001007));
        assert!(snapshot.damage.is_empty());
        assert_eq!(snapshot.processes.len(), 1);
        assert!(snapshot.processes[0].alive);
        assert!(snapshot.losses.iter().all(|(_, count)| count == 0));
    });
}

#[test]
fn equal_declarations_share_a_series() {
    each_backing(|writer| {
        for _ in 0..3 {
            writer
                .counter("a_total", "h")
                .label("k", "v")
                .register()
                .unwrap()
                .inc();
        }
        let snapshot = writer.snapshot().unwrap();
        assert_eq!(snapshot.series_count(), 1);
        assert_eq!(snapshot.number("a_total", &[("k", "v")]), 3.0);
    });
}

#[test]
fn conflicts_name_both_sides() {
    each_backing(|writer| {
        writer.gauge("a", "h").register().unwrap();
        let conflict = |error: Result<(), Error>, property: &str| match error {
            Err(Error::Conflict {
                property: found, ..
            }) => assert_eq!(found, property),
            other => panic!("{other:?}"),
        };
        conflict(writer.gauge_f64("a", "h").register().map(drop), "type");
        conflict(
            writer
                .gauge("a", "h")
                .mode(GaugeMode::Max)
                .register()
                .map(drop),
            "type",
        );
        writer
            .histogram("b_seconds", "h")
            .unit(Unit::NANOSECONDS)
            .register()
            .unwrap();
        conflict(
            writer
                .histogram("b_seconds", "h")
                .unit(Unit::SECONDS)
                .register()
                .map(drop),
            "unit",
        );
        let buckets = Buckets::explicit([1]).unwrap();
        let other = writer
            .histogram("b_seconds", "h")
            .unit(Unit::NANOSECONDS)
            .buckets(buckets);
        conflict(other.register().map(drop), "buckets");
        writer.state_set("s", "h", &["a"]).register().unwrap();
        conflict(
            writer.state_set("s", "h", &["b"]).register().map(drop),
            "states",
        );
    });
}

#[test]
fn histograms_are_exact_whatever_their_place() {
    let layouts = [
        (Buckets::default(), Sharding::Auto),
        (Buckets::default(), Sharding::PerCpu),
        (Buckets::default(), Sharding::Hashed(3)),
        (Buckets::explicit([1, 5, 10]).unwrap(), Sharding::Auto),
        (Buckets::explicit([1, 5, 10]).unwrap(), Sharding::Hashed(1)),
        (
            Buckets::explicit((1..=510).collect::<Vec<u64>>()).unwrap(),
            Sharding::Auto,
        ),
        (
            Buckets::explicit((1..=511).collect::<Vec<u64>>()).unwrap(),
            Sharding::Auto,
        ),
        (Buckets::hdr(3, u64::MAX).unwrap(), Sharding::Auto),
    ];
    each_backing(|writer| {
        for (index, (buckets, sharding)) in layouts.iter().enumerate() {
            let name = format!("h{index}");
            let histogram = writer
                .histogram(&name, "h")
                .buckets(buckets.clone())
                .sharding(*sharding)
                .label("k", "v")
                .register()
                .unwrap();
            let values = [0, 1, 2, 5, 9, 10, 11, 500, 511, 512, 1 << 41, u64::MAX >> 3];
            values.iter().for_each(|&value| histogram.record(value));
            let snapshot = writer.snapshot().unwrap();
            let ValueView::Histogram(view) = value(&snapshot, &name, &[("k", "v")]) else {
                panic!()
            };
            let mut expected = vec![0; buckets.count()];
            values
                .iter()
                .for_each(|&value| expected[buckets.index(value)] += 1);
            assert_eq!(view.counts, expected, "{name}");
            assert_eq!(
                view.sum,
                values.iter().map(|&value| u128::from(value)).sum::<u128>()
            );
        }
    });
}

#[test]
fn the_limit_of_a_family_folds_into_one_overflow_series() {
    each_backing(|writer| {
        let family = writer
            .counter("a_total", "h")
            .series_limit(2)
            .family()
            .unwrap();
        for user in ["1", "2", "3", "4", "1"] {
            family.with(&[("user", user)]).unwrap().inc();
        }
        family.with(&[("other", "5")]).unwrap().inc();
        let snapshot = writer.snapshot().unwrap();
        let series: Vec<String> = snapshot
            .family("a_total")
            .unwrap()
            .series()
            .map(|view| {
                view.series
                    .labels
                    .iter()
                    .map(|label| label.value.to_string())
                    .collect()
            })
            .collect();
        assert_eq!(series, ["1", "2", "__other__"]);
        assert_eq!(snapshot.number("a_total", &[("user", "1")]), 2.0);
        assert_eq!(snapshot.number("a_total", &[("user", "__other__")]), 3.0);
        assert_eq!(snapshot.losses.count(Loss::SeriesLimit), 3);
        assert_eq!(snapshot.family("a_total").unwrap().overflowed(), 3);
        let refused = writer
            .counter("a_total", "h")
            .label("user", "9")
            .try_register();
        assert!(matches!(refused, Err(Error::SeriesLimit { limit: 2, .. })));
    });
}

#[test]
fn a_full_table_folds_and_counts() {
    let writer = SegmentOptions::new().series(32).heap().unwrap();
    for user in 0..40 {
        let registration = writer
            .counter("a_total", "h")
            .label("user", user.to_string());
        registration.register().unwrap().inc();
    }
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(snapshot.series_count(), 31);
    assert_eq!(snapshot.number("a_total", &[("user", "__other__")]), 10.0);
    assert_eq!(snapshot.losses.count(Loss::SeriesTable), 10);
}

/// Whoever meets another's registration on its way to the last seat ends at the series too.
#[test]
fn one_key_at_a_limit_of_one_is_a_series_for_everybody() {
    let writer = SegmentOptions::new().heap().unwrap();
    for round in 0..300 {
        let name = format!("a{round}_total");
        let declare = || writer.counter(&name, "").series_limit(1).label("k", "v");
        declare().family().unwrap();
        let start = std::sync::Barrier::new(4);
        let register = || {
            start.wait();
            declare().register_with_outcome().unwrap().1
        };
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(register)).collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.collect()
        });
        assert_eq!(outcomes, [Outcome::Series; 4], "round {round}");
    }
}

#[test]
fn what_cannot_be_registered_is_counted_as_lost() {
    let writer = SegmentOptions::new()
        .families(1)
        .counter_cells(1)
        .heap()
        .unwrap();
    writer.gauge("a", "h").register().unwrap();
    let (counter, outcome) = writer
        .counter("b_total", "h")
        .register_with_outcome()
        .unwrap();
    assert_eq!(outcome, Outcome::Sink);
    counter.add(5);
    writer
        .counter_f64("c_total", "h")
        .register()
        .unwrap()
        .add(2.0);
    writer.gauge("d", "h").register().unwrap().set(3);
    let histogram = writer.histogram("e", "h").register().unwrap();
    histogram.record(9);
    histogram.record_n(1 << 60, 2);
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(snapshot.losses.count(Loss::FamilyTable), 4);
    assert_eq!(snapshot.losses.count(Loss::LostCounter), 7);
    assert_eq!(snapshot.losses.count(Loss::LostHistogram), 3);
    assert_eq!(snapshot.series_count(), 1);
}

#[test]
fn amounts_that_are_no_amounts_are_refused_and_counted() {
    each_backing(|writer| {
        let counter = writer.counter_f64("a_total", "h").register().unwrap();
        for amount in [f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY, 1.5] {
            counter.add(amount);
        }
        let histogram = writer
            .histogram("b_seconds", "h")
            .unit(Unit::NANOSECONDS)
            .register()
            .unwrap();
        for value in [f64::NAN, -0.1, 0.001, 1e300] {
            histogram.record_f64(value);
        }
        let gauge = writer.gauge_f64("c", "h").register().unwrap();
        gauge.set(4.0);
        gauge.set(f64::NAN);
        let snapshot = writer.snapshot().unwrap();
        assert_eq!(snapshot.number("a_total", &[]), 1.5);
        assert_eq!(snapshot.number("c", &[]), 4.0);
        let ValueView::Histogram(view) = value(&snapshot, "b_seconds", &[]) else {
            panic!()
        };
        assert_eq!((view.count(), view.sum), (1, 1_000_000));
        assert_eq!(snapshot.losses.count(Loss::RejectedNan), 3);
        assert_eq!(snapshot.losses.count(Loss::RejectedNegative), 3);
        assert_eq!(snapshot.losses.count(Loss::RejectedInfinite), 2);
    });
}

#[test]
fn gauges_of_every_mode() {
    each_backing(|writer| {
        for mode in GaugeMode::ALL {
            let name = format!("g_{}", mode.name().replace('-', "_"));
            let gauge = writer.gauge(&name, "h").mode(mode).register().unwrap();
            let float = writer
                .gauge_f64(&format!("f{name}"), "h")
                .mode(mode)
                .register()
                .unwrap();
            let before = writer.snapshot().unwrap();
            let is_zero = mode == GaugeMode::Sum;
            assert_eq!(
                value(&before, &name, &[]) != ValueView::Absent,
                is_zero,
                "{mode}"
            );
            for step in [5, -2, 3] {
                gauge.set(step);
                float.set(f64::from(i32::try_from(step).unwrap()));
            }
            gauge.inc();
            float.add(1.0);
            let snapshot = writer.snapshot().unwrap();
            let expected = match mode {
                GaugeMode::LastingMin => -2,
                GaugeMode::LastingMax => 6,
                _ => 4,
            };
            let number = |view: ValueView<'_>| match view {
                ValueView::Number(number) => number.as_f64(),
                ValueView::Each(values) => values[0].value.as_f64(),
                other => panic!("{mode}: {other:?}"),
            };
            assert_eq!(
                number(value(&snapshot, &name, &[])),
                f64::from(expected),
                "{mode}"
            );
            assert_eq!(
                number(value(&snapshot, &format!("f{name}"), &[])),
                f64::from(expected),
                "{mode}"
            );
        }
    });
}

#[test]
fn a_default_handle_works_and_shows_nowhere() {
    tachograph::Counter::default().inc();
    tachograph::CounterF64::default().add(1.0);
    tachograph::Gauge::default().set(1);
    tachograph::GaugeF64::default().set(1.0);
    tachograph::Histogram::default().record(1);
    tachograph::StateSet::default().set(1);
}

#[test]
fn a_second_attach_finds_the_first() {
    let folder = Folder::new();
    let one = folder.options().attach().unwrap();
    let two = folder.options().attach().unwrap();
    one.counter("a_total", "h").register().unwrap().inc();
    two.counter("a_total", "h").register().unwrap().inc();
    let snapshot = Reader::attach(folder.path()).unwrap().snapshot().unwrap();
    assert_eq!(snapshot.number("a_total", &[]), 2.0);
    assert_eq!(snapshot.processes.len(), 1);
    assert!(snapshot.processes[0].alive);
}

#[test]
fn a_reader_sees_what_is_registered_later() {
    let folder = Folder::new();
    let writer = folder.options().attach().unwrap();
    let mut reader = Reader::attach(folder.path()).unwrap();
    assert_eq!(reader.snapshot().unwrap().series_count(), 0);
    for count in 1..=3 {
        writer
            .counter("a_total", "h")
            .label("n", count.to_string())
            .register()
            .unwrap()
            .inc();
        let snapshot = reader.snapshot().unwrap();
        assert_eq!(snapshot.series_count(), count);
        let again = reader.snapshot().unwrap();
        assert!(std::sync::Arc::ptr_eq(
            &snapshot.directory,
            &again.directory
        ));
    }
}

#[test]
fn a_reader_notices_a_truncated_replaced_and_removed_file() {
    tachograph::install_fault_guard();
    let folder = Folder::new();
    let writer = folder.options().attach().unwrap();
    writer.counter("a_total", "h").register().unwrap().inc();
    let mut reader = Reader::attach(folder.path()).unwrap();
    assert!(reader.is_current());
    std::fs::rename(folder.path(), folder.path().with_extension("old")).unwrap();
    assert!(!reader.is_current());
    assert_eq!(reader.snapshot().unwrap().number("a_total", &[]), 1.0);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(folder.path().with_extension("old"))
        .unwrap();
    file.set_len(4096).unwrap();
    assert!(matches!(reader.snapshot(), Err(Error::Changed { .. })));
}

#[test]
fn reading_takes_no_memory() {
    let folder = Folder::new();
    let writer = folder.options().attach().unwrap();
    for index in 0..100 {
        writer
            .counter("a_total", "h")
            .label("n", index.to_string())
            .register()
            .unwrap()
            .inc();
        writer
            .histogram("b", "h")
            .label("n", index.to_string())
            .register()
            .unwrap()
            .record(1);
        writer
            .gauge("c", "h")
            .label("n", index.to_string())
            .register()
            .unwrap()
            .set(1);
    }
    let blocks =
        || std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(folder.path()).unwrap());
    let before = blocks();
    let mut reader = Reader::attach(folder.path()).unwrap();
    for _ in 0..3 {
        assert_eq!(reader.snapshot().unwrap().series_count(), 300);
    }
    assert_eq!(blocks(), before);
}

#[test]
fn what_is_no_segment_is_refused_by_name() {
    let folder = Folder::new();
    let attach = || Reader::attach(folder.path()).map(drop);
    assert!(matches!(attach(), Err(Error::NotFound { .. })));
    std::fs::write(folder.path(), []).unwrap();
    assert!(matches!(attach(), Err(Error::NotASegment { .. })));
    std::fs::write(folder.path(), vec![7; 9000]).unwrap();
    assert!(matches!(attach(), Err(Error::NotASegment { .. })));
    assert!(matches!(
        folder.options().attach().map(drop),
        Err(Error::NotASegment { .. })
    ));
    std::fs::remove_file(folder.path()).unwrap();
    std::os::unix::fs::symlink("/dev/null", folder.path()).unwrap();
    assert!(matches!(attach(), Err(Error::NotASegment { .. })));
    std::fs::remove_file(folder.path()).unwrap();
    std::fs::create_dir(folder.path()).unwrap();
    assert!(matches!(attach(), Err(Error::NotASegment { .. })));
}

#[test]
fn a_disk_is_refused_unless_asked_for() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = SegmentOptions::new().path(folder.path().join("a.seg"));
    assert!(matches!(
        options.clone().attach().map(drop),
        Err(Error::DiskBacked { .. })
    ));
    let writer = options.allow_disk(true).attach().unwrap();
    writer.counter("a_total", "h").register().unwrap().inc();
    assert_eq!(writer.snapshot().unwrap().number("a_total", &[]), 1.0);
}

#[test]
fn permissions_are_the_ones_asked_for() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    let mode = |options: SegmentOptions| {
        let path = folder.0.path().join(format!("{:p}.seg", &options));
        options.path(&path).attach().unwrap();
        let found = std::fs::metadata(&path).unwrap().mode() & 0o777;
        std::fs::remove_file(path).unwrap();
        found
    };
    assert_eq!(mode(SegmentOptions::new()), 0o600);
    assert_eq!(mode(SegmentOptions::new().mode(0o640)), 0o640);
    assert_eq!(
        mode(SegmentOptions::new().group(nix::unistd::getegid().as_raw())),
        0o660
    );
}

#[test]
fn a_value_falls_into_its_parts() {
    let folder = Folder::new();
    let writer = folder.options().attach().unwrap();
    let requests = writer.counter("requests_total", "Requests");
    let requests = requests.label("method", "get").register().unwrap();
    requests.add(42);
    let cpu = writer.counter_f64("cpu_seconds_total", "Time");
    cpu.unit(Unit::SECONDS).register().unwrap().add(0.5);
    let times = writer.histogram("times", "Times").register().unwrap();
    times.record_n(7, 3);
    writer.gauge("jobs", "Jobs").register().unwrap().set(-5);
    let lasting = writer.gauge("best", "Best").mode(GaugeMode::LastingMax);
    lasting.register().unwrap().set(9);
    let mut reader = Reader::attach(folder.path()).unwrap();
    let shards = reader.snapshot().unwrap().segment;
    let shards = (shards.cpu_shards + shards.fallback_shards) as usize;
    let mut sum = |name: &str, labels: &[(&str, &str)]| match reader.split(name, labels).unwrap() {
        Some(Split::Shards(parts)) => {
            assert_eq!(parts.len(), shards, "{name}");
            parts.iter().map(|part| part.value.as_f64()).sum::<f64>()
        }
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(sum("requests_total", &[("method", "get")]), 42.0);
    assert_eq!(sum("cpu_seconds_total", &[]), 0.5);
    assert_eq!(sum("times", &[]), 3.0);
    match reader.split("jobs", &[]).unwrap() {
        Some(Split::Processes(values)) => {
            assert_eq!(values.len(), 1);
            assert_eq!(values[0].pid, std::process::id());
            assert_eq!(values[0].value, Number::Signed(-5));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(reader.split("best", &[]).unwrap(), Some(Split::Whole));
    assert_eq!(reader.split("requests_total", &[]).unwrap(), None);
    assert_eq!(reader.split("nosuch", &[]).unwrap(), None);
}
