//! Series that come and go, from outside: what is removed is gone, and what is reused begins from zero.

use std::time::Duration;

use tachograph::{
    Buckets, Counter, GaugeMode, LabelSet, Labelled, Loss, Metrics, Number, Outcome, Reader,
    SegmentOptions, Snapshot, TableFill, ValueView, Writer,
};

/// The same must hold on the heap and in a file.
fn each_backing(options: fn() -> SegmentOptions, check: impl Fn(Writer)) {
    check(options().heap().unwrap());
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    check(
        options()
            .path(folder.path().join("a.seg"))
            .attach()
            .unwrap(),
    );
}

fn fill(snapshot: &Snapshot, table: &str) -> TableFill {
    let mut tables = snapshot.segment.tables.iter();
    *tables.find(|fill| fill.table == table).unwrap()
}

fn counts(snapshot: &Snapshot) -> [u64; 3] {
    let removals = snapshot.removals;
    [removals.removed, removals.reclaimed, removals.waiting]
}

#[test]
fn a_removed_series_is_gone_and_begins_again_from_zero() {
    each_backing(SegmentOptions::new, |writer| {
        let family = writer.counter("a_total", "h").family().unwrap();
        let labels = [("k", "v")];
        let first = family.lease(&labels).unwrap();
        first.add(7);
        assert!(first.is_live() && family.is_live(&labels).unwrap());
        let before = writer.snapshot().unwrap();
        assert_eq!(before.number("a_total", &labels), 7.0);

        assert!(family.remove(&labels).unwrap());
        assert!(!family.remove(&labels).unwrap());
        assert!(!first.is_live() && !family.is_live(&labels).unwrap());
        first.add(100);
        let gone = writer.snapshot().unwrap();
        assert_eq!(gone.value("a_total", &labels), None);
        assert_eq!(counts(&gone), [1, 0, 1]);
        assert_eq!(gone.processes[0].holds_removed, 1);

        let second = family.lease(&labels).unwrap();
        second.add(1);
        first.add(100);
        let again = writer.snapshot().unwrap();
        assert_eq!(again.number("a_total", &labels), 1.0);
        let series = |snapshot: &Snapshot| snapshot.directory.families[0].series[0].clone();
        assert_ne!(series(&before), series(&again));
        assert!(series(&before).created_unix_nanos <= series(&again).created_unix_nanos);

        drop(first);
        let freed = writer.snapshot().unwrap();
        assert_eq!(counts(&freed), [1, 1, 0]);
        assert_eq!(fill(&freed, "series").used, 1);
        assert!(freed.damage.is_empty());
    });
}

/// What a series held is nothing to the series that has its cells next.
#[test]
fn cells_are_reused_from_zero() {
    each_backing(
        || SegmentOptions::new().series(8),
        |writer| {
            let counter = writer.counter("a_total", "h").family().unwrap();
            let float = writer.counter_f64("b_total", "h").family().unwrap();
            let small = Buckets::explicit([1, 2]).unwrap();
            let small = writer.histogram("c", "h").buckets(small).family().unwrap();
            let large = writer.histogram("d", "h").family().unwrap();
            for round in 0..40 {
                let value = round.to_string();
                let labels = [("round", value.as_str())];
                counter.lease(&labels).unwrap().add(5);
                float.lease(&labels).unwrap().add(0.5);
                small.lease(&labels).unwrap().record(1);
                large.lease(&labels).unwrap().record(1_000);
                let snapshot = writer.snapshot().unwrap();
                assert_eq!(snapshot.number("a_total", &labels), 5.0);
                assert_eq!(snapshot.number("b_total", &labels), 0.5);
                for (name, value) in [("c", 1), ("d", 1_000)] {
                    let Some(ValueView::Histogram(view)) = snapshot.value(name, &labels) else {
                        panic!("{name} is not there")
                    };
                    assert_eq!((view.count(), view.sum), (1, value), "{name}");
                }
                assert!(snapshot.damage.is_empty() && snapshot.series_count() == 4);
                assert!(counter.remove(&labels).unwrap() && float.remove(&labels).unwrap());
                assert!(small.remove(&labels).unwrap() && large.remove(&labels).unwrap());
            }
            let after = writer.snapshot().unwrap();
            assert_eq!(counts(&after), [160, 160, 0]);
            assert_eq!(after.losses.count(Loss::SeriesTable), 0);
        },
    );
}

