//! `kill -9` at any moment: nothing acknowledged is lost, nothing counts twice, nothing needs repair.
//!
//! Processes with several recording threads are killed at random moments, some of them stopped first,
//! some while they attach, and started again. After each kill the series of each killed thread are
//! compared with what that thread had acknowledged; at the end the survivors are compared too.

use std::ffi::OsString;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tachograph::Reader;
use tachograph_tests::ack::AckFile;
use tachograph_tests::long;
use tachograph_tests::scrape::Scraper;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::verdict::{self, Instance, Shown};
use tachograph_tests::worker::{NO_RSEQ, PATIENCE, Worker};

const WRITER: &str = env!("CARGO_BIN_EXE_writer");

/// What a storm is made of.
#[derive(Clone, Copy)]
struct Storm {
    processes: usize,
    threads: usize,
    /// It goes on until both of these are reached.
    time: Duration,
    updates: u64,
    fault: Option<&'static str>,
}

fn storm() -> Storm {
    let (seconds, updates) = if long() {
        (180, 1_000_000_000)
    } else {
        (6, 1_000_000)
    };
    Storm {
        processes: 4,
        threads: 4,
        time: Duration::from_secs(seconds),
        updates,
        fault: None,
    }
}

/// One place for a process: whoever lives there uses the same series and the same words.
struct Place {
    first: usize,
    environment: &'static [(&'static str, &'static str)],
    worker: Option<Worker>,
    /// What the series of its threads showed when the worker started.
    before: Vec<Shown>,
}

/// What a storm did.
#[derive(Debug, Default)]
struct Outcome {
    instances: Vec<Instance>,
    kills: usize,
    stopped_first: usize,
    /// Killed threads that had made one update more than they had acknowledged.
    one_more: usize,
    faults: Vec<String>,
}

struct Test {
    storm: Storm,
    scratch: Scratch,
    acks: AckFile,
    reader: Reader,
    outcome: Outcome,
}

impl Test {
    fn new(storm: Storm) -> Test {
        let scratch = Scratch::new();
        let threads = storm.processes * storm.threads;
        let acks = AckFile::create(&scratch.acks(), threads).unwrap();
        create(&scratch);
        let reader = Reader::attach(scratch.segment()).unwrap();
        Test {
            storm,
            scratch,
            acks,
            reader,
            outcome: Outcome::default(),
        }
    }

    fn places(&mut self) -> Vec<Place> {
        (0..self.storm.processes)
            .map(|process| Place {
                first: process * self.storm.threads,
                // One process in four uses atomic additions.
                environment: if process % 4 == 3 { &[NO_RSEQ] } else { &[] },
                worker: None,
                before: Vec::new(),
            })
            .collect()
    }

    fn shown(&mut self, place: &Place) -> Vec<Shown> {
        let snapshot = self.reader.snapshot().unwrap();
        let threads = place.first..place.first + self.storm.threads;
        threads
            .map(|thread| Shown::own(&snapshot, thread))
            .collect()
    }

    fn start(&mut self, place: &mut Place) {
        for thread in place.first..place.first + self.storm.threads {
            self.acks.acknowledge(thread, 0);
        }
        place.before = self.shown(place);
        let mut arguments = count(
            &self.scratch,
            &[
                &format!("--threads={}", self.storm.threads),
                &format!("--first={}", place.first),
            ],
        );
        arguments.extend(
            self.storm
                .fault
                .map(|fault| format!("--fault={fault}").into()),
        );
        let segment = self.scratch.segment();
        let mut worker = Worker::start(WRITER, &segment, place.environment, arguments);
        // It starts as soon as it can, so that a kill can hit it while it attaches or registers.
        worker.close_input();
        place.worker = Some(worker);
    }

    /// Compares what each thread of a place has made with what it acknowledged.
    fn judge(&mut self, place: &Place, killed: bool) {
        for (at, after) in self.shown(place).iter().enumerate() {
            let thread = place.first + at;
            let acked = self.acks.acked(thread);
            let instance = Instance { acked, killed };
            if let Err(fault) = verdict::own(&place.before[at], after, instance) {
                self.outcome
                    .faults
                    .push(format!("thread {thread}: {fault}"));
            }
            let made = after.counter.saturating_sub(place.before[at].counter);
            self.outcome.one_more += usize::from(made > acked);
            self.outcome.instances.push(instance);
        }
    }

    fn kill(&mut self, place: &mut Place) {
        let worker = place.worker.take().expect("every place is taken");
        if fastrand::u8(..4) == 0 {
            worker.signal(Signal::SIGSTOP);
            thread::sleep(Duration::from_millis(fastrand::u64(..10)));
            self.outcome.stopped_first += 1;
        }
        worker.kill();
        self.outcome.kills += 1;
        self.judge(place, true);
    }

