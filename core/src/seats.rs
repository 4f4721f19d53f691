//! The seats of a family: how many series it has, and which record is taking the next seat.
//!
//! | the word | who moves it on | what a process killed there leaves |
//! |---|---|---|
//! | a count | any registrant with a complete record, by one compare-and-swap that offers it | nothing |
//! | a count and an offered record | whoever meets it: puts the record into the index, then counts it | the offer, which the next registrant settles |
//!
//! Counting first would refuse others for a seat that is given up again, or lost when its holder is killed;
//! inserting first could pass the limit. So the record waits in the word itself, complete, and anyone can end
//! what another began. An offered record is never given back: a late helper may still look at it.

use crate::layout::{halves, split};
use crate::sync::{AtomicU64, Ordering, acquire, check, does, one_step, release};

/// The seats of one family.
#[derive(Clone, Copy)]
pub(crate) struct Seats<'a> {
    /// Seats taken in the low half, the offered record plus one in the high half.
    word: &'a AtomicU64,
    limit: u64,
}

/// What a registrant finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vacancy {
    /// A seat: offer a record for the word that was seen.
    Free(u64),
    /// The series is there: its record.
    Found(u32),
    /// Every seat is taken, none of them by the series that was looked for.
    Full,
}

impl<'a> Seats<'a> {
    pub(crate) fn new(word: &'a AtomicU64, limit: u64) -> Seats<'a> {
        Seats { word, limit }
    }

    /// Settles what is offered, looks for the series with `find`, and only then for a seat. `insert` puts a
    /// record into the index, if its key is not there, and says whether the index names it.
    pub(crate) fn look(
        &self,
        find: impl Fn() -> Option<u32>,
        insert: impl Fn(u32) -> bool,
    ) -> Vacancy {
        loop {
            // Pairs with the Release in `offer` and `settle`: an offered record is complete, and every counted
            // one is in the index.
            let seen = self.word.load(acquire("seats seen"));
            let (count, offered) = split(seen);
            if let Some(record) = offered.checked_sub(1) {
                let is_new = does("offer helped") && insert(record);
                self.settle(seen, is_new);
                continue;
            }
            return match find() {
                Some(found) if does("series found at its seat") => Vacancy::Found(found),
                _ if check("series limit", u64::from(count) < self.limit) => Vacancy::Free(seen),
                _ => Vacancy::Full,
            };
        }
    }

    /// Offers a complete record for a free seat; false where the word has changed.
    pub(crate) fn offer(&self, free: u64, record: u32) -> bool {
        let (count, _) = split(free);
        // Release: whoever settles the offer sees the record's words. Pairs with the Acquire in `look`.
        one_step("seat offered", self.word)
            .compare_exchange(
                free,
                halves(count, record + 1),
                release("offered record"),
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Ends an offer, counting its record if it is a new series. Where the word has changed, another has.
    fn settle(&self, seen: u64, is_new: bool) {
        let (count, _) = split(seen);
        // Release: whoever sees the count finds the record in the index. Pairs with the Acquire in `look`.
        let _ = one_step("seat settled", self.word).compare_exchange(
            seen,
            halves(count + u32::from(is_new), 0),
            release("settled seat"),
            Ordering::Relaxed,
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_once_settled() {
        let word = AtomicU64::new(0);
        let seats = Seats::new(&word, 1);
        assert_eq!(seats.look(|| None, |_| true), Vacancy::Free(0));
        assert!(seats.offer(0, 7));
        assert!(!seats.offer(0, 8), "one offer at a time");
        let insert = |record| record == 7;
        assert_eq!(seats.look(|| None, insert), Vacancy::Full);
        assert_eq!(seats.look(|| Some(7), insert), Vacancy::Found(7));
    }

    #[test]
    fn a_record_whose_key_was_there_takes_no_seat() {
        let word = AtomicU64::new(0);
        let seats = Seats::new(&word, 1);
        assert!(seats.offer(0, 7));
        assert_eq!(seats.look(|| None, |_| false), Vacancy::Free(0));
    }
}