#[test]
fn gauges_are_reused_unset() {
    each_backing(
        || SegmentOptions::new().series(16),
        |writer| {
            let family = |mode: GaugeMode| {
                let name = format!("g_{mode}").replace('-', "_");
                let family = writer.gauge(&name, "h").mode(mode).family().unwrap();
                (name, mode, family)
            };
            let gauges = GaugeMode::ALL.map(family);
            for round in 0..40 {
                let value = round.to_string();
                let labels = [("round", value.as_str())];
                let leases = gauges
                    .iter()
                    .map(|(_, _, family)| family.lease(&labels).unwrap());
                let leases: Vec<_> = leases.collect();
                let fresh = writer.snapshot().unwrap();
                for (name, mode, _) in &gauges {
                    let expected = match mode {
                        GaugeMode::Sum => ValueView::Number(Number::Signed(0)),
                        _ => ValueView::Absent,
                    };
                    assert_eq!(fresh.value(name, &labels), Some(expected), "{name}");
                }
                leases.iter().for_each(|gauge| gauge.set(9));
                let set = writer.snapshot().unwrap();
                assert_eq!(set.number("g_latest", &labels), 9.0);
                assert_eq!(set.number("g_lasting_sum", &labels), 9.0);
                drop(leases);
                for (name, _, family) in &gauges {
                    assert!(family.remove(&labels).unwrap(), "{name}");
                }
            }
            assert_eq!(counts(&writer.snapshot().unwrap()), [360, 360, 0]);
        },
    );
}

#[test]
fn endless_label_sets_take_no_more_memory() {
    each_backing(
        || SegmentOptions::new().series(64).string_bytes(8192),
        |writer| {
            let family = writer
                .counter("a_total", "h")
                .series_limit(10)
                .family()
                .unwrap();
            let name = |at: u32| format!("{}{at}", "x".repeat(at as usize % 40));
            let mut strings = Vec::new();
            for at in 0..5_000u32 {
                let lease = family.lease(&[("k", &name(at))]).unwrap();
                assert_eq!(lease.outcome(), Outcome::Series);
                lease.inc();
                if at >= 9 {
                    assert!(family.remove(&[("k", &name(at - 9))]).unwrap());
                }
                if at % 1_000 == 999 {
                    let snapshot = writer.snapshot().unwrap();
                    assert_eq!(snapshot.series_count(), 9);
                    let shown = snapshot.families().next().unwrap();
                    let ones = |view: tachograph::SeriesView<'_>| {
                        view.value == ValueView::Number(Number::Unsigned(1))
                    };
                    assert!(shown.series().all(ones));
                    strings.push(fill(&snapshot, "strings").used);
                }
            }
            assert_eq!(strings[1], strings[4], "label sets have room for good");
        },
    );
}

#[test]
fn a_plain_handle_keeps_its_cells_for_good() {
    let writer = SegmentOptions::new().heap().unwrap();
    let family = writer.counter("a_total", "h").family().unwrap();
    let kept = family.with(&[("k", "1")]).unwrap();
    drop(family.lease(&[("k", "1")]).unwrap());
    assert!(family.remove(&[("k", "1")]).unwrap());
    writer.sweep().unwrap();
    let other = family.with(&[("k", "2")]).unwrap();
    kept.add(5);
    assert_eq!(other.value(), 0);
    assert_eq!(counts(&writer.snapshot().unwrap()), [1, 0, 1]);
}