    fn acknowledged(&self) -> u64 {
        let past: u64 = self.outcome.instances.iter().map(|i| i.acked).sum();
        let threads = self.storm.processes * self.storm.threads;
        past + (0..threads)
            .map(|thread| self.acks.acked(thread))
            .sum::<u64>()
    }

    /// Kills and restarts until there was enough of it, then lets the survivors end by themselves.
    fn run(mut self) -> (Outcome, Scratch) {
        let mut places = self.places();
        for place in &mut places {
            self.start(place);
        }
        let scraper = Scraper::start(&self.scratch.segment());
        let began = Instant::now();
        while began.elapsed() < self.storm.time || self.acknowledged() < self.storm.updates {
            thread::sleep(Duration::from_millis(fastrand::u64(5..40)));
            let at = fastrand::usize(..places.len());
            let place = &mut places[at];
            self.kill(place);
            self.start(place);
            if fastrand::u8(..8) == 0 {
                // Again while it attaches.
                thread::sleep(Duration::from_micros(fastrand::u64(..4_000)));
                self.kill(place);
                self.start(place);
            }
        }
        self.acks.stop();
        for place in &mut places {
            let worker = place.worker.take().expect("every place is taken");
            worker.finish(PATIENCE);
            self.judge(place, false);
        }
        let shared = Shown::shared(&self.reader.snapshot().unwrap());
        if let Err(fault) = verdict::shared(&shared, &self.outcome.instances) {
            self.outcome.faults.push(format!("shared: {fault}"));
        }
        match scraper.finish() {
            Ok(scrapes) => assert!(scrapes > 10, "only {scrapes} scrapes"),
            Err(fault) => self.outcome.faults.push(format!("scrape: {fault}")),
        }
        eprintln!(
            "{} updates, {} kills, {} of them stopped first, {} of {} killed threads one ahead, seed {}",
            self.acknowledged(),
            self.outcome.kills,
            self.outcome.stopped_first,
            self.outcome.one_more,
            self.outcome.kills * self.storm.threads,
            fastrand::get_seed(),
        );
        (self.outcome, self.scratch)
    }
}

#[test]
fn killed_processes_lose_nothing_they_acknowledged() {
    let (outcome, scratch) = Test::new(storm()).run();
    assert!(outcome.faults.is_empty(), "{:#?}", outcome.faults);
    assert!(outcome.kills > 20, "only {} kills", outcome.kills);
    a_new_process_goes_on_at_once(&scratch);
}

/// Lets a process come and go, so that there is a segment to read.
fn create(scratch: &Scratch) {
    let worker = Worker::start(
        WRITER,
        &scratch.segment(),
        &[],
        count(scratch, &["--updates=0"]),
    );
    worker.finish(PATIENCE);
}

/// The arguments of a worker that makes updates.
fn count(scratch: &Scratch, more: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["count".into(), "--acks".into()];
    arguments.push(scratch.acks().into());
    arguments.extend(more.iter().map(Into::into));
    arguments
}

/// Without any clean-up: the series of a thread that was in the storm go on where they are.
fn a_new_process_goes_on_at_once(scratch: &Scratch) {
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let before = Shown::own(&reader.snapshot().unwrap(), 0);
    std::fs::remove_file(scratch.acks()).unwrap();
    AckFile::create(&scratch.acks(), 1).unwrap();
    let began = Instant::now();
    let worker = Worker::start(
        WRITER,
        &scratch.segment(),
        &[],
        count(scratch, &["--updates=9"]),
    );
    worker.wait_ready();
    // Milliseconds, but other tests run beside this one.
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "start and attach took {took:?}"
    );
    let snapshot = reader.snapshot().unwrap();
    let living = snapshot.processes.iter().filter(|process| process.alive);
    assert_eq!(living.count(), 1, "{:?}", snapshot.processes);
    worker.finish(PATIENCE);
    let after = Shown::own(&reader.snapshot().unwrap(), 0);
    let instance = Instance {
        acked: 9,
        killed: false,
    };
    assert_eq!(verdict::own(&before, &after, instance), Ok(()));
}

/// The same storm finds an engine that would lose the update in flight: the test can fail.
#[test]
fn control_an_early_acknowledgement_is_found() {
    let storm = Storm {
        time: Duration::from_secs(2),
        updates: 0,
        fault: Some("ack-first"),
        ..storm()
    };
    let (outcome, _scratch) = Test::new(storm).run();
    assert!(!outcome.faults.is_empty());
}

/// And one that counts an update in 100 000 twice.
#[test]
fn control_a_doubled_update_is_found() {
    let storm = Storm {
        time: Duration::from_secs(2),
        updates: 0,
        fault: Some("twice"),
        ..storm()
    };
    let (outcome, _scratch) = Test::new(storm).run();
    assert!(!outcome.faults.is_empty());
}
