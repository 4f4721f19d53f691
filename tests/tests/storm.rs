//! The restartable sequence under everything that aborts it: each update counts once, in every thread and in
//! every signal handler that interrupts one.
//!
//! A build for proof (`--cfg tachograph_proof`) has long sequences, so that most interruptions hit one, and
//! deliberate faults.

use std::time::Duration;

use tachograph::{Reader, Recording, Snapshot};
use tachograph_tests::ack::AckFile;
use tachograph_tests::scrape::Scraper;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::skip;
use tachograph_tests::storm;
use tachograph_tests::verdict::{self, Instance, Shown};
use tachograph_tests::worker::Worker;

const STORM: &str = env!("CARGO_BIN_EXE_storm");
const THREADS: usize = 64;
const LIMIT: Duration = Duration::from_secs(120);

/// What a storm left behind.
struct Run {
    snapshot: Snapshot,
    recording: Recording,
    acks: AckFile,
    aborts: u64,
    _scratch: Scratch,
}

/// Lets a storm blow for so many seconds, and longer until it has aborted so many sequences; `each_second`
/// may add to it.
fn blow(seconds: u64, aborts_wanted: u64, arguments: &[&str], each_second: impl Fn()) -> Run {
    let scratch = Scratch::new();
    let acks = AckFile::create(&scratch.acks(), 2 * THREADS).unwrap();
    let mut given = vec!["--acks".into(), scratch.acks().into_os_string()];
    given.push(format!("--threads={THREADS}").into());
    given.extend(arguments.iter().map(Into::into));
    let mut worker = Worker::start(STORM, &scratch.segment(), &[], given);
    worker.wait_ready();
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let recording = reader.snapshot().unwrap().processes[0].recording;
    let scraper = Scraper::start(&scratch.segment());
    worker.go();
    let mut aborts = 0;
    for second in 0.. {
        if second >= seconds && aborts >= aborts_wanted {
            break;
        }
        assert!(
            second < 20 * seconds.max(10),
            "{aborts} aborts in {second} s"
        );
        each_second();
        let line = worker.line();
        aborts = line.strip_prefix("aborts ").unwrap().parse().unwrap();
    }
    acks.stop();
    worker.finish(LIMIT);
    let scraped = scraper.finish();
    let snapshot = reader.snapshot().unwrap();
    // A planted fault may well lose what a reader has seen; what is lost is judged by the sums.
    assert!(scraped.is_ok() || !arguments.is_empty(), "{scraped:?}");
    Run {
        snapshot,
        recording,
        acks,
        aborts,
        _scratch: scratch,
    }
}

impl Run {
    fn updates(&self) -> Vec<(u64, u64)> {
        let of = |thread| (self.acks.acked(thread), self.acks.acked(THREADS + thread));
        (0..THREADS).map(of).collect()
    }

    /// What is wrong in the sums: nothing, if the sequence holds.
    fn faults(&self) -> Vec<String> {
        let instance = |number| Instance {
            acked: self.acks.acked(number),
            killed: false,
        };
        let all: Vec<Instance> = (0..2 * THREADS).map(instance).collect();
        let own = all.iter().enumerate().map(|(number, &instance)| {
            let shown = Shown::own(&self.snapshot, number);
            verdict::own(&Shown::nothing(), &shown, instance)
                .map_err(|fault| format!("thread {number}: {fault}"))
        });
        let shared = verdict::shared(&Shown::shared(&self.snapshot), &all);
        let floats = storm::judge(&self.snapshot, &self.updates());
        own.chain([shared, floats])
            .filter_map(Result::err)
            .collect()
    }

    fn assert_exact(&self) {
        let (threads, handlers) = self.updates().iter().fold((0, 0), |sums, updates| {
            (sums.0 + updates.0, sums.1 + updates.1)
        });
        let updates = threads + handlers;
        eprintln!(
            "{} adds in {updates} updates, {handlers} of them in signal handlers",
            8 * updates
        );
        if cfg!(tachograph_proof) {
            eprintln!("{} sequences aborted", self.aborts);
        }
        assert!(threads > 0 && handlers > 0);
        let faults = self.faults();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// Whether there is a sequence to storm; says so where there is none.
    fn has_sequences(&self) -> bool {
        let has = self.recording == Recording::RestartableSequences;
        if !has {
            skip(self.recording.reason());
        }
        has
    }
}

#[cfg(not(tachograph_proof))]
mod plain {
    use tachograph_tests::long;

    use super::*;

    #[test]
    fn every_update_counts_once() {
        let run = blow(if long() { 180 } else { 8 }, 0, &[], || ());
        run.assert_exact();
        run.has_sequences();
    }
}

#[cfg(tachograph_proof)]
mod lengthened {
    use std::num::NonZero;

    use tachograph_tests::long;
    use tachograph_tests::offline::SecondCpu;

    use super::*;

    /// Seconds and aborts of a run.
    fn length() -> (u64, u64) {
        if long() {
            (120, 1_000_000)
        } else {
            (5, 10_000)
        }
    }

    #[test]
    fn every_update_counts_once() {
        let (seconds, aborts) = length();
        let run = blow(seconds, aborts, &[], || ());
        run.assert_exact();
        assert!(run.has_sequences(), "aborts without sequences");
    }

    #[test]
    fn sequences_of_usual_length_are_aborted_too() {
        let run = blow(if long() { 60 } else { 3 }, 1, &["--length=0"], || ());
        run.assert_exact();
    }

    /// Hotplug takes a CPU from everybody on the machine, so it is left to the long form.
    #[test]
    fn cpus_come_and_go() {
        if !long() {
            skip("CPUs go offline in the long form only");
            return;
        }
        let Ok(cpu) = SecondCpu::new() else {
            skip("no second CPU that may be taken offline");
            return;
        };
        let run = blow(20, 1_000, &[], || {
            for online in [false, true, false, true] {
                cpu.set_online(online).unwrap();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        drop(cpu);
        run.assert_exact();
    }

    fn is_found(fault: &str, aborts: u64) {
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        if cpus < 2 {
            skip("a single CPU forgives this");
            return;
        }
        let run = blow(2, aborts, &[&format!("--fault={fault}")], || ());
        if run.has_sequences() {
            let faults = run.faults();
            eprintln!("{faults:#?}");
            assert!(!faults.is_empty(), "the storm does not find `{fault}`");
        }
    }

    #[test]
    fn control_adds_without_a_sequence_are_found() {
        is_found("no-sequence", 0);
    }

    #[test]
    fn control_atomic_adds_on_a_shard_of_sequences_are_found() {
        is_found("mixed-shards", 20_000);
    }
}
