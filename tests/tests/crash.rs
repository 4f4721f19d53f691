//! `kill -9` at any moment: nothing acknowledged is lost, nothing counts twice, nothing needs repair.
//!
//! Processes with several recording threads are killed at random moments, some of them stopped first,
//! some while they attach, and started again. After each kill the series of each killed thread are
//! compared with what that thread had acknowledged; at the end the survivors are compared too.

use std::ffi::OsString;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tachograph::{Reader, Snapshot, ValueView};
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
    /// It goes on until all of these are reached.
    time: Duration,
    updates: u64,
    kills: usize,
    fault: Option<&'static str>,
}

fn storm() -> Storm {
    let (seconds, updates, kills) = if long() {
        (60, 1_000_000_000, 300)
    } else {
        (12, 1_000_000, 30)
    };
    Storm {
        processes: 6,
        threads: 4,
        time: Duration::from_secs(seconds),
        updates,
        kills,
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
    /// Threads whose counter showed one update more than they had acknowledged.
    counters_ahead: usize,
    /// The same for histograms.
    histograms_ahead: usize,
    /// Processes that came, made some updates and ended by themselves in the middle of the storm.
    visitors: usize,
    /// Snapshots by a reader and pages of an exporter.
    scrapes: (u64, u64),
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
        // And one for the visitors.
        let threads = storm.processes * storm.threads + 1;
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
                "--gauges",
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
            self.outcome.counters_ahead += usize::from(made > acked);
            let records = |shown: &Shown| shown.counts.iter().sum::<u64>();
            let recorded = records(after).saturating_sub(records(&place.before[at]));
            self.outcome.histograms_ahead += usize::from(recorded > acked);
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
        let pid = worker.pid();
        worker.kill();
        self.outcome.kills += 1;
        self.judge(place, true);
        let snapshot = self.reader.snapshot().unwrap();
        if let Err(fault) = gauges_of_the_living(&snapshot, pid) {
            self.outcome.faults.push(fault);
        }
    }

    /// A process comes, makes some updates in series of its own and ends, and nothing holds it up.
    fn visit(&mut self) {
        let mut place = Place {
            first: self.storm.processes * self.storm.threads,
            environment: &[],
            worker: None,
            before: Vec::new(),
        };
        self.acks.acknowledge(place.first, 0);
        let shown = |test: &mut Test| {
            let snapshot = test.reader.snapshot().unwrap();
            Shown::own(&snapshot, place.first)
        };
        place.before = vec![shown(self)];
        let first = format!("--first={}", place.first);
        let arguments = count(&self.scratch, &[&first, "--updates=999"]);
        let worker = Worker::start(WRITER, &self.scratch.segment(), &[], arguments);
        worker.finish(PATIENCE);
        let after = shown(self);
        let acked = self.acks.acked(place.first);
        self.acks.acknowledge(place.first, 0);
        let killed = false;
        let instance = Instance { acked, killed };
        let judged = verdict::own(&place.before[0], &after, instance);
        if acked != 999 || judged.is_err() {
            let fault = format!("a visitor acknowledged {acked}: {judged:?}");
            self.outcome.faults.push(fault);
        }
        self.outcome.instances.push(instance);
        self.outcome.visitors += 1;
    }

    fn acknowledged(&self) -> u64 {
        let past: u64 = self.outcome.instances.iter().map(|i| i.acked).sum();
        let threads = self.storm.processes * self.storm.threads;
        past + (0..threads)
            .map(|thread| self.acks.acked(thread))
            .sum::<u64>()
    }

    fn print(&self) {
        let outcome = &self.outcome;
        let killed = outcome.kills * self.storm.threads;
        eprintln!(
            "{} updates, {} kills, {} of them stopped first; of {killed} killed threads {} counters and {} \
             histograms one ahead, the rest exact; {} visitors; {} snapshots and {} pages; seed {}",
            outcome.instances.iter().map(|i| i.acked).sum::<u64>(),
            outcome.kills,
            outcome.stopped_first,
            outcome.counters_ahead,
            outcome.histograms_ahead,
            outcome.visitors,
            outcome.scrapes.0,
            outcome.scrapes.1,
            fastrand::get_seed(),
        );
    }

    /// Kills and restarts until there was enough of it, then lets the survivors end by themselves.
    fn run(mut self) -> (Outcome, Scratch) {
        let mut places = self.places();
        for place in &mut places {
            self.start(place);
        }
        let scraper = Scraper::start(&self.scratch.segment());
        let pages = Scraper::of_pages(&self.scratch.segment());
        let began = Instant::now();
        while began.elapsed() < self.storm.time
            || self.acknowledged() < self.storm.updates
            || self.outcome.kills < self.storm.kills
        {
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
            if self.outcome.visitors < self.outcome.kills / 10 {
                self.visit();
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
        let mut scrapes = |scraper: Scraper| {
            scraper.finish().unwrap_or_else(|fault| {
                self.outcome.faults.push(format!("scrape: {fault}"));
                0
            })
        };
        self.outcome.scrapes = (scrapes(scraper), scrapes(pages));
        self.print();
        (self.outcome, self.scratch)
    }
}

/// Shows a gauge of each living process once, and none of the one that was killed.
fn gauges_of_the_living(snapshot: &Snapshot, killed: u32) -> Result<(), String> {
    let values = match snapshot.value("each_worker", &[]) {
        Some(ValueView::Each(values)) => values,
        _ => &[],
    };
    let is_alive = |pid: u32| {
        let mut processes = snapshot.processes.iter();
        pid != killed && processes.any(|process| process.alive && process.pid == pid)
    };
    let sum = snapshot.number("workers", &[]);
    let most = snapshot.processes.iter().filter(|process| process.alive);
    #[expect(clippy::cast_precision_loss, reason = "a handful of processes")]
    let most = most.count() as f64;
    match values.iter().find(|value| !is_alive(value.pid)) {
        Some(ghost) => Err(format!("a gauge of a dead process: {ghost:?}")),
        None if sum > most => Err(format!("{sum} workers, but {most} live")),
        None => Ok(()),
    }
}

#[test]
fn killed_processes_lose_nothing_they_acknowledged() {
    let (outcome, scratch) = Test::new(storm()).run();
    assert!(outcome.faults.is_empty(), "{:#?}", outcome.faults);
    assert!(outcome.visitors > 0, "nobody attached in between");
    assert!(
        outcome.scrapes.0 > 10 && outcome.scrapes.1 > 5,
        "{:?} scrapes",
        outcome.scrapes
    );
    slots_were_used_again(&scratch);
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

/// A process a place, a visitor and the reader's creator: no more slots than live at a time.
fn slots_were_used_again(scratch: &Scratch) {
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let mut tables = snapshot.segment.tables.iter();
    let slots = tables.find(|table| table.table == "processes").unwrap();
    let most = storm().processes as u64 + 1;
    assert!(
        slots.used <= most,
        "{} slots for {most} processes",
        slots.used
    );
}

/// Without any clean-up: the series of a thread that was in the storm go on where they are.
fn a_new_process_goes_on_at_once(scratch: &Scratch) {
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let before = Shown::own(&reader.snapshot().unwrap(), 0);
    std::fs::remove_file(scratch.acks()).unwrap();
    AckFile::create(&scratch.acks(), 1).unwrap();
    let worker = Worker::start(
        WRITER,
        &scratch.segment(),
        &[],
        count(scratch, &["--updates=9"]),
    );
    worker.wait_ready();
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
        kills: 0,
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
        kills: 0,
        fault: Some("twice"),
        ..storm()
    };
    let (outcome, _scratch) = Test::new(storm).run();
    assert!(!outcome.faults.is_empty());
}
