//! The file is truncated, punched, removed or replaced under everybody who uses it.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::Signal;
use tachograph::{Loss, SegmentOptions};
use tachograph_tests::scratch::Scratch;

use crate::stage::{
    Operator, Tmpfs, Victim, counted, fill, is_root, let_run, open, probe, punch, section, snapshot,
};

const COUNTERS: u64 = 9;
const SIGBUS: i32 = 7;
const DAMAGED: &str = "tachograph_damaged_records{segment=\"test\"}";
/// What the probe's `check` says of a hole.
const MISSING: [&str; 3] = [
    "memory is missing",
    "remove the file",
    "restart its writers",
];

/// A victim that records in two threads, and has something of every type.
fn busy(path: &Path) -> Victim {
    let mut victim = Victim::attached(path);
    victim.count("old_total", 1000);
    victim.must("kinds old");
    victim.count("spun_total", 0);
    victim.must("spin spun_total");
    victim
}

/// Everything that a victim with a broken file does goes on working.
fn lives_on(victim: &mut Victim, path: &Path, reason: &str) {
    let place = path.to_str().unwrap();
    victim.must("add old_total 100000");
    victim.must("kinds old");
    victim.must("kinds new");
    assert_ne!(victim.ask("counter new_total"), "");
    victim.must("add new_total 10");
    victim.must("fork old_total 1000");
    victim.must("kinds old");
    victim.fails(
        "check",
        &[place, reason, "remove it", "restart its writers"],
    );
    let_run();
    assert_ne!(victim.ask("spun"), "0");
}

#[test]
fn nobody_dies_of_a_truncated_file() {
    let sizes = |path: &Path| {
        let (counters, bytes) = section(path, COUNTERS);
        [0, 1, 4096, counters, counters + bytes / 2]
    };
    let scratch = Scratch::new();
    let path = scratch.path("sizes.seg");
    Victim::attached(&path).finish();
    for (number, size) in sizes(&path).into_iter().enumerate() {
        let path = scratch.path(format!("{number}.seg"));
        let mut victim = busy(&path);
        let operator = Operator::of(&path);
        operator.sees_all();

        open(&path).set_len(size).unwrap();
        operator.sees_nothing(&[path.to_str().unwrap(), "shorter than"]);
        lives_on(&mut victim, &path, "truncated");
        victim.fails("try other_total", &[path.to_str().unwrap()]);
        // Whoever comes later is told.
        let attach = format!("attach path={}", path.display());
        victim.fails(
            &attach,
            &[path.to_str().unwrap(), "shorter than", "remove it"],
        );

        // A new segment brings everything back, for the same process too.
        fs::remove_file(&path).unwrap();
        victim.attach(&path);
        victim.count("old_total", 7);
        victim.must("check");
        operator.sees_all();
        assert_eq!(operator.sample("old_total"), Some(7.0));
        victim.finish();
    }
}

#[test]
fn a_file_that_is_truncated_and_grown_again_and_again_kills_nobody() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victims = [busy(&path), busy(&path)];
    let operator = Operator::of(&path);
    let whole = fs::metadata(&path).unwrap().len();
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let truncated = path.clone();
        scope.spawn(move || {
            let file = open(&truncated);
            for round in 0.. {
                file.set_len(whole * (round % 7) / 7).unwrap();
                thread::yield_now();
                file.set_len(whole).unwrap();
                if is_done.try_recv() == Ok(()) {
                    return;
                }
            }
        });
        for round in 0..40 {
            for victim in &mut victims {
                victim.must("add old_total 100");
                victim.ask(&format!("many m{round} 50"));
                victim.ask(&format!("kinds k{round}"));
                victim.must("fork old_total 10");
            }
            operator.page();
            probe(&path, "check");
        }
        done.send(()).unwrap();
    });
    open(&path).set_len(0).unwrap();
    for mut victim in victims {
        lives_on(&mut victim, &path, "truncated");
        victim.finish();
    }
}

