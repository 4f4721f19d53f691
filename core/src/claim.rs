//! Claiming room in an append-only table, and committing the memory beneath it.
//!
//! | state of an entry | who moves it on | what a process killed there leaves |
//! |---|---|---|
//! | at or above `next` | any claimant, by one compare-and-swap | nothing |
//! | claimed, not committed | the claimant | the entry, unused for ever |
//! | committed | the claimant fills and publishes it | the entry, unused for ever |
//!
//! Nobody waits for an entry below its own: whoever needs memory up to a mark commits everything below
//! it too, which is harmless where another did so already.

use crate::proof::step;
use crate::sync::{AtomicU64, Ordering, acquire, check, one_step, release};

/// Claims `count` neighbouring entries below `limit`; `align` moves a start up to where they fit.
pub(crate) fn claim(
    next: &AtomicU64,
    count: u64,
    limit: u64,
    align: impl Fn(u64) -> u64,
) -> Option<u64> {
    // Relaxed: the entries become visible through the index and the committed mark, not through `next`.
    let mut seen = next.load(Ordering::Relaxed);
    loop {
        let start = align(seen);
        let end = start.checked_add(count)?;
        if !check("claim limit", end <= limit) {
            return None;
        }
        let claimed = one_step("claim", next).compare_exchange_weak(
            seen,
            end,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        match claimed {
            Ok(_) => {
                step("claim-taken");
                return Some(start);
            }
            Err(now) => seen = now,
        }
    }
}

/// Gives back entries that nobody else has seen, where they are still the last ones claimed.
pub(crate) fn give_back(next: &AtomicU64, start: u64, count: u64) {
    step("giving-back-claim");
    let end = start + count;
    let _ = one_step("claim given back", next).compare_exchange(
        end,
        start,
        Ordering::Relaxed,
        Ordering::Relaxed,
    );
}

/// Makes sure that the first `needed` words have memory: `reserve(from)` takes it, up to the end it returns.
pub(crate) fn commit<E>(
    mark: &AtomicU64,
    needed: u64,
    reserve: impl FnOnce(u64) -> Result<u64, E>,
) -> Result<(), E> {
    // Relaxed: memory that another process committed needs no ordering to be used.
    let committed = mark.load(Ordering::Relaxed);
    if committed < needed {
        let end = reserve(committed)?;
        step("commit-reserved");
        // Release: a reader that sees the mark finds memory below it. Pairs with the Acquire in `committed`.
        one_step("committed mark raised", mark).fetch_max(end, release("committed mark"));
        step("commit-marked");
    }
    Ok(())
}

/// How many words have memory, for whoever has not taken it.
pub(crate) fn committed(mark: &AtomicU64) -> u64 {
    // Pairs with the Release in `commit`.
    mark.load(acquire("committed mark seen"))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn claims_follow_one_another_up_to_the_limit() {
        let next = AtomicU64::new(0);
        assert_eq!(claim(&next, 3, 5, |start| start), Some(0));
        assert_eq!(claim(&next, 3, 5, |start| start), None);
        assert_eq!(claim(&next, 2, 5, |start| start), Some(3));
        assert_eq!(claim(&next, 1, 5, |start| start), None);
        assert_eq!(claim(&next, u64::MAX, u64::MAX, |start| start), None);
    }

    #[test]
    fn only_the_last_claim_is_given_back() {
        let next = AtomicU64::new(0);
        claim(&next, 2, 9, |start| start);
        claim(&next, 2, 9, |start| start);
        give_back(&next, 0, 2);
        assert_eq!(next.load(Ordering::Relaxed), 4);
        give_back(&next, 2, 2);
        assert_eq!(next.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_mark_never_falls_and_a_failure_leaves_it() {
        let mark = AtomicU64::new(0);
        commit(&mark, 4, |from| if from == 0 { Ok(5) } else { Err(()) }).unwrap();
        commit(&mark, 5, |_| Err(())).unwrap();
        assert!(commit(&mark, 8, |_| Err(())).is_err());
        assert_eq!(mark.load(Ordering::Relaxed), 5);
    }
}