#[test]
fn a_seat_is_free_again_and_an_overflow_series_stays() {
    each_backing(SegmentOptions::new, |writer| {
        let family = writer
            .counter("a_total", "h")
            .series_limit(2)
            .family()
            .unwrap();
        let outcome = |value: &str| family.lease(&[("k", value)]).unwrap().outcome();
        for _ in 0..3 {
            assert_eq!(
                ["1", "2", "3"].map(outcome),
                [Outcome::Series, Outcome::Series, Outcome::Overflow]
            );
            assert!(family.remove(&[("k", "1")]).unwrap());
            assert_eq!(outcome("3"), Outcome::Series);
            assert!(family.remove(&[("k", "3")]).unwrap());
            assert!(!family.remove(&[("k", "__other__")]).unwrap());
        }
        let snapshot = writer.snapshot().unwrap();
        assert_eq!(snapshot.families().next().unwrap().overflowed(), 3);
        assert!(snapshot.value("a_total", &[("k", "__other__")]).is_some());
    });
}

#[test]
fn idle_series_are_removed() {
    each_backing(SegmentOptions::new, |writer| {
        let idle = Duration::from_millis(20);
        let requests = writer
            .counter("a_total", "h")
            .keep_for(idle)
            .family()
            .unwrap();
        let depth = writer.gauge("depth", "h").keep_for(idle).family().unwrap();
        let kept = writer.counter("kept_total", "h").register().unwrap();
        let busy = requests.lease(&[("k", "busy")]).unwrap();
        requests.lease(&[("k", "idle")]).unwrap().inc();
        depth.lease(&[("k", "idle")]).unwrap().set(4);
        let mut adds = 0;
        let mut snapshot = writer.snapshot().unwrap();
        while snapshot.removals.removed < 2 {
            busy.inc();
            adds += 1;
            writer.sweep().unwrap();
            snapshot = writer.snapshot().unwrap();
        }
        assert_eq!(
            snapshot.number("a_total", &[("k", "busy")]),
            f64::from(adds)
        );
        assert_eq!(snapshot.value("a_total", &[("k", "idle")]), None);
        assert_eq!(snapshot.value("depth", &[("k", "idle")]), None);
        assert_eq!(counts(&snapshot), [2, 2, 0]);
        while busy.is_live() {
            writer.sweep().unwrap();
        }
        kept.inc();
        assert_eq!(writer.snapshot().unwrap().number("kept_total", &[]), 1.0);
    });
}

#[test]
fn registrations_and_a_thread_sweep_too() {
    let writer = SegmentOptions::new().heap().unwrap();
    let family = writer
        .counter("a_total", "h")
        .keep_for(Duration::from_nanos(1));
    let family = family.family().unwrap();
    drop(family.lease(&[("k", "idle")]).unwrap());
    let is_live = || family.is_live(&[("k", "idle")]).unwrap();
    for at in 0..100 {
        drop(family.lease(&[("k", &at.to_string())]).unwrap());
    }
    assert!(!is_live(), "registrations look around");
    drop(family.lease(&[("k", "idle")]).unwrap());
    let sweeper = writer.spawn_sweeper(Duration::from_millis(1)).unwrap();
    while is_live() {
        std::thread::yield_now();
    }
    drop(sweeper);
    let info = writer
        .info("build_info", "h")
        .keep_for(Duration::from_secs(1));
    assert!(info.register().is_err(), "an info is not set again");
}

#[test]
fn a_reader_sees_what_is_removed_and_what_comes_in_its_place() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = SegmentOptions::new().path(folder.path().join("a.seg"));
    let writer = options.attach().unwrap();
    let mut reader = Reader::attach(folder.path().join("a.seg")).unwrap();
    let family = writer.counter("a_total", "h").family().unwrap();
    for round in 0..20 {
        let value = round.to_string();
        let lease = family.lease(&[("k", &value)]).unwrap();
        lease.add(round);
        let snapshot = reader.snapshot().unwrap();
        assert_eq!(snapshot.series_count(), 1);
        let steady = reader.snapshot().unwrap();
        assert!(std::sync::Arc::ptr_eq(
            &snapshot.directory,
            &steady.directory
        ));
        let expected = ValueView::Number(Number::Unsigned(round));
        assert_eq!(steady.value("a_total", &[("k", &value)]), Some(expected));
        drop(lease);
        assert!(family.remove(&[("k", &value)]).unwrap());
        assert_eq!(reader.snapshot().unwrap().series_count(), 0);
    }
}

