//! Registration by many threads and processes at once, through kills and forks: every series exists once
//! and every update is in it.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use tachograph::{Reader, Snapshot};
use tachograph_tests::ack::AckFile;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::verdict::counter_value;
use tachograph_tests::worker::{PATIENCE, Worker};
use tachograph_tests::{eventually, long};

const WRITER: &str = env!("CARGO_BIN_EXE_writer");
const PROCESSES: usize = 4;
const THREADS: usize = 2;
const FAMILIES: usize = 7;
const VALUES: usize = 300;
/// The word of a process's children follows those of its threads.
const WORDS: usize = THREADS + 1;

fn start(scratch: &Scratch, process: usize, forks: bool) -> Worker {
    let mut arguments = vec![
        "register".into(),
        "--acks".into(),
        scratch.acks().into_os_string(),
    ];
    arguments.push(format!("--threads={THREADS}").into());
    arguments.push(format!("--first={}", process * WORDS).into());
    arguments.push(format!("--families={FAMILIES}").into());
    arguments.push(format!("--values={VALUES}").into());
    arguments.extend(forks.then(|| "--forks".into()));
    let mut worker = Worker::start(WRITER, &scratch.segment(), &[], arguments);
    worker.close_input();
    worker
}

/// The sum of all series, which must be told apart by their labels.
fn sum_of_distinct_series(snapshot: &Snapshot) -> u64 {
    let mut seen = BTreeSet::new();
    let mut sum = 0;
    for view in snapshot.families() {
        let name = &view.family.name;
        for series in view.series() {
            let labels: Vec<(&str, &str)> = series
                .series
                .labels
                .iter()
                .map(|label| (label.name, label.value))
                .collect();
            assert_eq!(labels.len(), 2, "{name} {labels:?}");
            assert!(
                seen.insert((name.clone(), format!("{labels:?}"))),
                "{name} {labels:?} twice"
            );
            sum += counter_value(snapshot, name, &labels);
        }
    }
    assert!(seen.len() <= FAMILIES * VALUES, "{} series", seen.len());
    sum
}

/// Each round begins with a new segment, where the kills hit the first registrations.
fn round(time: Duration, kills: bool, forks: bool) -> (u64, usize) {
    let scratch = Scratch::new();
    let acks = AckFile::create(&scratch.acks(), PROCESSES * WORDS).unwrap();
    let mut workers: Vec<Worker> = (0..PROCESSES)
        .map(|at| start(&scratch, at, forks))
        .collect();
    let mut past = 0;
    let mut killed = 0;
    let began = Instant::now();
    while began.elapsed() < time {
        thread::sleep(Duration::from_millis(fastrand::u64(1..12)));
        if !kills {
            continue;
        }
        let at = fastrand::usize(..PROCESSES);
        workers.swap_remove(at).kill();
        killed += 1;
        for word in at * WORDS..(at + 1) * WORDS {
            past += acks.acked(word);
            acks.acknowledge(word, 0);
        }
        workers.push(start(&scratch, at, forks));
        let last = workers.len() - 1;
        workers.swap(at, last);
    }
    eventually("every process attaches", PATIENCE, || {
        Reader::attach(scratch.segment()).is_ok()
    });
    acks.stop();
    workers
        .into_iter()
        .for_each(|worker| worker.finish(PATIENCE));
    let acked = past
        + (0..PROCESSES * WORDS)
            .map(|word| acks.acked(word))
            .sum::<u64>();
    let snapshot = Reader::attach(scratch.segment())
        .unwrap()
        .snapshot()
        .unwrap();
    assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
    let shown = sum_of_distinct_series(&snapshot);
    let most = acked + (killed * WORDS) as u64;
    assert!(
        (acked..=most).contains(&shown),
        "{shown} shown of {acked}, {killed} kills"
    );
    (acked, killed)
}

fn rounds() -> u32 {
    if long() { 200 } else { 10 }
}

#[test]
fn registrations_survive_kills() {
    let mut killed = 0;
    for _ in 0..rounds() {
        killed += round(Duration::from_millis(400), true, false).1;
    }
    assert!(killed > 20, "only {killed} kills");
}

#[test]
fn registrations_agree_without_kills() {
    for _ in 0..rounds() {
        let (acked, _) = round(Duration::from_millis(200), false, false);
        assert!(acked > 0, "nothing was registered");
    }
}

/// A child is forked while other threads of its parent are in the middle of a registration.
#[test]
fn a_forked_child_registers_too() {
    for _ in 0..rounds() {
        let (acked, _) = round(Duration::from_millis(200), false, true);
        assert!(acked > 0, "nothing was registered");
    }
}
