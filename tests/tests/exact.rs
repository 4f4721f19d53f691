//! Exact sums: every update of every thread of every process counts once.

use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use tachograph::{Reader, Recording, SegmentOptions, Snapshot, ValueView};
use tachograph_tests::ack::AckFile;
use tachograph_tests::scrape::Scraper;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::verdict::{self, Instance, Shown};
use tachograph_tests::worker::{NO_RSEQ, Worker};
use tachograph_tests::{long, skip};

const WRITER: &str = env!("CARGO_BIN_EXE_writer");
const PROCESSES: usize = 4;
const THREADS: usize = 4;
const LIMIT: Duration = Duration::from_secs(1_200);

/// Updates of each thread; the long form makes 1.024e9 in all.
fn updates() -> u64 {
    if long() { 64_000_000 } else { 1_000_000 }
}

/// What a run left behind.
struct Run {
    snapshot: Snapshot,
    while_running: Snapshot,
    acks: AckFile,
    _scratch: Scratch,
}

/// Lets all processes record at once; `environments` has one entry a process.
fn run(environments: [&[(&str, &str)]; PROCESSES], updates: u64, fault: Option<&str>) -> Run {
    let scratch = Scratch::new();
    let acks = AckFile::create(&scratch.acks(), PROCESSES * THREADS).unwrap();
    let mut workers = Vec::new();
    for (process, environment) in environments.into_iter().enumerate() {
        let mut arguments = vec![
            "count".into(),
            "--acks".into(),
            scratch.acks().into_os_string(),
        ];
        arguments.extend([
            format!("--threads={THREADS}").into(),
            format!("--first={}", process * THREADS).into(),
            format!("--updates={updates}").into(),
        ]);
        arguments.extend(fault.map(|fault| format!("--fault={fault}").into()));
        workers.push(Worker::start(
            WRITER,
            &scratch.segment(),
            environment,
            arguments,
        ));
    }
    workers.iter().for_each(Worker::wait_ready);
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let while_running = reader.snapshot().unwrap();
    let scraper = Scraper::start(&scratch.segment());
    workers.iter_mut().for_each(Worker::go);
    workers.into_iter().for_each(|worker| worker.finish(LIMIT));
    let scrapes = scraper.finish().unwrap();
    assert!(scrapes > 0, "no scrape during the run");
    Run {
        snapshot: reader.snapshot().unwrap(),
        while_running,
        acks,
        _scratch: scratch,
    }
}

fn judge(run: &Run, updates: u64) -> Result<(), String> {
    let instance = Instance {
        acked: updates,
        killed: false,
    };
    let nothing = Shown::nothing();
    for thread in 0..PROCESSES * THREADS {
        assert_eq!(run.acks.acked(thread), updates, "the worker's own count");
        verdict::own(&nothing, &Shown::own(&run.snapshot, thread), instance)
            .map_err(|error| format!("thread {thread}: {error}"))?;
    }
    let all = [instance; PROCESSES * THREADS];
    verdict::shared(&Shown::shared(&run.snapshot), &all)
}

/// How the living processes record, in the order of their slots.
fn modes(snapshot: &Snapshot) -> Vec<Recording> {
    let living = snapshot.processes.iter().filter(|process| process.alive);
    living.map(|process| process.recording).collect()
}

#[test]
fn all_updates_count_once() {
    let run = run([&[]; PROCESSES], updates(), None);
    judge(&run, updates()).unwrap();
    assert_eq!(modes(&run.while_running).len(), PROCESSES);
}

#[test]
fn restartable_and_atomic_additions_mix() {
    let run = run([&[], &[NO_RSEQ], &[], &[NO_RSEQ]], updates(), None);
    judge(&run, updates()).unwrap();
    let modes = modes(&run.while_running);
    assert_eq!(modes.len(), PROCESSES);
    let restartable = modes.iter().filter(|mode| mode.mode() == "rseq").count();
    if restartable == 0 {
        skip(&format!("no restartable sequences here: {modes:?}"));
        return;
    }
    let turned_off = modes
        .iter()
        .filter(|&&mode| mode == Recording::FallbackUnregistered)
        .count();
    assert_eq!((restartable, turned_off), (2, 2), "{modes:?}");
}

/// A record adds to a bucket, then to the sum, so the sum may lag. A scrape that reads them in the wrong
/// order shows values that no bucket holds.
#[test]
fn a_scrape_shows_no_sum_ahead_of_its_buckets() {
    let scratch = Scratch::new();
    let options = SegmentOptions::new().path(scratch.segment());
    let writer = options.attach().unwrap();
    let ones = writer.histogram("ones", "Always 1").register().unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let recording = std::thread::spawn(move || {
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            (0..1_000).for_each(|_| ones.record(1));
        }
    });
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let scrapes = 5_000;
    let ahead = (0..scrapes).filter(|_| {
        let snapshot = reader.snapshot().unwrap();
        match snapshot.value("ones", &[]) {
            Some(ValueView::Histogram(view)) => view.sum > view.count().into(),
            other => panic!("{other:?}"),
        }
    });
    let ahead = ahead.count();
    drop(stop);
    recording.join().unwrap();
    assert_eq!(ahead, 0, "of {scrapes} scrapes");
}

/// The same judge finds an addition that is not atomic: the test can fail.
#[test]
fn control_a_racy_addition_is_found() {
    let updates = 1_000_000;
    let all = [Instance {
        acked: updates,
        killed: false,
    }; PROCESSES * THREADS];
    let found = (0..5).any(|_| {
        let run = run([&[]; PROCESSES], updates, Some("racy"));
        let mut shown = Shown::shared(&run.snapshot);
        assert_eq!(verdict::shared(&shown, &all), Ok(()));
        shown.counter = run.acks.control();
        verdict::shared(&shown, &all).is_err()
    });
    assert!(found, "16 threads added without atomicity and lost nothing");
}

/// And one update that counts twice in 100 000.
#[test]
fn control_a_doubled_update_is_found() {
    let updates = 200_000;
    let run = run([&[]; PROCESSES], updates, Some("twice"));
    judge(&run, updates).unwrap_err();
}
