//! Exemplars: a value with the trace that it was recorded in, left where readers find it.
//!
//! | an exemplar's words | who moves them on | what a process killed there leaves |
//! |---|---|---|
//! | all of one writer | whoever claims them, a while after the last claim, by one compare-and-swap | – |
//! | claimed, of several writers | the writer, without waiting for anybody | no exemplar until the next claim |
//!
//! The simple version is a sequence lock. A writer killed inside it would leave it locked, and one that was only
//! stopped would go on where another has the lock by then. So nothing is locked. A claim is a number, each word of
//! data carries the number of its writer, and a reader takes words of one writer only. A late writer may spoil a
//! newer exemplar, which is then not shown; nothing is ever shown that was not left so. Numbers come again after
//! 2³² claims: 13 years of them.

use crate::layout::{Section, exemplar, halves, low_half, split};
use crate::proof::step;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, acquire, check, one_step, release};
use crate::trace::SpanContext;
use crate::word::low_word;

/// An exemplar is left alone for as long after a claim.
pub(crate) const PAUSE_MILLIS: u32 = 100;

/// What an exemplar tells, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    /// As the series' cells hold it.
    pub(crate) value: u64,
    pub(crate) unix_nanos: u64,
}

impl Told {
    fn halves(self) -> [u32; exemplar::HALVES] {
        let [a, b] = [low_word(self.trace_id), low_word(self.trace_id >> 64)];
        let words = [a, b, self.span_id, self.value, self.unix_nanos];
        let mut all = [0; exemplar::HALVES];
        for (pair, word) in all.as_chunks_mut::<2>().0.iter_mut().zip(words) {
            *pair = split(word).into();
        }
        all
    }

    fn of_halves(all: [u32; exemplar::HALVES]) -> Told {
        let word = |at: usize| halves(all[2 * at], all[2 * at + 1]);
        Told {
            trace_id: u128::from(word(1)) << 64 | u128::from(word(0)),
            span_id: word(2),
            value: word(3),
            unix_nanos: word(4),
        }
    }
}

/// The exemplars of one series; none where there is no room for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exemplars(&'static [AtomicU64]);

impl Exemplars {
    pub(crate) const NONE: Exemplars = Exemplars(&[]);

    /// Those from `first` on, if they lie in the segment.
    pub(crate) fn new(segment: &'static Segment, first: u32, count: u32) -> Exemplars {
        let words = of_series(segment.section(Section::Exemplars), first, count);
        Exemplars(words)
    }

    /// Leaves an exemplar at `index` now, unless there was one just before, or the span is not sampled.
    #[inline]
    pub(crate) fn leave(&self, index: usize, value: u64, span: &SpanContext) {
        let (exemplars, _) = self.0.as_chunks::<{ exemplar::WORDS }>();
        if let Some(words) = exemplars.get(index)
            && span.is_sampled()
        {
            let told = Told {
                trace_id: span.trace_id().number(),
                span_id: span.span_id().number(),
                value,
                unix_nanos: crate::host::recent_unix_nanos(),
            };
            write(words, told);
        }
    }
}

/// The words of a series' exemplars, of those of all; none where they lie outside.
pub(crate) fn of_series(all: &[AtomicU64], first: u32, count: u32) -> &[AtomicU64] {
    let start = first as usize * exemplar::WORDS;
    let words = all.get(start..start + count as usize * exemplar::WORDS);
    words.filter(|_| first > 0).unwrap_or_default()
}

/// Leaves an exemplar, unless another was claimed just before.
pub(crate) fn write(words: &[AtomicU64; exemplar::WORDS], told: Told) {
    let now = low_half(told.unix_nanos / 1_000_000);
    let claim = words[exemplar::CLAIM].load(Ordering::Relaxed);
    let (number, then) = split(claim);
    // Wrapping: where the clock went back, or the time came round, it is not just before.
    if now.wrapping_sub(then) < PAUSE_MILLIS {
        return;
    }
    let number = number.wrapping_add(1).max(1);
    let (claimed, relaxed) = (halves(number, now), Ordering::Relaxed);
    let claimed = one_step("exemplar claimed", &words[exemplar::CLAIM])
        .compare_exchange(claim, claimed, relaxed, relaxed);
    if claimed.is_err() {
        return;
    }
    step("exemplar-claimed");
    for (word, half) in words[exemplar::DATA..].iter().zip(told.halves()) {
        // Release: who sees the exemplar sees its value recorded. Pairs with the Acquire in `read`.
        word.store(halves(half, number), release("exemplar stored"));
        step("exemplar-word-stored");
    }
}

