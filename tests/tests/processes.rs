//! Processes come and go: their gauges go with them, their slots are used again, their sums stay.

use std::time::Duration;

use tachograph::{GaugeMode, Number, Reader, SegmentOptions, Snapshot, ValueView};
use tachograph_tests::ack::AckFile;
use tachograph_tests::long;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::verdict::counter_value;
use tachograph_tests::worker::Worker;

const WRITER: &str = env!("CARGO_BIN_EXE_writer");
const LIMIT: Duration = Duration::from_secs(60);

/// A worker that has set all its gauges to `value`.
fn gauges_at(scratch: &Scratch, value: i32) -> Worker {
    let value = format!("--value={value}");
    let worker = Worker::start(WRITER, &scratch.segment(), &[], ["gauges", &value]);
    worker.wait_ready();
    worker
}

fn name(prefix: &str, mode: GaugeMode) -> String {
    format!("{}_{prefix}", mode.name().replace('-', "_"))
}

/// Compares the gauges of all modes with `expected`; `None` stands for an absent one.
fn assert_gauges(snapshot: &Snapshot, expected: impl Fn(GaugeMode) -> Option<i32>) {
    for mode in GaugeMode::ALL {
        let level = expected(mode);
        let share = level.map(|level| Number::Float(f64::from(level) / 4.0));
        let level = level.map(|level| Number::Signed(level.into()));
        for (prefix, expected) in [("level", level), ("share", share)] {
            let name = name(prefix, mode);
            let shown = match snapshot.value(&name, &[]) {
                Some(ValueView::Number(number)) => Some(number),
                Some(ValueView::Each([only])) => Some(only.value),
                Some(ValueView::Absent | ValueView::Each([])) => None,
                other => panic!("{name} is {other:?}"),
            };
            assert_eq!(shown, expected, "{name}");
        }
    }
}

/// How many values the gauges of the mode `each` show.
fn each_count(snapshot: &Snapshot, name: &str) -> usize {
    match snapshot.value(name, &[]) {
        Some(ValueView::Each(values)) => values.len(),
        _ => 0,
    }
}

fn info_is_shown(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.value("worker_info", &[("name", name)]) == Some(ValueView::Info)
}

#[test]
fn gauges_of_the_dead_vanish_and_lasting_ones_stay() {
    let scratch = Scratch::new();
    let low = gauges_at(&scratch, -8);
    let high = gauges_at(&scratch, 20);
    let mut reader = Reader::attach(scratch.segment()).unwrap();

    let snapshot = reader.snapshot().unwrap();
    let number = |name: &str| snapshot.number(name, &[]);
    assert_eq!(number("sum_level"), 12.0);
    assert_eq!(number("min_level"), -8.0);
    assert_eq!(number("max_level"), 20.0);
    assert_eq!(number("latest_level"), 20.0);
    assert_eq!(number("sum_share"), 3.0);
    assert_eq!(each_count(&snapshot, "each_level"), 2);
    assert_eq!(each_count(&snapshot, "each_share"), 2);
    assert!(info_is_shown(&snapshot, "worker-8") && info_is_shown(&snapshot, "worker20"));

    // The very next scrape shows the living one alone, and what lasts.
    high.kill();
    let snapshot = reader.snapshot().unwrap();
    assert_gauges(&snapshot, |mode| {
        Some(match mode {
            GaugeMode::LastingSum => 12,
            GaugeMode::LastingMax | GaugeMode::LastingLatest => 20,
            _ => -8,
        })
    });
    assert!(info_is_shown(&snapshot, "worker-8"));
    assert!(
        !info_is_shown(&snapshot, "worker20"),
        "the info of a dead process"
    );

    low.kill();
    let snapshot = reader.snapshot().unwrap();
    assert_gauges(&snapshot, |mode| match mode {
        GaugeMode::LastingSum => Some(12),
        GaugeMode::LastingMin => Some(-8),
        GaugeMode::LastingMax | GaugeMode::LastingLatest => Some(20),
        _ => None,
    });
    assert!(!info_is_shown(&snapshot, "worker-8"));
    assert!(!snapshot.processes.iter().any(|process| process.alive));
}

#[test]
fn a_reused_slot_begins_without_the_gauges_of_the_dead() {
    let scratch = Scratch::new();
    gauges_at(&scratch, 7).kill();
    let acks = AckFile::create(&scratch.acks(), 1).unwrap();
    // A process that sets no gauge takes the slot, and lives.
    let arguments = [
        "count".into(),
        "--acks".into(),
        scratch.acks().into_os_string(),
    ];
    let worker = Worker::start(WRITER, &scratch.segment(), &[], arguments);
    worker.wait_ready();
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let living: Vec<_> = snapshot
        .processes
        .iter()
        .filter(|process| process.alive)
        .collect();
    assert_eq!(living.len(), 1, "{:?}", snapshot.processes);
    assert_eq!((living[0].pid, living[0].slot), (worker.pid(), 0));
    assert_gauges(&snapshot, |mode| (!mode.is_living()).then_some(7));
    drop((worker, acks));
}

#[test]
fn short_lived_processes_leave_their_sums_and_nothing_else() {
    const AT_ONCE: usize = 4;
    const UPDATES: u64 = 100;
    let rounds = if long() { 2_500 } else { 250 };
    let scratch = Scratch::new();
    AckFile::create(&scratch.acks(), AT_ONCE).unwrap();
    for round in 0..rounds {
        let mut workers = Vec::new();
        for first in 0..AT_ONCE {
            let mut arguments = vec!["count".into(), "--acks".into()];
            arguments.push(scratch.acks().into_os_string());
            arguments.push(format!("--first={first}").into());
            arguments.push(format!("--updates={UPDATES}").into());
            workers.push(Worker::start(WRITER, &scratch.segment(), &[], arguments));
        }
        for (at, worker) in workers.into_iter().enumerate() {
            // A quarter of them end by a kill after all their updates.
            if (at + round) % AT_ONCE == 0 {
                worker.wait_ready();
                kill_when_done(worker, &scratch, at, UPDATES);
            } else {
                worker.finish(LIMIT);
            }
        }
    }
    let writer = SegmentOptions::new()
        .path(scratch.segment())
        .attach()
        .unwrap();
    let snapshot = writer.snapshot().unwrap();
    let total = UPDATES * (rounds * AT_ONCE) as u64;
    let name = tachograph_tests::update::SHARED_COUNTER;
    assert_eq!(counter_value(&snapshot, name, &[]), total);
    let tables = &snapshot.segment.tables;
    let processes = tables
        .iter()
        .find(|table| table.table == "processes")
        .unwrap();
    assert!(
        processes.used <= 2 * AT_ONCE as u64,
        "{} slots after {AT_ONCE} processes at a time",
        processes.used
    );
    assert!(snapshot.processes.len() <= 2 * AT_ONCE);
    assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
}

fn kill_when_done(mut worker: Worker, scratch: &Scratch, thread: usize, updates: u64) {
    let acks = AckFile::open(&scratch.acks()).unwrap();
    acks.acknowledge(thread, 0);
    worker.go();
    tachograph_tests::eventually("all updates are acknowledged", LIMIT, || {
        acks.acked(thread) == updates
    });
    worker.kill();
}
