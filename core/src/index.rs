//! The hash index: insert-only, lock-free, linear probing over words.
//!
//! | entry | meaning | who moves it |
//! |---|---|---|
//! | 0 | empty | any registrant, by one compare-and-swap |
//! | hash half, record + 1 | set, for ever | nobody |
//!
//! A registrant killed before the swap leaves the entry empty; killed after it, the record is complete
//! and whoever finds it next publishes it. Because entries are never removed, two registrants of one key
//! meet at the same first empty entry, and one of them sees the other's.

use crate::layout::{halves, low_half, split};
use crate::sync::{AtomicU64, acquire, check, does, one_step, release};

/// An index over `entries`, a power of two of them.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    entries: &'a [AtomicU64],
}

/// What became of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// The record is in the index.
    Inserted,
    /// An equal key was there before: its record.
    Existing(u32),
    /// No empty entry is left.
    Full,
}

impl<'a> Index<'a> {
    pub(crate) fn new(entries: &'a [AtomicU64]) -> Index<'a> {
        debug_assert!(entries.len().is_power_of_two());
        Index { entries }
    }

    /// The record whose hash and key match.
    pub(crate) fn find(&self, hash: u64, is_match: impl Fn(u32) -> bool) -> Option<u32> {
        for entry in self.probe(hash) {
            // Pairs with the Release in `insert`: the record's words are seen with its number.
            match entry.load(acquire("index find")) {
                0 => return None,
                word => {
                    if let Some(record) = candidate(word, hash, &is_match) {
                        return Some(record);
                    }
                }
            }
        }
        None
    }

    /// Inserts a complete record, unless an equal key is there.
    pub(crate) fn insert(
        &self,
        hash: u64,
        record: u32,
        is_match: impl Fn(u32) -> bool,
    ) -> Insertion {
        let new = halves(record + 1, low_half(hash >> 32));
        for entry in self.probe(hash) {
            // Release: whoever finds the record sees its words. Pairs with the Acquire in `find` and here.
            let seen = one_step("index entry", entry).compare_exchange(
                0,
                new,
                release("index insert"),
                acquire("index insert met"),
            );
            let Err(word) = seen else {
                return Insertion::Inserted;
            };
            if let Some(existing) = candidate(word, hash, &is_match)
                && does("lost insert compared")
            {
                return Insertion::Existing(existing);
            }
        }
        Insertion::Full
    }

    fn probe(&self, hash: u64) -> impl Iterator<Item = &'a AtomicU64> + use<'a> {
        let entries = self.entries;
        let mask = entries.len() - 1;
        let start = low_half(hash) as usize;
        (0..entries.len()).map(move |step| &entries[(start + step) & mask])
    }
}

fn candidate(word: u64, hash: u64, is_match: impl Fn(u32) -> bool) -> Option<u32> {
    let (record, fingerprint) = split(word);
    let record = record.checked_sub(1)?;
    (fingerprint == low_half(hash >> 32) && check("index key", is_match(record))).then_some(record)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn entries(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn colliding_keys_are_told_apart() {
        let entries = entries(8);
        let index = Index::new(&entries);
        let keys = ["a", "b", "c"];
        for record in 0..3u32 {
            let inserted = index.insert(7, record, |other| {
                keys[other as usize] == keys[record as usize]
            });
            assert_eq!(inserted, Insertion::Inserted);
        }
        for (record, key) in keys.iter().enumerate() {
            let found = index.find(7, |other| keys[other as usize] == *key);
            assert_eq!(found.map(|found| found as usize), Some(record));
        }
        assert_eq!(
            index.insert(7, 9, |other| keys[other as usize] == "b"),
            Insertion::Existing(1)
        );
        assert_eq!(index.find(7, |_| false), None);
    }

    #[test]
    fn a_full_index_says_so() {
        let entries = entries(2);
        let index = Index::new(&entries);
        assert_eq!(index.insert(0, 0, |_| false), Insertion::Inserted);
        assert_eq!(index.insert(0, 1, |_| false), Insertion::Inserted);
        assert_eq!(index.insert(0, 2, |_| false), Insertion::Full);
        assert_eq!(index.find(0, |_| false), None);
    }
}
