//! Which series and families the handles of this process are of, counted, so that a mark can be cleared with the last one.
//!
//! The counts are the process's own memory. A lock that is held for some loads and stores keeps a count and its
//! mark together; a child forked in between finds the mark in the lock's word and mends the two. Nothing
//! on the hot path comes here.

use crate::segment::private_words;
use crate::sync::{AtomicU64, Ordering, give_way};

/// Set for what has handles that are never dropped.
const KEPT: u64 = 1 << 63;
/// How often to give way to the thread that holds the lock, before it is taken for lost.
const TRIES: usize = 1 << 20;

/// The holds of one process on what it marks in a segment.
pub(crate) struct Held {
    counts: Box<[AtomicU64]>,
    /// The mark that a thread is busy with, plus one.
    busy: AtomicU64,
}

/// Whether handles are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// For good: the handles are plain addresses that nobody drops.
    Kept,
    /// Until it is released.
    Counted,
}

/// The lock was never let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stuck;

impl Held {
    pub(crate) fn new(marks: usize) -> Held {
        Held {
            counts: private_words(marks),
            busy: AtomicU64::new(0),
        }
    }

    /// Counts a hold, and marks it.
    pub(crate) fn take(&self, mark: u32, set: impl FnOnce()) -> Result<(), Stuck> {
        self.with(mark, |count| {
            let before = count.load(Ordering::Relaxed);
            count.store(before + 1, Ordering::Relaxed);
            set();
        })
    }

    /// Makes a counted hold one for good.
    pub(crate) fn keep(&self, mark: u32) -> Result<(), Stuck> {
        self.with(mark, |count| {
            let counted = count.load(Ordering::Relaxed).saturating_sub(1);
            count.store(counted | KEPT, Ordering::Relaxed);
        })
    }

    /// Ends a counted hold, and calls `clear` where it was the last.
    pub(crate) fn release(&self, mark: u32, clear: impl FnOnce()) -> Result<(), Stuck> {
        self.with(mark, |count| {
            let after = count.load(Ordering::Relaxed).saturating_sub(1);
            count.store(after, Ordering::Relaxed);
            if after == 0 {
                clear();
            }
        })
    }

    /// Whether the process holds what has this mark.
    pub(crate) fn is_held(&self, mark: u32) -> bool {
        let count = self.counts.get(mark as usize);
        count.is_some_and(|count| count.load(Ordering::Relaxed) != 0)
    }

    /// Says that the threads of a model share these words.
    #[cfg(all(test, loom))]
    pub(crate) fn share_words(&self) {
        use crate::models::atomic::share;
        share([&self.busy]);
        share(&self.counts);
    }

    /// In a child: lets go of the lock that another thread of the parent had.
    pub(crate) fn let_go(&self) {
        self.busy.store(0, Ordering::Relaxed);
    }

    fn with(&self, mark: u32, act: impl FnOnce(&AtomicU64)) -> Result<(), Stuck> {
        let count = self.counts.get(mark as usize).ok_or(Stuck)?;
        if cfg!(all(test, loom)) {
            // The models are of what processes share: they do without the lock.
            act(count);
            return Ok(());
        }
        let name = u64::from(mark) + 1;
        for _ in 0..TRIES {
            let (taken, seen) = (Ordering::Acquire, Ordering::Relaxed);
            if self.busy.compare_exchange(0, name, taken, seen).is_ok() {
                act(count);
                self.busy.store(0, Ordering::Release);
                return Ok(());
            }
            give_way();
        }
        Err(Stuck)
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_hold_clears() {
        let held = Held::new(4);
        let cleared = std::cell::Cell::new(0);
        let clear = || cleared.set(cleared.get() + 1);
        held.take(1, || {}).unwrap();
        held.take(1, || {}).unwrap();
        held.release(1, clear).unwrap();
        assert!(held.is_held(1) && cleared.get() == 0);
        held.release(1, clear).unwrap();
        assert!(!held.is_held(1) && cleared.get() == 1);
    }

    #[test]
    fn what_is_kept_is_never_cleared() {
        let held = Held::new(4);
        held.take(1, || {}).unwrap();
        held.take(1, || {}).unwrap();
        held.keep(1).unwrap();
        held.release(1, || panic!("it is kept")).unwrap();
        assert!(held.is_held(1));
        assert_eq!(held.take(4, || {}), Err(Stuck));
    }
}