/// Threads that register, record and remove under a reader: a series shows what was recorded in it and nothing
/// of the series that had its cells before.
#[test]
fn a_scrape_never_mixes_series() {
    const THREADS: u64 = 3;
    const ROUNDS: u64 = 4_000;
    let writer = SegmentOptions::new().series(64).heap().unwrap();
    let family = writer.counter("a_total", "h").family().unwrap();
    let churn = |thread: u64| {
        for round in 0..ROUNDS {
            // Some keys are the threads' own, some are fought for.
            let key = if round % 2 == 0 {
                thread * 100 + round % 7
            } else {
                1_000 + round % 3
            };
            let value = key.to_string();
            let lease = family.lease(&[("k", &value)]).unwrap();
            lease.add(1 << 32 | key);
            drop(lease);
            family.remove(&[("k", &value)]).unwrap();
        }
    };
    let look = || {
        let snapshot = writer.snapshot().unwrap();
        assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
        let mut seen = 0;
        for view in snapshot.families().flat_map(|family| family.series()) {
            let key = view.series.labels.iter().next().unwrap().value;
            let key: u64 = key.parse().unwrap();
            let ValueView::Number(Number::Unsigned(sum)) = view.value else {
                continue;
            };
            let adds = sum >> 32;
            assert_eq!(sum, adds << 32 | (adds * key), "{key} shows {sum:#x}");
            assert!(adds <= THREADS);
            seen += 1;
        }
        seen
    };
    let seen: u64 = std::thread::scope(|scope| {
        let start = |thread| scope.spawn(move || churn(thread));
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        let is_running = || threads.iter().any(|thread| !thread.is_finished());
        std::iter::from_fn(|| is_running().then(look)).sum()
    });
    assert!(seen > 0, "nothing was seen");
    writer.sweep().unwrap();
    let snapshot = writer.snapshot().unwrap();
    let [removed, reclaimed, waiting] = counts(&snapshot);
    assert_eq!(
        (removed - reclaimed, waiting, snapshot.series_count()),
        (0, 0, 0)
    );
    assert_eq!(snapshot.losses.count(Loss::SeriesTable), 0);
}

#[test]
fn a_family_notices_that_a_known_series_was_removed() {
    let writer = SegmentOptions::new().heap().unwrap();
    let family = writer.counter("a_total", "h").family().unwrap();
    let labels = [("k", "v")];
    for _ in 0..2 {
        family.with(&labels).unwrap().add(5);
        family.with(&labels).unwrap().add(1);
        assert_eq!(writer.snapshot().unwrap().number("a_total", &labels), 6.0);
        assert!(family.remove(&labels).unwrap());
    }
    family.with(&labels).unwrap().add(2);
    assert_eq!(writer.snapshot().unwrap().number("a_total", &labels), 2.0);
}

#[derive(LabelSet)]
struct Job<'a> {
    queue: &'a str,
    shard: u8,
}

#[derive(Metrics)]
struct Jobs {
    /// Jobs done
    #[metric(series_limit = 2)]
    jobs_total: Labelled<Counter, Job<'static>>,
    /// Jobs that nobody waits for
    #[metric(keep_for = "1ms")]
    idle_total: Labelled<Counter, Job<'static>>,
}

