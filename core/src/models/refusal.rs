//! The first definition that was refused: one process's, whole or not at all.

use crate::layout::family::{self, REFUSAL};
use crate::refusal::{keep, read};
use crate::sync::AtomicU64;

use super::atomic::{segment_words, share, watch};
use super::{Bound, prove, spawn};

fn record() -> &'static [AtomicU64] {
    let words = segment_words(family::WORDS);
    share(words);
    words
}

/// Two that are refused at one time: both are counted, and one of them is told of.
fn one_of_two_refusals_is_told() {
    let record = record();
    let other = spawn(move || keep(record, 1, "type 1"));
    keep(record, 2, "type 2");
    other.join().unwrap();
    let told = read(record).unwrap();
    let first = told.first.expect("one of them was the first");
    assert_eq!(told.count, 2);
    assert_eq!(first.requested, first.pid.to_string());
}

#[test]
fn two_refusals() {
    prove(
        Bound::Exhaustive,
        one_of_two_refusals_is_told,
        &["refusal claimed"],
    );
}

/// A reader that meets the refusal tells of a whole definition or of none.
fn readers_tell_whole_definitions() {
    let record = record();
    watch([&record[REFUSAL]]);
    // More than one word, so that a part of it would show.
    let refused = spawn(move || keep(record, 1, "buckets 1"));
    if let Some(first) = read(record).and_then(|told| told.first) {
        assert_eq!((first.pid, &*first.requested), (1, "1"));
    }
    refused.join().unwrap();
    assert!(read(record).unwrap().first.is_some());
}

#[test]
fn a_reader_of_refusals() {
    prove(
        Bound::Exhaustive,
        readers_tell_whole_definitions,
        &["record publish", "record seen"],
    );
}
