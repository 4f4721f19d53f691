//! The hash index with keys of one word: equal ones, colliding ones, and a full index.

use std::sync::Arc;

use crate::index::{Index, Insertion};
use crate::sync::{AtomicU64, Ordering};

use super::{Bound, prove, spawn, words};

/// All keys have one hash.
const HASH: u64 = 0x1234_5678_0000_0001;

#[derive(Clone)]
struct Table {
    keys: Arc<[AtomicU64]>,
    entries: Arc<[AtomicU64]>,
}

impl Table {
    fn new(entries: usize) -> Table {
        Table {
            keys: words(2),
            entries: words(entries),
        }
    }

    fn has_key(&self, record: u32, key: u64) -> bool {
        self.keys[record as usize].load(Ordering::Relaxed) == key
    }

    fn find(&self, key: u64) -> Option<u32> {
        Index::new(&self.entries).find(HASH, |record| self.has_key(record, key))
    }

    /// Fills a record and inserts it: the record of the key.
    fn register(&self, record: u32, key: u64) -> Option<u32> {
        self.keys[record as usize].store(key, Ordering::Relaxed);
        let is_match = |other| self.has_key(other, key);
        match Index::new(&self.entries).insert(HASH, record, is_match) {
            Insertion::Inserted => Some(record),
            Insertion::Existing(found) => Some(found),
            Insertion::Full => None,
        }
    }
}

fn two_insert(entries: usize, keys: [u64; 2]) -> (Table, [Option<u32>; 2]) {
    let table = Table::new(entries);
    let other = table.clone();
    let first = spawn(move || other.register(0, keys[0]));
    let second = table.register(1, keys[1]);
    let first = first.join().unwrap();
    (table, [first, second])
}

fn equal_keys_share_a_record() {
    let (table, records) = two_insert(2, [7, 7]);
    assert_eq!(records[0], records[1]);
    assert_eq!(table.find(7), records[0]);
    assert_eq!(table.entries[0].load(Ordering::Relaxed), 0, "a key twice");
}

#[test]
fn equal_keys() {
    prove(
        Bound::Exhaustive,
        equal_keys_share_a_record,
        &["index insert met", "lost insert compared", "index entry"],
    );
}

fn colliding_keys_are_told_apart() {
    let (table, records) = two_insert(2, [7, 8]);
    assert_ne!(records[0], records[1]);
    assert_eq!([table.find(7), table.find(8)], records);
}

#[test]
fn colliding_keys() {
    prove(
        Bound::Exhaustive,
        colliding_keys_are_told_apart,
        &["index key"],
    );
}

/// One entry for two keys: one is refused, and the index stays as it is.
fn a_full_index_refuses_one() {
    let (table, records) = two_insert(1, [7, 8]);
    assert_eq!(records.iter().flatten().count(), 1);
    assert_eq!([table.find(7), table.find(8)], records);
}

#[test]
fn a_full_index() {
    prove(
        Bound::Exhaustive,
        a_full_index_refuses_one,
        &["index entry"],
    );
}

/// Whoever finds a record through the index sees its key.
fn found_records_are_complete() {
    let table = Table::new(2);
    super::atomic::watch([&table.entries[1]]);
    let registrant = table.clone();
    let registrant = spawn(move || registrant.register(0, 7));
    let found = Index::new(&table.entries).find(HASH, |_| true);
    assert!(found.is_none_or(|record| table.has_key(record, 7)));
    registrant.join().unwrap();
}

#[test]
fn found_records() {
    prove(
        Bound::Exhaustive,
        found_records_are_complete,
        &["index find", "index insert"],
    );
}
