//! Fork: parent and child record side by side, each under its own name.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tachograph::{Number, Process, Reader, Snapshot, ValueView};
use tachograph_tests::ack::AckFile;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::verdict::{self, Instance, Shown};
use tachograph_tests::worker::{NO_RSEQ, PATIENCE, Worker};
use tachograph_tests::{eventually, long};

const WRITER: &str = env!("CARGO_BIN_EXE_writer");
const THREADS: usize = 4;
const LIMIT: Duration = Duration::from_secs(600);

/// A worker that forks.
struct Family {
    scratch: Scratch,
    acks: AckFile,
    worker: Worker,
    reader: Reader,
}

impl Family {
    fn start(environment: &[(&str, &str)], children: usize, more: &[&str]) -> Family {
        let scratch = Scratch::new();
        let acks = AckFile::create(&scratch.acks(), THREADS + children).unwrap();
        let mut arguments = vec![
            "fork".into(),
            "--acks".into(),
            scratch.acks().into_os_string(),
        ];
        arguments.push(format!("--threads={THREADS}").into());
        arguments.push(format!("--children={children}").into());
        arguments.extend(more.iter().map(Into::into));
        let mut worker = Worker::start(WRITER, &scratch.segment(), environment, arguments);
        worker.wait_ready();
        worker.go();
        let reader = Reader::attach(scratch.segment()).unwrap();
        Family {
            scratch,
            acks,
            worker,
            reader,
        }
    }
}

fn sums_are_exact(environment: &[(&str, &str)]) {
    let children = if long() { 400 } else { 40 };
    let updates = if long() { 1_000_000 } else { 100_000 };
    let mut family = Family::start(environment, children, &[&format!("--updates={updates}")]);
    family.worker.finish(LIMIT);
    let snapshot = family.reader.snapshot().unwrap();
    let instance = Instance {
        acked: updates,
        killed: false,
    };
    let nothing = Shown::nothing();
    for thread in 0..THREADS + children {
        assert_eq!(family.acks.acked(thread), updates);
        verdict::own(&nothing, &Shown::own(&snapshot, thread), instance)
            .unwrap_or_else(|error| panic!("thread {thread}: {error}"));
    }
    let all = vec![instance; THREADS + children];
    verdict::shared(&Shown::shared(&snapshot), &all).unwrap();
    drop(family.scratch);
}

#[test]
fn parent_and_children_add_up() {
    sums_are_exact(&[]);
}

#[test]
fn parent_and_children_add_up_with_atomic_additions() {
    sums_are_exact(&[NO_RSEQ]);
}

fn living(snapshot: &Snapshot) -> Vec<&Process> {
    let living = snapshot.processes.iter().filter(|process| process.alive);
    living.collect()
}

/// What each living process set the gauge to, by its pid.
fn gauges(snapshot: &Snapshot) -> Vec<(u32, Number)> {
    let mut values: Vec<(u32, Number)> = match snapshot.value("each_level", &[]) {
        Some(ValueView::Each(values)) => values
            .iter()
            .map(|value| (value.pid, value.value))
            .collect(),
        _ => Vec::new(),
    };
    values.sort_by_key(|&(pid, _)| pid);
    values
}

/// A process that is no child of the test: the worker's child. Dropping it kills it.
struct Grandchild(u32);

impl Drop for Grandchild {
    fn drop(&mut self) {
        let _ = signal::kill(Pid::from_raw(self.0.cast_signed()), Signal::SIGKILL);
    }
}

/// Starts a parent whose child stays, and waits until both have a slot.
fn parent_and_child() -> (Family, Grandchild) {
    let mut family = Family::start(&[], 1, &["--linger"]);
    let parent = family.worker.pid();
    let mut child = None;
    eventually(
        "parent and child live in slots of their own",
        PATIENCE,
        || {
            let snapshot = family.reader.snapshot().unwrap();
            let living = living(&snapshot);
            child = living
                .iter()
                .map(|process| process.pid)
                .find(|&pid| pid != parent);
            living.len() == 2 && child.is_some() && gauges(&snapshot).len() == 2
        },
    );
    (family, Grandchild(child.unwrap()))
}

#[test]
fn a_child_has_a_slot_and_gauges_of_its_own() {
    let (mut family, child) = parent_and_child();
    let snapshot = family.reader.snapshot().unwrap();
    let parent = family.worker.pid();
    let mut expected = vec![(parent, Number::Signed(1)), (child.0, Number::Signed(2))];
    expected.sort_by_key(|&(pid, _)| pid);
    assert_eq!(gauges(&snapshot), expected);
    let living = living(&snapshot);
    assert_ne!(living[0].slot, living[1].slot);
}

#[test]
fn a_parent_is_dead_although_its_child_lives() {
    let (family, child) = parent_and_child();
    let Family {
        acks,
        worker,
        mut reader,
        ..
    } = family;
    let parent = worker.pid();
    worker.kill();
    let snapshot = reader.snapshot().unwrap();
    let living: Vec<u32> = living(&snapshot)
        .iter()
        .map(|process| process.pid)
        .collect();
    assert_eq!(
        living,
        [child.0],
        "of parent {parent} and child {}",
        child.0
    );
    assert_eq!(gauges(&snapshot), [(child.0, Number::Signed(2))]);
    // And the child goes on.
    let before = acks.acked(THREADS);
    eventually("the child records on", PATIENCE, || {
        acks.acked(THREADS) > before + 1_000
    });
    let at_least = acks.acked(THREADS);
    let shown = Shown::own(&reader.snapshot().unwrap(), THREADS);
    assert!(shown.counter >= at_least, "{} of {at_least}", shown.counter);
    drop(child);
    eventually("the child is dead too", PATIENCE, || {
        let snapshot = reader.snapshot().unwrap();
        !snapshot.processes.iter().any(|process| process.alive)
    });
}

/// A child that was forked while another thread attached a segment keeps nothing of its parent's place there.
#[test]
fn a_child_forked_during_an_attach_keeps_no_lock_of_its_parent() {
    let scratch = Scratch::new();
    let folder = scratch.path("segments");
    let folder_argument = format!("--folder={}", folder.display());
    let children = if long() { 1_000 } else { 100 };
    let arguments = [
        "attach",
        &folder_argument,
        &format!("--children={children}"),
    ];
    let worker = Worker::start(WRITER, &scratch.segment(), &[], arguments);
    worker.wait_ready();
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let alive_of = |reader: &mut Reader| -> Vec<u32> {
        let snapshot = reader.snapshot().unwrap();
        let living = living(&snapshot);
        living.iter().map(|process| process.pid).collect()
    };
    let parent = worker.pid();
    let mut others = Vec::new();
    eventually("every child has a slot", PATIENCE, || {
        others = alive_of(&mut reader);
        others.retain(|&pid| pid != parent);
        others.len() == children
    });
    let others: Vec<Grandchild> = others.into_iter().map(Grandchild).collect();
    worker.kill();
    let segments = fs::read_dir(&folder).unwrap();
    let mut held: Vec<PathBuf> = segments.map(|entry| entry.unwrap().path()).collect();
    assert!(!held.is_empty());
    eventually("the parent is dead in every segment", PATIENCE, || {
        held.retain(|path| {
            let mut reader = Reader::attach(path).unwrap();
            alive_of(&mut reader).contains(&parent)
        });
        held.is_empty()
    });
    drop(others);
}
