//! The hash index: lists of records, found, inserted and removed without a lock.
//!
//! M. Michael's hash table (<https://doi.org/10.1145/564870.564881>), the version with tags: a word of the index
//! is the head of a list, a record has the link to its successor, and each list is sorted by key, so that two
//! registrants of one key meet at one link. A link counts its changes and is never reset, so that a
//! compare-and-swap on a link that changed in between fails, even where the records were reused meanwhile.
//!
//! | state of a record | who moves it on | what a process killed there leaves |
//! |---|---|---|
//! | private | its registrant, by one compare-and-swap on its predecessor's link | the record, unused for ever |
//! | in the list | whoever meets it after its state became removed, by marking its link | the record in the list |
//! | in the list, its link marked | whoever meets it, by one compare-and-swap on its predecessor's link | the same |
//! | out of the list | who frees it, after a search of its key has ended | the same |

use std::cmp;

use crate::layout::{halves, low_half, split, state};
use crate::proof::step;
use crate::sync::{AtomicU64, Ordering, acquire, acquire_fence, check, one_step, release};

/// A link: successor plus one in the low half, then the mark of its own record's removal, then the version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link(u64);

impl Link {
    const MARK: u32 = 1;
    const VERSION: u32 = 2;

    pub(crate) fn of(word: u64) -> Link {
        Link(word)
    }

    pub(crate) fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn successor(self) -> Option<u32> {
        low_half(self.0).checked_sub(1)
    }

    fn is_marked(self) -> bool {
        split(self.0).1 & Link::MARK != 0
    }

    /// The next version of the link: to `successor`, of a record that is in a list.
    pub(crate) fn to(self, successor: Option<u32>) -> Link {
        let version = (split(self.0).1 & !Link::MARK).wrapping_add(Link::VERSION);
        Link(halves(successor.map_or(0, |record| record + 1), version))
    }

    /// The next version of the link: to `successor`, of a record that is in no list of the index.
    pub(crate) fn marked_to(self, successor: Option<u32>) -> Link {
        Link(self.to(successor).0 | u64::from(Link::MARK) << 32)
    }
}

/// The records of a table: the state is the first word of each.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a> {
    words: &'a [AtomicU64],
    size: usize,
    link: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(words: &'a [AtomicU64], size: usize, link: usize) -> Records<'a> {
        Records { words, size, link }
    }

    pub(crate) fn state(&self, record: u32) -> Option<&'a AtomicU64> {
        self.words.get(record as usize * self.size)
    }

    pub(crate) fn link(&self, record: u32) -> Option<&'a AtomicU64> {
        self.words.get(record as usize * self.size + self.link)
    }
}

/// An index over `heads`, a power of two of them.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    heads: &'a [AtomicU64],
    records: Records<'a>,
}

/// A record and its state when it was in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) record: u32,
    pub(crate) state: u64,
}

/// A list that does not end, or whose records make no sense: the segment is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tangled;

/// Where a search ended.
struct Place<'a> {
    /// The link before the place, and what it was.
    before: &'a AtomicU64,
    link: Link,
    found: Option<Found>,
}

/// Steps that a search may take beyond the length of the table: those of searches that began again because
/// others changed the list.
const STEPS: usize = 1 << 20;