#[test]
fn a_hole_loses_what_was_there_and_counts_on() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = Victim::attached(&path);
    victim.count("old_total", 1000);
    let operator = Operator::of(&path);
    assert_eq!(operator.sample("old_total"), Some(1000.0));
    operator.sees_all();
    let (offset, bytes) = section(&path, COUNTERS);
    punch(&path, offset, bytes);
    victim.must("add old_total 5");
    victim.count("new_total", 6);
    victim.must("check");
    let found = snapshot(&path);
    assert_eq!(counted(&found, "old_total"), 5.0);
    assert_eq!(counted(&found, "new_total"), 6.0);
    assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
    operator.sees_damage(&MISSING);
    assert_eq!(operator.sample("old_total"), Some(5.0));

    // Not even its header is left.
    punch(&path, 0, fs::metadata(&path).unwrap().len());
    victim.must("add old_total 5");
    victim.must("kinds new");
    victim.must("fork old_total 5");
    operator.page();
    let (code, text) = probe(&path, "check");
    assert_eq!(code, 1);
    assert!(
        text.contains("magic") && text.contains(path.to_str().unwrap()),
        "{text}"
    );
    victim.finish();
}

#[test]
fn a_hole_that_a_writer_has_filled_again_is_told_of_by_whoever_saw_more() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = Victim::attached(&path);
    victim.count("old_total", 1000);
    let operator = Operator::of(&path);
    assert_eq!(operator.sample("old_total"), Some(1000.0));
    assert_eq!(operator.sample(DAMAGED), Some(0.0));
    let whole = crate::stage::blocks(&path);
    let (offset, _) = section(&path, COUNTERS);
    let block = 4096 * {
        let segment = snapshot(&path).segment;
        u64::from(segment.cpu_shards + segment.fallback_shards)
    };
    punch(&path, offset, block);
    crate::stage::reserve(&open(&path), offset, block);
    victim.must("add old_total 5");
    assert_eq!(crate::stage::blocks(&path), whole, "nothing is missing");
    assert_eq!(operator.sample("old_total"), Some(5.0));
    assert_eq!(operator.sample(DAMAGED), Some(1.0));
    victim.must("add old_total 2000");
    assert_eq!(operator.sample(DAMAGED), Some(1.0), "it is not forgotten");
    victim.finish();
}

#[test]
fn a_hole_in_a_full_file_system_costs_its_page_alone() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let tmpfs = Tmpfs::new(scratch.path("full"), "size=4m");
    let (folder, path) = (&tmpfs.folder, &tmpfs.segment);
    let mut victim = Victim::start();
    victim.must(&format!("attach size=small path={}", path.display()));
    victim.count("punched_total", 1000);
    assert_eq!(victim.ask("many filler 600"), "600");
    victim.count("sound_total", 2000);
    let operator = Operator::of(path);
    operator.sees_all();

    let shards =
        u64::from(snapshot(path).segment.cpu_shards + snapshot(path).segment.fallback_shards);
    let (offset, _) = section(path, COUNTERS);
    let filler = fill(folder, 0).unwrap();
    punch(path, offset, shards * 4096);
    // What became free is taken at once.
    let more = fs::File::create(folder.join("more")).unwrap();
    crate::stage::reserve(&more, 0, shards * 4096);

    for _ in 0..100 {
        victim.must("add punched_total 10");
        victim.must("add sound_total 10");
    }
    victim.must("fork sound_total 500");
    victim.fails(
        "check",
        &[
            path.to_str().unwrap(),
            "a page of it",
            "restart its writers",
        ],
    );
    victim.fails("try late_total", &[path.to_str().unwrap(), "a page of it"]);
    assert_eq!(victim.ask("counter late_total"), "Sink");
    // No reader can have the page either: it reads around the hole.
    operator.sees_damage(&MISSING);
    assert_eq!(operator.sample("sound_total"), Some(3500.0));

    fs::remove_file(filler).unwrap();
    assert!(operator.is_up());
    assert_eq!(operator.sample("sound_total"), Some(3500.0));
    let pages =
        operator.sample("tachograph_pages_lost_total{segment=\"test\",reason=\"unwritable\"}");
    assert!(pages.is_some_and(|pages| pages >= 1.0), "{pages:?}");
    let (code, text) = probe(path, "check");
    assert_eq!(code, 1);
    assert!(text.contains("pages lost to a process"), "{text}");
    // A process that comes now has the whole segment.
    let mut other = Victim::attached(path);
    other.count("punched_total", 3);
    other.must("check");
    let found = snapshot(path);
    // Four sinks and the punched counter come first in the block.
    assert_eq!(counted(&found, "filler_total"), (600 - (512 - 5)).into());
    assert!(found.losses.count(Loss::NoSpace) >= 1);
    victim.finish();
    other.finish();
}