#[test]
fn typed_series_come_and_go() {
    let (metrics, test) = Jobs::for_test();
    let jobs = &metrics.jobs_total;
    let (key, texts) = (
        Job {
            queue: "mail",
            shard: 7,
        },
        [("queue", "mail"), ("shard", "7")],
    );
    let value = || test.value("jobs_total", &texts);
    let lease = jobs.lease(&key);
    lease.add(3);
    assert!(lease.is_live() && jobs.is_live(&key).unwrap());
    assert_eq!(value(), Some(3.0));
    assert!(jobs.remove(&key).unwrap() && !jobs.remove(&key).unwrap());
    assert!(!lease.is_live() && !jobs.is_live(&key).unwrap());
    assert_eq!(value(), None);
    drop(lease);
    assert_eq!(counts(&test.snapshot()), [1, 1, 0], "its memory is free");
    jobs.with(&key).inc();
    assert_eq!(value(), Some(1.0));

    let long = "x".repeat(5_000);
    let refused = Job {
        queue: &long,
        shard: 7,
    };
    let lease = jobs.lease(&refused);
    lease.inc();
    assert_eq!(lease.outcome(), Outcome::Overflow);
    assert!(lease.is_live());
    assert!(!jobs.remove(&refused).unwrap() && !jobs.is_live(&refused).unwrap());
    let other = [("queue", "__other__"), ("shard", "__other__")];
    assert_eq!(test.value("jobs_total", &other), Some(1.0));
}

#[test]
fn declared_families_drop_what_is_idle() {
    let (metrics, test) = Jobs::for_test();
    let key = Job {
        queue: "mail",
        shard: 7,
    };
    metrics.idle_total.lease(&key).inc();
    let mut removed = test.writer().sweep().unwrap().removed;
    while removed == 0 {
        std::thread::sleep(Duration::from_millis(2));
        removed = test.writer().sweep().unwrap().removed;
    }
    assert!(!metrics.idle_total.is_live(&key).unwrap());
    assert_eq!(counts(&test.snapshot()), [1, 1, 0]);
}

#[test]
fn a_dense_family_keeps_all_its_series() {
    let writer = SegmentOptions::new().heap().unwrap();
    let family = writer
        .counter("a_total", "h")
        .keep_for(Duration::from_secs(1));
    assert!(family.dense::<Flag>().is_err());
}

#[derive(Clone, Copy, LabelSet)]
struct Flag {
    on: bool,
}

#[test]
fn a_stale_handle_says_so() {
    each_backing(SegmentOptions::new, |writer| {
        let labels = [("k", "v")];
        macro_rules! check {
            ($($declared:expr),+) => {$({
                let family = $declared.series_limit(2).family().unwrap();
                let handle = family.with(&labels).unwrap();
                let _other = family.with(&[("k", "w")]).unwrap();
                let overflow = family.with(&[("k", "x")]).unwrap();
                assert!(handle.is_live() && overflow.is_live());
                assert!(family.remove(&labels).unwrap());
                assert!(!handle.is_live() && overflow.is_live());
                assert!(family.with(&labels).unwrap().is_live());
                assert!(!handle.is_live(), "the series that came back is another one");
            })+};
        }
        check!(
            writer.counter("a_total", "h"),
            writer.counter_f64("b_total", "h"),
            writer.gauge("c", "h"),
            writer.gauge_f64("d", "h"),
            writer.histogram("e", "h"),
            writer.info("f_info", "h"),
            writer.state_set("g", "h", &["on", "off"])
        );
        assert!(!Counter::default().is_live());
    });
}

