//! The fuzzers' corpus, through the fuzzers' targets, with a limit on memory.

use std::alloc::System;
use std::fs;
use std::path::Path;

use cap::Cap;
use tachograph_tests::targets;

/// Beyond the limit an allocation fails, and with it the test.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, targets::MEMORY_MAX);

fn replay(name: &str) {
    let (_, run) = targets::ALL
        .into_iter()
        .find(|(target, _)| *target == name)
        .unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let entries = fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        eprintln!("{}", file.display());
        run(&fs::read(file).unwrap());
    }
    assert!(!files.is_empty(), "no file in {}", folder.display());
}

#[test]
fn reader() {
    replay("reader");
}

#[test]
fn scribble() {
    replay("scribble");
}

#[test]
fn names() {
    replay("names");
}

#[test]
fn text() {
    replay("text");
}

#[test]
fn every_target_is_replayed() {
    assert_eq!(
        targets::ALL.map(|(name, _)| name),
        ["reader", "scribble", "names", "text"]
    );
}

/// The limit is there: what is above it is refused.
#[test]
fn control_memory_is_limited() {
    let mut bytes = Vec::<u8>::new();
    bytes.try_reserve_exact(targets::MEMORY_MAX).unwrap_err();
    bytes.try_reserve_exact(1 << 10).unwrap();
}