/// The exemplar in these words, if they are of one writer.
pub(crate) fn read(words: &[AtomicU64; exemplar::WORDS]) -> Option<Told> {
    // Pairs with the Release in `write`.
    let load = |at: usize| split(words[exemplar::DATA + at].load(acquire("exemplar seen")));
    let data: [(u32, u32); exemplar::HALVES] = std::array::from_fn(load);
    let (_, number) = data[0];
    let is_of_one = data.iter().all(|&(_, writer)| writer == number);
    let is_whole = number > 0 && check("exemplar is of one writer", is_of_one);
    is_whole.then(|| Told::of_halves(data.map(|(half, _)| half)))
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words() -> [AtomicU64; exemplar::WORDS] {
        std::array::from_fn(|_| AtomicU64::new(0))
    }

    fn told(seed: u64, millis: u64) -> Told {
        Told {
            trace_id: u128::from(seed) << 64 | u128::from(!seed),
            span_id: seed,
            value: seed / 2,
            unix_nanos: millis * 1_000_000,
        }
    }

    #[test]
    fn one_is_left_at_a_time() {
        let words = words();
        assert_eq!(read(&words), None);
        let start = 1_800_000_000_000;
        write(&words, told(1, start));
        assert_eq!(read(&words), Some(told(1, start)));
        write(&words, told(2, start + 99));
        assert_eq!(read(&words), Some(told(1, start)));
        write(&words, told(3, start + 100));
        assert_eq!(read(&words), Some(told(3, start + 100)));
        // A clock that went back stops nothing.
        write(&words, told(4, start - 5));
        assert_eq!(read(&words), Some(told(4, start - 5)));
    }

    #[test]
    fn numbers_come_again_without_zero() {
        let words = words();
        words[exemplar::CLAIM].store(halves(u32::MAX, 0), Ordering::Relaxed);
        write(&words, told(1, 1_000));
        assert_eq!(
            words[exemplar::CLAIM].load(Ordering::Relaxed),
            halves(1, 1_000)
        );
        assert_eq!(read(&words), Some(told(1, 1_000)));
    }

    #[test]
    fn a_series_without_room_keeps_none() {
        let all: Vec<AtomicU64> = (0..3 * exemplar::WORDS)
            .map(|_| AtomicU64::new(0))
            .collect();
        assert_eq!(of_series(&all, 1, 2).len(), 2 * exemplar::WORDS);
        assert_eq!(of_series(&all, 0, 2).len(), 0);
        assert_eq!(of_series(&all, 2, 2).len(), 0);
        assert_eq!(of_series(&all, u32::MAX, u32::MAX).len(), 0);
    }

    proptest! {
        #[test]
        fn what_is_told_survives_its_words(trace_id in 1u128.., span_id in 1u64.., value in any::<u64>(), unix_nanos in 200_000_000u64..) {
            let told = Told { trace_id, span_id, value, unix_nanos };
            prop_assert_eq!(Told::of_halves(told.halves()), told);
            let words = words();
            words[exemplar::CLAIM].store(halves(7, low_half(unix_nanos / 1_000_000).wrapping_sub(PAUSE_MILLIS)), Ordering::Relaxed);
            write(&words, told);
            prop_assert_eq!(read(&words), Some(told));
        }

        /// Writers that are stopped anywhere and go on at any time: nothing is shown that nobody left.
        #[test]
        fn late_writers_tear_nothing(schedule in proptest::collection::vec((0usize..4, 1usize..=exemplar::HALVES), 1..40)) {
            let words = words();
            // For each writer, what it tells, its number, and how many words it has stored.
            let mut writers = [(told(0, 0), 0u32, exemplar::HALVES); 4];
            let mut left = Vec::new();
            for (turn, (who, count)) in (1u64..).zip(schedule) {
                if writers[who].2 == exemplar::HALVES {
                    let told = told(turn, turn * 1_000);
                    let number = u32::try_from(left.len() + 1).unwrap();
                    words[exemplar::CLAIM].store(halves(number, 0), Ordering::Relaxed);
                    left.push(told);
                    writers[who] = (told, number, 0);
                }
                let (told, number, done) = &mut writers[who];
                let halves_told = told.halves();
                for at in *done..(*done + count).min(exemplar::HALVES) {
                    words[exemplar::DATA + at].store(halves(halves_told[at], *number), Ordering::Relaxed);
                }
                *done = (*done + count).min(exemplar::HALVES);
                if let Some(told) = read(&words) {
                    prop_assert!(left.contains(&told), "{told:?} was never left");
                }
            }
        }
    }
}