#[test]
fn a_removed_or_replaced_file_is_told_and_kept_apart() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = busy(&path);
    let operator = Operator::of(&path);
    fs::remove_file(&path).unwrap();
    victim.must("add old_total 1000");
    victim.must("kinds new");
    let removed = [
        path.to_str().unwrap(),
        "removed or replaced",
        "attach again",
    ];
    victim.fails("check", &removed);
    assert!(!operator.is_up());
    let (code, text) = probe(&path, "check");
    assert_eq!(code, 1);
    assert!(text.contains("start a writer"), "{text}");

    let other = scratch.path("other.seg");
    let mut newcomer = Victim::attached(&other);
    newcomer.count("old_total", 5);
    fs::rename(&other, &path).unwrap();
    victim.must("add old_total 1000");
    victim.fails("check", &removed);
    operator.sees_all();
    assert_eq!(operator.sample("old_total"), Some(5.0));
    victim.attach(&path);
    victim.count("old_total", 6);
    victim.must("check");
    assert_eq!(operator.sample("old_total"), Some(11.0));
    assert_ne!(victim.ask("spun"), "0");
    victim.finish();
    newcomer.finish();
}

#[test]
fn control_without_the_guard_a_writer_dies() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = Victim::start();
    victim.must(&format!("attach fault_guard=false path={}", path.display()));
    victim.count("old_total", 1);
    open(&path).set_len(0).unwrap();
    victim.tell("add old_total 1");
    assert_eq!(signal_of(victim), Some(SIGBUS));
}

#[test]
fn a_fault_elsewhere_is_not_ours() {
    let scratch = Scratch::new();
    let fault = format!("fault {}", scratch.path("theirs").display());
    let mut victim = Victim::attached(&scratch.segment());
    victim.tell(&fault);
    assert_eq!(signal_of(victim), Some(SIGBUS));

    // A handler that was there before keeps what is not ours, with or without information on the fault.
    for (handler, code) in [("catch", 42), ("catch_told", 43)] {
        let victim = faulting(&scratch.path(format!("{handler}.seg")), handler, &fault);
        assert_eq!(victim.end().code(), Some(code), "{handler}");
    }
}

#[test]
fn a_program_that_ignores_the_signal_dies_of_its_own_faults_only() {
    let scratch = Scratch::new();
    let fault = format!("fault {}", scratch.path("theirs").display());
    let mut victim = faulting(&scratch.path("fault.seg"), "ignore", &fault);
    assert_eq!(signal_of(victim), Some(SIGBUS));

    victim = Victim::start();
    victim.must("ignore");
    victim.attach(&scratch.segment());
    victim.count("old_total", 1);
    victim.signal(Signal::SIGBUS);
    victim.must("add old_total 1");
    open(&scratch.segment()).set_len(0).unwrap();
    victim.must("add old_total 1");
    victim.finish();
}

/// A victim that handles SIGBUS in its own way, has lost the segment at `path`, and makes a fault of its own.
fn faulting(path: &Path, handler: &str, fault: &str) -> Victim {
    let mut victim = Victim::start();
    victim.must(handler);
    victim.attach(path);
    victim.count("old_total", 1);
    open(path).set_len(0).unwrap();
    victim.must("add old_total 1");
    victim.tell(fault);
    victim
}

#[test]
fn a_signal_that_was_sent_is_not_ours() {
    let scratch = Scratch::new();
    let mut victim = Victim::start();
    victim.must("forget");
    victim.attach(&scratch.segment());
    victim.signal(Signal::SIGBUS);
    assert_eq!(signal_of(victim), Some(SIGBUS));
}

fn signal_of(victim: Victim) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&victim.end())
}

#[test]
fn a_writer_reads_its_own_truncated_segment_as_an_error() {
    let scratch = Scratch::new();
    let writer = SegmentOptions::new()
        .path(scratch.segment())
        .attach()
        .unwrap();
    let counter = writer.counter("a_total", "A").register().unwrap();
    open(&scratch.segment()).set_len(4096).unwrap();
    counter.inc();
    assert!(writer.snapshot().is_err());
    assert!(writer.check().is_err());
    let late = writer.counter("late_total", "Late").register_with_outcome();
    assert!(
        matches!(late, Ok((_, tachograph::Outcome::Sink))),
        "{late:?}"
    );
    let late = writer.counter("late_total", "Late").try_register();
    assert!(
        matches!(late, Err(tachograph::Error::Changed { .. })),
        "{late:?}"
    );
}
