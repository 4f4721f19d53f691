//! The seats of a family: how many series it has, exactly, whoever is killed where.
//!
//! A series is added or removed in three steps: its record changes its state, the count changes, and both are
//! said to be done. The family's *operation* names the record and what is done with it, so that anyone who meets
//! it does the rest. There is one operation at a time; its number is also that of the last one in the count, so
//! that each is counted once.
//!
//! | the operation | who moves it on | what a process killed there leaves |
//! |---|---|---|
//! | none | any process, by one compare-and-swap that names a record | nothing |
//! | a record, its state as before | whoever meets it | the operation, which the next one of the family ends |
//! | a record, its state changed | whoever meets it | the same |
//! | a record, counted | whoever meets it | the same |
//!
//! Only an operation changes the state of a series between free, published and removed (save that of an
//! overflow series, which takes no seat). So a state that was looked at after the operation before it is the
//! state that the new operation finds.

use crate::index::{Found, Records};
use crate::layout::{low_half, state};
use crate::proof::step;
use crate::sync::{AtomicU64, Ordering, acquire, acquire_fence, check, one_step, release};

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// It is published and takes a seat.
    Add,
    /// It is removed and leaves its seat.
    Remove,
    /// It is removed before it was published, because there is no seat for it.
    Withdraw,
}

/// An operation: record plus one (29 bits, 0 for none), deed (2 bits), number (33 bits).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Operation(u64);

const RECORD_BITS: u32 = 29;
const NUMBER_SHIFT: u32 = 31;
const DEEDS: [Deed; 3] = [Deed::Add, Deed::Remove, Deed::Withdraw];

impl Operation {
    fn pending(self) -> Option<(u32, Deed)> {
        let record = low_half(self.0 & ((1 << RECORD_BITS) - 1)).checked_sub(1)?;
        let deed = DEEDS.get((self.0 >> RECORD_BITS & 3) as usize)?;
        Some((record, *deed))
    }

    fn number(self) -> u64 {
        self.0 >> NUMBER_SHIFT
    }

    fn next(self, record: u32, deed: Deed) -> Operation {
        // The highest number is followed by zero: what is shifted out is dropped.
        let number = (self.number() + 1) << NUMBER_SHIFT;
        Operation(number | (deed as u64) << RECORD_BITS | (u64::from(record) + 1))
    }

    fn done(self) -> Operation {
        Operation(self.number() << NUMBER_SHIFT)
    }
}

/// Most seats that a count can hold.
const COUNT_MAX: u64 = (1 << NUMBER_SHIFT) - 1;

/// How many series a family has, by the word of its count.
pub(crate) fn count(word: u64) -> u64 {
    word & COUNT_MAX
}

/// The seats of one family.
#[derive(Clone, Copy)]
pub(crate) struct Seats<'a> {
    /// Seats taken (31 bits), and the number of the last operation counted (33 bits).
    pub(crate) count: &'a AtomicU64,
    pub(crate) operation: &'a AtomicU64,
    pub(crate) records: Records<'a>,
    pub(crate) removals: Removals<'a>,
}

/// The segment's counts of removals begun and done, of series and families, for readers.
#[derive(Clone, Copy)]
pub(crate) struct Removals<'a> {
    pub(crate) begun: &'a AtomicU64,
    pub(crate) done: &'a AtomicU64,
}

/// The counts as a reader saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SeenRemovals {
    begun: u64,
    done: u64,
}

impl Removals<'_> {
    /// Removes what readers may see, between the two counts.
    pub(crate) fn count<T>(self, remove: impl FnOnce() -> T) -> T {
        one_step("removal numbered", self.begun).fetch_add(1, Ordering::Relaxed);
        step("removal-begun");
        let removed = remove();
        // Release: a reader that sees the removal done sees the record removed.
        one_step("removal ended", self.done).fetch_add(1, release("removal done"));
        step("removal-done");
        removed
    }

    pub(crate) fn seen(self) -> SeenRemovals {
        // Those done first: equal numbers say that none was under way in between. Pairs with the Release in `change`.
        let done = self.done.load(acquire("removals done seen"));
        let begun = self.begun.load(Ordering::Relaxed);
        SeenRemovals { begun, done }
    }
}

