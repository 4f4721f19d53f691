//! The ranges that the fault guard watches: added and removed by any thread, looked up in a signal handler.
//!
//! | start | who moves it on |
//! |---|---|
//! | 0: free | any thread, to 1 by one compare-and-swap |
//! | 1: being filled | the thread that took it, to the start of its range |
//! | a range's start | the owner of its guard, to 0 |

use crate::sync::{
    AtomicU64, Ordering, acquire, acquire_fence, check, one_step, release, release_fence,
};

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Whether it is written to.
    pub(crate) is_writable: bool,
}

/// A watched range, and whether it faulted.
#[derive(Debug)]
pub(crate) struct Watched {
    start: AtomicU64,
    end: AtomicU64,
    is_writable: AtomicU64,
    faulted: AtomicU64,
}

impl Watched {
    pub(crate) const fn new() -> Watched {
        Watched {
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            is_writable: AtomicU64::new(0),
            faulted: AtomicU64::new(0),
        }
    }

    /// Watches a range, unless another one is watched here.
    pub(crate) fn take(&self, range: Range) -> bool {
        let taken = one_step("range taken", &self.start).compare_exchange(
            0,
            1,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if taken.is_err() {
            return false;
        }
        // Release: who sees the new end sees that the old start is gone. Pairs with the fence in `range_of`.
        release_fence("range refilled");
        self.faulted.store(0, Ordering::Relaxed);
        self.end.store(range.end, Ordering::Relaxed);
        self.is_writable
            .store(u64::from(range.is_writable), Ordering::Relaxed);
        // Release: who sees the start sees the rest. Pairs with the Acquire in `range_of`.
        self.start.store(range.start, release("range published"));
        true
    }

    pub(crate) fn give_up(&self) {
        self.start.store(0, Ordering::Relaxed);
    }

    /// The range that is watched here, if it holds `address`.
    pub(crate) fn range_of(&self, address: u64) -> Option<Range> {
        // Pairs with the Release in `take`.
        let start = self.start.load(acquire("range found"));
        if start <= 1 {
            return None;
        }
        let end = self.end.load(Ordering::Relaxed);
        let is_writable = self.is_writable.load(Ordering::Relaxed) != 0;
        // Pairs with the Release fence in `take`: the end of another range than the start's is refused.
        acquire_fence("range looked at again");
        let is_same = self.start.load(Ordering::Relaxed) == start;
        let range = Range {
            start,
            end,
            is_writable,
        };
        (check("range is the same", is_same) && (start..end).contains(&address)).then_some(range)
    }

    #[cfg(all(test, loom))]
    pub(crate) fn share(&self) {
        crate::models::atomic::share([&self.start, &self.end, &self.is_writable, &self.faulted]);
    }

    pub(crate) fn note_fault(&self) {
        self.faulted.store(1, Ordering::Relaxed);
    }

    /// Whether a page of the range could not be had.
    pub(crate) fn has_faulted(&self) -> bool {
        self.faulted.load(Ordering::Relaxed) > 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_place_forgets_the_fault_of_its_last_range() {
        let watched = Watched::new();
        let range = Range {
            start: 4096,
            end: 8192,
            is_writable: false,
        };
        assert!(watched.take(range));
        assert!(!watched.take(range), "one range at a time");
        watched.note_fault();
        watched.give_up();
        assert!(watched.take(range) && !watched.has_faulted());
        assert_eq!(watched.range_of(4096), Some(range));
        assert_eq!(watched.range_of(8192), None);
    }
}
