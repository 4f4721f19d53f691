//! Free records: what removed series leave, kept for new ones with the cells and the room they had.
//!
//! A stack for each class of cells, whose head counts its changes, so that a compare-and-swap fails on a head
//! that was taken and put back in between. A process killed with a record in its hands leaves it unused for ever.

use crate::index::{Link, Records};
use crate::layout::{halves, split};
use crate::proof::step;
use crate::sync::{AtomicU64, Ordering, acquire, one_step, release, tally};

/// How often a stack may change under a process before it does without.
const TRIES: usize = 1 << 16;

/// The stacks of free records.
#[derive(Clone, Copy)]
pub(crate) struct FreeLists<'a> {
    /// A class and the head of its stack, one after the other.
    pub(crate) classes: &'a [AtomicU64],
    /// How many records are free, as far as no kill came between.
    pub(crate) count: &'a AtomicU64,
    pub(crate) records: Records<'a>,
}

impl<'a> FreeLists<'a> {
    /// Takes a record whose cells are of this class.
    pub(crate) fn pop(&self, class: u64) -> Option<u32> {
        let head = self.head(class)?;
        for _ in 0..TRIES {
            // Relaxed: what is read on the strength of it is used only if the head is the same still.
            let seen = head.load(Ordering::Relaxed);
            let (top, version) = split(seen);
            let record = top.checked_sub(1)?;
            let link = self.records.link(record)?.load(Ordering::Relaxed);
            let below = Link::of(link).successor().map_or(0, |below| below + 1);
            let without = halves(below, version.wrapping_add(1));
            // Acquire: who frees a record is done with it. Pairs with the Release in `push`.
            let taken = one_step("free record popped", head).compare_exchange(
                seen,
                without,
                acquire("free record taken"),
                Ordering::Relaxed,
            );
            if taken.is_ok() {
                step("record-popped");
                tally(self.count, 1u64.wrapping_neg());
                return Some(record);
            }
        }
        None
    }

    /// Puts back a record that nobody uses; false where there are too many classes.
    pub(crate) fn push(&self, class: u64, record: u32) -> bool {
        let (Some(head), Some(own)) = (self.head(class), self.records.link(record)) else {
            return false;
        };
        for _ in 0..TRIES {
            let seen = head.load(Ordering::Relaxed);
            let (top, version) = split(seen);
            let link = Link::of(own.load(Ordering::Relaxed)).marked_to(top.checked_sub(1));
            own.store(link.word(), Ordering::Relaxed);
            // Release: who takes the record comes after all that was done with it.
            let pushed = one_step("free record pushed", head).compare_exchange(
                seen,
                halves(record + 1, version.wrapping_add(1)),
                release("record freed"),
                Ordering::Relaxed,
            );
            if pushed.is_ok() {
                step("record-pushed");
                tally(self.count, 1);
                return true;
            }
        }
        false
    }

    /// Whether records of this class can be put back.
    pub(crate) fn has_room(&self, class: u64) -> bool {
        self.head(class).is_some()
    }

    /// The head of a class's stack, which is made where there is none.
    fn head(&self, class: u64) -> Option<&'a AtomicU64> {
        self.classes
            .as_chunks::<2>()
            .0
            .iter()
            .find_map(|[name, head]| {
                let order = Ordering::Relaxed;
                if name.load(order) == 0 {
                    let _ = one_step("class named", name).compare_exchange(0, class, order, order);
                }
                let is_ours = name.load(order) == class;
                is_ours.then_some(head)
            })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn words(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn records_come_back_by_class_and_last_first() {
        let (classes, count, records) = (words(4), AtomicU64::new(0), words(16));
        let free = FreeLists {
            classes: &classes,
            count: &count,
            records: Records::new(&records, 2, 1),
        };
        assert_eq!(free.pop(7), None);
        assert!(free.push(7, 0) && free.push(7, 3) && free.push(9, 5));
        assert!(!free.push(11, 6), "there are two classes");
        assert_eq!(count.load(Ordering::Relaxed), 3);
        assert_eq!(
            [free.pop(7), free.pop(7), free.pop(7)],
            [Some(3), Some(0), None]
        );
        assert_eq!((free.pop(9), free.pop(9)), (Some(5), None));
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