impl<'a> Index<'a> {
    pub(crate) fn new(heads: &'a [AtomicU64], records: Records<'a>) -> Index<'a> {
        debug_assert!(heads.len().is_power_of_two());
        Index { heads, records }
    }

    /// The record whose key compares as equal. `compare` orders a record's key against the one looked for, and
    /// is `None` for a record that makes no sense.
    ///
    /// When it returns, every record of the key that was removed before is out of the index.
    pub(crate) fn find(
        &self,
        hash: u64,
        compare: impl Fn(u32) -> Option<cmp::Ordering>,
    ) -> Result<Option<Found>, Tangled> {
        self.search(hash, &compare).map(|place| place.found)
    }

    /// Inserts a complete record that nobody else sees, unless an equal key is there: that one's record.
    pub(crate) fn insert(
        &self,
        hash: u64,
        record: u32,
        compare: impl Fn(u32) -> Option<cmp::Ordering>,
    ) -> Result<Option<Found>, Tangled> {
        let own = self.records.link(record).ok_or(Tangled)?;
        for _ in 0..STEPS {
            let place = self.search(hash, &compare)?;
            if place.found.is_some() {
                return Ok(place.found);
            }
            // Relaxed: only this process changes the link of a private record.
            let link = Link(own.load(Ordering::Relaxed)).to(place.link.successor());
            own.store(link.0, Ordering::Relaxed);
            // Release: whoever finds the record sees its words. Pairs with the Acquire in `search`.
            let inserted = one_step("list inserted", place.before).compare_exchange(
                place.link.0,
                place.link.to(Some(record)).0,
                release("list insert"),
                Ordering::Relaxed,
            );
            if inserted.is_ok() {
                return Ok(None);
            }
        }
        Err(Tangled)
    }

    fn search(
        &self,
        hash: u64,
        compare: &impl Fn(u32) -> Option<cmp::Ordering>,
    ) -> Result<Place<'a>, Tangled> {
        let mut steps = self.records.words.len() / self.records.size + STEPS;
        let head = &self.heads[low_half(hash) as usize & (self.heads.len() - 1)];
        'again: loop {
            let mut before = head;
            // Pairs with the Release in `insert`, here and below.
            let mut link = Link(before.load(acquire("list head")));
            while let Some(record) = link.successor() {
                steps = steps.checked_sub(1).ok_or(Tangled)?;
                let own = self.records.link(record).ok_or(Tangled)?;
                let state_word = self.records.state(record).ok_or(Tangled)?;
                let next = Link(own.load(Ordering::Relaxed));
                let state = state_word.load(Ordering::Relaxed);
                let order = compare(record);
                // Acquire: the successor's words are seen, as those of the record through `before`.
                // What was read belongs to the record while the link to it is the same: a record is out of
                // the list before it is filled again. Pairs with the Release fence in `register`.
                acquire_fence("list read again");
                let now = before.load(Ordering::Relaxed);
                if !check("list is unchanged", now == link.0) {
                    continue 'again;
                }
                if next.is_marked() {
                    // Release: hands on what the mark's successor was inserted with.
                    let without = link.to(next.successor());
                    let (done, seen) = (release("list unlink"), Ordering::Relaxed);
                    if one_step("list unlinked", before)
                        .compare_exchange(link.0, without.0, done, seen)
                        .is_err()
                    {
                        continue 'again;
                    }
                    step("list-unlinked");
                    link = without;
                } else if state::of(state) == state::REMOVED {
                    let marked = next.marked_to(next.successor());
                    // Relaxed: it hands on what the link said before.
                    let order = Ordering::Relaxed;
                    let _ = one_step("list marked", own)
                        .compare_exchange(next.0, marked.0, order, order);
                    step("list-marked");
                } else {
                    match order.ok_or(Tangled)? {
                        cmp::Ordering::Less => (before, link) = (own, next),
                        cmp::Ordering::Equal => {
                            let found = Some(Found { record, state });
                            return Ok(Place {
                                before,
                                link,
                                found,
                            });
                        }
                        cmp::Ordering::Greater => break,
                    }
                }
            }
            let found = None;
            return Ok(Place {
                before,
                link,
                found,
            });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A table of three-word records: state, link, key. All keys have one hash.
    struct Table {
        heads: Vec<AtomicU64>,
        records: Vec<AtomicU64>,
    }

    impl Table {
        fn new(keys: &[u64]) -> Table {
            let words = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
            let table = Table {
                heads: words(2),
                records: words(keys.len() * 3),
            };
            for (record, key) in keys.iter().enumerate() {
                table.records[record * 3 + 2].store(*key, Ordering::Relaxed);
            }
            table
        }

        fn index(&self) -> Index<'_> {
            Index::new(&self.heads, Records::new(&self.records, 3, 1))
        }

        fn key(&self, record: u32) -> u64 {
            self.records[record as usize * 3 + 2].load(Ordering::Relaxed)
        }

        fn find(&self, key: u64) -> Option<u32> {
            let found = self
                .index()
                .find(7, |record| Some(self.key(record).cmp(&key)));
            found.unwrap().map(|found| found.record)
        }

        fn insert(&self, record: u32) -> Option<u32> {
            let key = self.key(record);
            let compare = |other| Some(self.key(other).cmp(&key));
            let existing = self.index().insert(7, record, compare).unwrap();
            existing.map(|found| found.record)
        }

        fn remove(&self, record: u32) {
            let state = &self.records[record as usize * 3];
            state.store(state::REMOVED, Ordering::Relaxed);
        }
    }

    #[test]
    fn colliding_keys_are_told_apart() {
        let table = Table::new(&[5, 3, 9, 3]);
        assert_eq!([0, 1, 2].map(|record| table.insert(record)), [None; 3]);
        assert_eq!(table.insert(3), Some(1));
        assert_eq!(
            [3, 5, 9, 4, 10].map(|key| table.find(key)),
            [Some(1), Some(0), Some(2), None, None]
        );
    }

    #[test]
    fn a_removed_record_is_taken_out_and_may_come_back() {
        let table = Table::new(&[5, 3, 9, 5]);
        assert_eq!([0, 1, 2].map(|record| table.insert(record)), [None; 3]);
        table.remove(0);
        assert_eq!(table.insert(3), None, "its key is free");
        assert_eq!(table.find(5), Some(3));
        for record in [1, 2, 3] {
            table.remove(record);
            assert_eq!(table.find(table.key(record)), None);
        }
        table.records[0].store(0, Ordering::Relaxed);
        assert_eq!(table.insert(0), None);
        assert_eq!(table.find(5), Some(0));
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million steps, with nothing new to see in them")]
    fn a_list_without_an_end_is_an_error() {
        let table = Table::new(&[1, 2, 3]);
        assert_eq!([0, 1, 2].map(|record| table.insert(record)), [None; 3]);
        let last = &table.records[2 * 3 + 1];
        last.store(Link(0).to(Some(0)).0, Ordering::Relaxed);
        let found = table
            .index()
            .find(7, |record| Some(table.key(record).cmp(&9)));
        assert_eq!(found, Err(Tangled));
        last.store(Link(0).to(Some(8)).0, Ordering::Relaxed);
        let found = table
            .index()
            .find(7, |record| Some(table.key(record).cmp(&9)));
        assert_eq!(found, Err(Tangled), "there is no such record");
    }
}
