//! Exemplars: claimed by one writer at a time, written without waiting, shown whole or not at all.

use std::sync::Arc;

use crate::exemplar::{self, PAUSE_MILLIS, Told};
use crate::layout::exemplar::WORDS;
use crate::sync::{AtomicU64, Ordering};

use super::atomic::segment_words;
use super::{Bound, prove, spawn};

/// What the writer with this number tells: all its halves are the number.
fn told(writer: u32, time: u64) -> Told {
    let word = u64::from(writer) << 32 | u64::from(writer);
    Told {
        trace_id: u128::from(word) << 64 | u128::from(word),
        span_id: word,
        value: word,
        unix_nanos: time * u64::from(PAUSE_MILLIS) * 1_000_000,
    }
}

fn exemplar() -> &'static [AtomicU64; WORDS] {
    let words = segment_words(WORDS);
    super::atomic::share(words);
    words.try_into().unwrap()
}

/// What is shown is what one of two writers left.
fn check_whole(words: &[AtomicU64; WORDS], times: [u64; 2]) {
    if let Some(shown) = exemplar::read(words) {
        let left = [told(1, times[0]), told(2, times[1])];
        assert!(left.contains(&shown), "nobody left {shown:x?}");
    }
}

/// Two writers at one time: one of them leaves its exemplar.
fn one_of_two_writers_leaves_its_own() {
    let words = exemplar();
    let other = spawn(move || exemplar::write(words, told(1, 1)));
    exemplar::write(words, told(2, 1));
    other.join().unwrap();
    check_whole(words, [1, 1]);
    assert!(exemplar::read(words).is_some(), "both gave way");
}

#[test]
fn claims() {
    prove(
        Bound::Preemptions,
        one_of_two_writers_leaves_its_own,
        &["exemplar claimed"],
    );
}

/// A writer that goes on late, after another claimed the exemplar: what they leave is one's, or nothing.
fn late_writers_tear_nothing() {
    let words = exemplar();
    let late = spawn(move || exemplar::write(words, told(1, 1)));
    exemplar::write(words, told(2, 2));
    late.join().unwrap();
    check_whole(words, [1, 2]);
}

#[test]
fn lateness() {
    prove(
        Bound::Preemptions,
        late_writers_tear_nothing,
        &["exemplar is of one writer"],
    );
}

/// A reader that meets a writer shows what was there, what comes, or nothing.
fn readers_mix_nothing() {
    let words = exemplar();
    exemplar::write(words, told(1, 1));
    let next = spawn(move || exemplar::write(words, told(2, 2)));
    check_whole(words, [1, 2]);
    next.join().unwrap();
    assert_eq!(exemplar::read(words), Some(told(2, 2)));
}

#[test]
fn reading() {
    prove(
        Bound::Preemptions,
        readers_mix_nothing,
        &["exemplar is of one writer"],
    );
}

/// The value of an exemplar that is shown is counted.
fn exemplars_are_counted() {
    let words = exemplar();
    let count = super::words(1);
    let cell = Arc::clone(&count);
    let writer = spawn(move || {
        cell[0].fetch_add(1, Ordering::Relaxed);
        exemplar::write(words, told(1, 1));
    });
    let shown = exemplar::read(words);
    let counted = count[0].load(Ordering::Relaxed);
    assert!(shown.is_none() || counted == 1, "not counted yet");
    writer.join().unwrap();
}

#[test]
fn counting() {
    prove(
        Bound::Preemptions,
        exemplars_are_counted,
        &["exemplar stored", "exemplar seen"],
    );
}