#[test]
fn a_removed_family_is_gone_and_comes_back_as_another() {
    each_backing(SegmentOptions::new, |writer| {
        let family = writer
            .counter("depth_total", "h")
            .series_limit(2)
            .family()
            .unwrap();
        let labels = [("k", "v")];
        let lease = family.lease(&labels).unwrap();
        lease.add(7);
        family.lease(&[("k", "w")]).unwrap().inc();
        let overflow = family.lease(&[("k", "x")]).unwrap();
        overflow.inc();
        let shown = |name: &str| {
            let snapshot = writer.snapshot().unwrap();
            assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
            snapshot.family(name).map(|family| family.series().len())
        };
        assert_eq!(shown("depth_total"), Some(3), "two and the overflow series");
        assert!(writer.remove_family("depth_total").unwrap());
        assert!(!writer.remove_family("depth_total").unwrap());
        assert!(!writer.remove_family("nothing").unwrap());
        assert_eq!(shown("depth_total"), None);
        assert!(!lease.is_live() && !overflow.is_live());

        let late = family.lease(&[("k", "y")]).unwrap();
        late.inc();
        assert_eq!(late.outcome(), Outcome::Sink);
        let snapshot = writer.snapshot().unwrap();
        assert_eq!(snapshot.losses.count(Loss::FamilyRemoved), 1);
        assert_eq!(fill(&snapshot, "families").used, 1, "handles are left");

        let again = writer
            .counter_f64("depth_total", "other")
            .register()
            .unwrap();
        again.add(0.5);
        assert_eq!(writer.snapshot().unwrap().number("depth_total", &[]), 0.5);
        assert_eq!(fill(&writer.snapshot().unwrap(), "families").used, 2);
        drop(family);
        assert_eq!(
            fill(&writer.snapshot().unwrap(), "families").used,
            2,
            "a lease is left"
        );
        drop(lease);
        writer.sweep().unwrap();
        assert_eq!(
            fill(&writer.snapshot().unwrap(), "families").used,
            2,
            "another lease is left"
        );
        drop(overflow);
        assert_eq!(fill(&writer.snapshot().unwrap(), "families").used, 1);
        assert_eq!(shown("depth_total"), Some(1));
    });
}

#[test]
fn a_plain_handle_keeps_its_family_from_being_freed() {
    let writer = SegmentOptions::new().heap().unwrap();
    let counter = writer.counter("a_total", "h").register().unwrap();
    assert!(writer.remove_family("a_total").unwrap());
    writer.sweep().unwrap();
    let snapshot = writer.snapshot().unwrap();
    assert_eq!(fill(&snapshot, "families").used, 1);
    assert_eq!(counts(&snapshot), [1, 0, 1]);
    counter.inc();
    let again = writer.counter("a_total", "h").register().unwrap();
    assert_eq!(again.value(), 0);
}

#[test]
fn families_without_end_run_in_fixed_memory() {
    let options = || {
        SegmentOptions::new()
            .families(3)
            .series(40)
            .string_bytes(4096)
    };
    each_backing(options, |writer| {
        let kept = writer.counter("kept_total", "h").family().unwrap();
        kept.with(&[("k", "v")]).unwrap().add(5);
        let mut taken = None;
        for round in 0..600u32 {
            let name = format!("f{}_x", round % 7);
            let help = "help ".repeat(round as usize % 9);
            let label = [("k", "v")];
            match round % 4 {
                0 => {
                    let family = writer.counter(&format!("{name}_total"), &help);
                    family.family().unwrap().lease(&label).unwrap().add(3);
                }
                1 => {
                    let family = writer.gauge(&name, &help).family().unwrap();
                    family.lease(&label).unwrap().set(3);
                }
                2 => {
                    let bounds =
                        Buckets::explicit((1..=1 + u64::from(round % 3)).collect::<Vec<_>>());
                    let family = writer.histogram(&name, &help).buckets(bounds.unwrap());
                    family.family().unwrap().lease(&label).unwrap().record(3);
                }
                _ => {
                    let family = writer.counter_f64(&format!("{name}_total"), &help);
                    family.family().unwrap().lease(&label).unwrap().add(3.0);
                }
            }
            let snapshot = writer.snapshot().unwrap();
            assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
            assert!(snapshot.losses.iter().all(|(_, count)| count == 0));
            let full = if round % 4 % 3 == 0 {
                format!("{name}_total")
            } else {
                name
            };
            let family = snapshot.family(&full).unwrap();
            assert_eq!(
                (family.family.help.as_str(), family.series().len()),
                (help.as_str(), 1)
            );
            assert_eq!(snapshot.family("kept_total").unwrap().series().len(), 1);
            assert!(writer.remove_family(&full).unwrap());
            let used = ["families", "series", "strings", "counter_cells"]
                .map(|table| fill(&writer.snapshot().unwrap(), table).used);
            if round >= 100 {
                assert_eq!(used, *taken.get_or_insert(used), "round {round}");
            }
        }
        assert_eq!(kept.with(&[("k", "v")]).unwrap().value(), 5);
    });
}