impl SeenRemovals {
    /// Whether no removal was under way.
    pub(crate) fn is_settled(self) -> bool {
        self.begun == self.done
    }

    /// Whether nothing that was read since can be of a record that was used again.
    pub(crate) fn is_last(self, removals: Removals<'_>) -> bool {
        // Pairs with the Release fence in `begin_reuse`: a cell of another series shows that a removal began.
        acquire_fence("removals begun since");
        let begun = removals.begun.load(Ordering::Relaxed);
        self.is_settled() && check("no removal began", begun == self.begun)
    }
}

/// What became of a record that wants a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// Every seat is taken.
    Full,
    /// The record was removed meanwhile.
    Gone,
}

/// Operations of others that a process ends before it gives up its own: each is one step of another process, so
/// only a damaged segment has as many.
const TRIES: usize = 1 << 20;

impl Seats<'_> {
    /// Ends the operation under way, and tells what to begin the next one with.
    pub(crate) fn settle(&self) -> Option<u64> {
        (0..TRIES).find_map(|_| {
            // Pairs with the Releases below: what came before the operation is seen with it.
            let seen = Operation(self.operation.load(acquire("operation seen")));
            match seen.pending() {
                None => Some(seen.0),
                Some((record, deed)) => {
                    self.help(seen, record, deed);
                    None
                }
            }
        })
    }

    /// Whether the family has no seat left.
    pub(crate) fn is_full(&self, limit: u64) -> bool {
        self.settle().is_none() || !self.has_seat(limit)
    }

    fn has_seat(&self, limit: u64) -> bool {
        // Acquire: who is refused a seat finds the series that has it. Pairs with the Release in `help`.
        let taken = count(self.count.load(acquire("seats seen")));
        check("series limit", taken < limit.min(COUNT_MAX))
    }

    /// Publishes a record of the index that has not been yet, if there is a seat for it.
    pub(crate) fn admit(&self, found: Found, limit: u64) -> Admission {
        for _ in 0..TRIES {
            let Some(settled) = self.settle() else {
                return Admission::Full;
            };
            match self.state(found.record) {
                Some(now) if now == found.state => {}
                Some(now) if now == state::to(found.state, state::PUBLISHED) => {
                    return Admission::Admitted;
                }
                _ => return Admission::Gone,
            }
            if self.has_seat(limit) {
                self.begin(settled, found.record, Deed::Add);
            } else if self.is_settled(settled) {
                return Admission::Full;
            }
        }
        Admission::Full
    }

    /// Takes a record of the index that has not been published out of it.
    pub(crate) fn withdraw(&self, found: Found) {
        self.end(found, Deed::Withdraw);
    }

    /// Removes a published record; whether it was this call that did.
    pub(crate) fn remove(&self, found: Found) -> bool {
        self.end(found, Deed::Remove)
    }

    fn end(&self, found: Found, deed: Deed) -> bool {
        for _ in 0..TRIES {
            let Some(settled) = self.settle() else {
                return false;
            };
            if !check(
                "series is there to remove",
                self.state(found.record) == Some(found.state),
            ) {
                return false;
            }
            if self.begin(settled, found.record, deed) {
                self.settle();
                return true;
            }
        }
        false
    }

    /// Whether no operation came between, so that what was seen since was there at one time.
    fn is_settled(&self, settled: u64) -> bool {
        let now = self.operation.load(Ordering::Relaxed);
        check("seats are unchanged", now == settled)
    }

    fn state(&self, record: u32) -> Option<u64> {
        let word = self.records.state(record)?;
        Some(word.load(Ordering::Relaxed))
    }

    fn begin(&self, settled: u64, record: u32, deed: Deed) -> bool {
        let begun = Operation(settled).next(record, deed);
        // Release: whoever publishes the record for us hands on its words. Pairs with the Acquire in `settle`.
        let (done, seen) = (release("operation begun"), Ordering::Relaxed);
        let exchanged = one_step("operation chosen", self.operation)
            .compare_exchange(settled, begun.0, done, seen);
        step("operation-begun");
        exchanged.is_ok()
    }

    /// Does what is left of an operation.
    fn help(&self, seen: Operation, record: u32, deed: Deed) {
        if let Some(word) = self.records.state(record) {
            let before = word.load(Ordering::Relaxed);
            // The state is one of this operation only while the operation stands.
            acquire_fence("operation seen again");
            let now = self.operation.load(Ordering::Relaxed);
            if !check("operation stands", now == seen.0) {
                return;
            }
            self.change(word, before, deed);
        }
        let counted = self.count.load(Ordering::Relaxed);
        let next = Operation(counted).next(record, deed).number();
        if check("operation is not counted", next == seen.number()) {
            let taken = match deed {
                Deed::Add => count(counted) + 1,
                Deed::Remove => count(counted).saturating_sub(1),
                Deed::Withdraw => count(counted),
            };
            let counted_now = seen.number() << NUMBER_SHIFT | taken;
            let _ = one_step("seat counted", self.count).compare_exchange(
                counted,
                counted_now,
                release("operation counted"),
                Ordering::Relaxed,
            );
            step("operation-counted");
        }
        // Release: whoever sees it done sees the state and the count. Pairs with the Acquire in `settle`.
        let (done, other) = (release("operation done"), Ordering::Relaxed);
        let _ = one_step("operation ended", self.operation).compare_exchange(
            seen.0,
            seen.done().0,
            done,
            other,
        );
        step("operation-done");
    }

    fn change(&self, word: &AtomicU64, before: u64, deed: Deed) {
        let (from, to) = match deed {
            Deed::Add => (state::FREE, state::PUBLISHED),
            Deed::Remove => (state::PUBLISHED, state::REMOVED),
            Deed::Withdraw => (state::FREE, state::REMOVED),
        };
        if state::of(before) != from {
            return;
        }
        let change = || {
            // Release: a reader that sees the record published sees its words. Pairs with the Acquires of readers.
            let (done, other) = (release("record publish"), Ordering::Relaxed);
            let _ = one_step("operand changed", word).compare_exchange(
                before,
                state::to(before, to),
                done,
                other,
            );
            step("operand-changed");
        };
        match deed {
            Deed::Remove => self.removals.count(change),
            Deed::Add | Deed::Withdraw => change(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Family {
        words: Vec<AtomicU64>,
        records: Vec<AtomicU64>,
    }

    impl Family {
        fn new() -> Family {
            let words = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
            Family {
                words: words(4),
                records: words(6),
            }
        }

        fn seats(&self) -> Seats<'_> {
            let [count, operation, begun, done] = &self.words[..] else {
                unreachable!()
            };
            Seats {
                count,
                operation,
                records: Records::new(&self.records, 2, 1),
                removals: Removals { begun, done },
            }
        }

        fn found(&self, record: u32, now: u64) -> Found {
            Found { record, state: now }
        }

        fn count(&self) -> u64 {
            count(self.words[0].load(Ordering::Relaxed))
        }
    }

    #[test]
    fn seats_are_taken_and_left() {
        let family = Family::new();
        let seats = family.seats();
        let free = |record| family.found(record, 0);
        assert_eq!(seats.admit(free(0), 1), Admission::Admitted);
        assert_eq!(
            seats.admit(free(0), 1),
            Admission::Admitted,
            "it has its seat"
        );
        assert_eq!(seats.admit(free(1), 1), Admission::Full);
        assert!(seats.is_full(1));
        let published = family.found(0, state::PUBLISHED);
        assert!(seats.remove(published));
        assert!(!seats.remove(published));
        assert_eq!(family.count(), 0);
        seats.withdraw(free(1));
        assert_eq!(seats.admit(free(1), 1), Admission::Gone);
        assert_eq!(family.count(), 0);
        assert_eq!(seats.admit(free(2), 1), Admission::Admitted);
    }

    #[test]
    fn anyone_ends_what_a_dead_process_began() {
        let family = Family::new();
        let seats = family.seats();
        let settled = seats.settle().unwrap();
        assert!(seats.begin(settled, 1, Deed::Add));
        assert!(!seats.begin(settled, 2, Deed::Add), "one at a time");
        assert!(seats.is_full(1));
        assert_eq!(family.count(), 1);
        assert_eq!(seats.state(1), Some(state::PUBLISHED));
    }
}
