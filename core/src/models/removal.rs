//! Models of series that come and go: the index, seats, free records, marks, and readers in the middle of it.

use std::sync::Arc;

use super::atomic::watch;
use super::{Bound, prove, spawn, words};
use crate::free::FreeLists;
use crate::index::{Found, Index, Records};
use crate::layout::state;
use crate::marks;
use crate::seats::{Admission, Removals, Seats};
use crate::sync::{AtomicU64, Ordering, check};
use crate::{lock, record, removal};

/// Four-word records (state, link, key, cell), one list, one family, one class of free records.
#[derive(Clone)]
pub(super) struct Table {
    heads: Arc<[AtomicU64]>,
    records: Arc<[AtomicU64]>,
    classes: Arc<[AtomicU64]>,
    /// Seats, operation, removals begun, removals done, free records.
    pub(super) counts: Arc<[AtomicU64]>,
    limit: u64,
}

const WORDS: usize = 4;
const HASH: u64 = 1;
const CLASS: u64 = 7;

impl Table {
    pub(super) fn new(records: usize, limit: u64) -> Table {
        Table {
            heads: words(1),
            records: words(records * WORDS),
            classes: words(4),
            counts: words(5),
            limit,
        }
    }

    fn word(&self, record: u32, word: usize) -> &AtomicU64 {
        &self.records[record as usize * WORDS + word]
    }

    pub(super) fn state(&self, record: u32) -> &AtomicU64 {
        self.word(record, 0)
    }

    fn key(&self, record: u32) -> &AtomicU64 {
        self.word(record, 2)
    }

    fn cell(&self, record: u32) -> &AtomicU64 {
        self.word(record, 3)
    }

    fn records(&self) -> Records<'_> {
        Records::new(&self.records, WORDS, 1)
    }

    fn index(&self) -> Index<'_> {
        Index::new(&self.heads, self.records())
    }

    fn free(&self) -> FreeLists<'_> {
        FreeLists {
            classes: &self.classes,
            count: &self.counts[4],
            records: self.records(),
        }
    }

    pub(super) fn removals(&self) -> Removals<'_> {
        Removals {
            begun: &self.counts[2],
            done: &self.counts[3],
        }
    }

    pub(super) fn seats(&self) -> Seats<'_> {
        Seats {
            count: &self.counts[0],
            operation: &self.counts[1],
            records: self.records(),
            removals: self.removals(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        crate::seats::count(self.counts[0].load(Ordering::Relaxed))
    }

    fn find(&self, key: u64) -> Option<Found> {
        let compare = |record| Some(self.key(record).load(Ordering::Relaxed).cmp(&key));
        self.index().find(HASH, compare).unwrap()
    }

    /// Fills a record that nobody else sees, and inserts it unless its key is there.
    fn insert(&self, record: u32, key: u64) -> Option<Found> {
        record::begin_reuse();
        self.key(record).store(key, Ordering::Relaxed);
        self.cell(record).store(0, Ordering::Relaxed);
        let compare = |other| Some(self.key(other).load(Ordering::Relaxed).cmp(&key));
        self.index().insert(HASH, record, compare).unwrap()
    }

    /// Registers a key with a record of one's own: the record that it has then.
    fn register(&self, record: u32, key: u64) -> Option<Found> {
        if self.find(key).is_none() {
            self.insert(record, key);
        }
        let found = self.find(key)?;
        if state::of(found.state) == state::FREE {
            match self.seats().admit(found, self.limit) {
                Admission::Admitted => {}
                Admission::Full => {
                    self.seats().withdraw(found);
                    return None;
                }
                Admission::Gone => return None,
            }
        }
        let published = state::to(found.state, state::PUBLISHED);
        Some(Found {
            state: published,
            ..found
        })
    }

    /// Takes a removed record out of the index and begins its next generation: the steps of `removal::reclaim`.
    fn reclaim(&self, record: u32) -> bool {
        let Some(removed) = removal::seen_removed(self.state(record)) else {
            return false;
        };
        if self.seats().settle().is_none() {
            return false;
        }
        self.find(self.key(record).load(Ordering::Relaxed));
        removal::begin_next(self.state(record), removed)
    }

    fn remove(&self, key: u64) -> bool {
        let found = self.find(key);
        found.is_some_and(|found| {
            state::of(found.state) == state::PUBLISHED && self.seats().remove(found)
        })
    }
}

fn record_of(found: Option<Found>) -> Option<u32> {
    found.map(|found| found.record)
}

/// Two register one key or two: one record each, in the index and with a seat.
fn registered_keys_are_found(keys: [u64; 2]) {
    let table = Table::new(2, 9);
    let other = table.clone();
    let other = spawn(move || other.register(0, keys[0]));
    let mine = table.register(1, keys[1]);
    let theirs = other.join().unwrap();
    assert!(mine.is_some() && theirs.is_some());
    assert_eq!(keys[0] == keys[1], mine == theirs);
    assert_eq!([theirs, mine], keys.map(|key| table.find(key)));
    assert_eq!(table.count(), if keys[0] == keys[1] { 1 } else { 2 });
}

fn equal_keys_meet() {
    registered_keys_are_found([7, 7]);
}

#[test]
fn equal_keys() {
    prove(Bound::Preemptions, equal_keys_meet, &["list inserted"]);
}

fn neighbours_are_found() {
    registered_keys_are_found([7, 8]);
}

#[test]
fn neighbouring_keys() {
    prove(Bound::Preemptions, neighbours_are_found, &["list inserted"]);
}

/// A record that a search finds is complete.
fn found_records_are_complete() {
    let table = Table::new(1, 9);
    watch([&table.heads[0]]);
    let registrant = table.clone();
    let registrant = spawn(move || registrant.insert(0, 7));
    let key = std::cell::Cell::new(7);
    let look = |record| {
        key.set(table.key(record).load(Ordering::Relaxed));
        Some(std::cmp::Ordering::Equal)
    };
    if table.index().find(HASH, look).unwrap().is_some() {
        assert_eq!(key.get(), 7);
    }
    registrant.join().unwrap();
}

#[test]
fn list_insert() {
    prove(
        Bound::Preemptions,
        found_records_are_complete,
        &["list insert", "list head"],
    );
}

/// One inserts behind a record that another removes: neither is lost, nor comes back.
fn insertions_behind_a_removed_record_stay() {
    let table = Table::new(2, 9);
    table.register(0, 1);
    let remover = table.clone();
    let remover = spawn(move || {
        assert!(remover.remove(1));
        remover.find(1)
    });
    assert_eq!(table.insert(1, 2), None);
    assert_eq!(remover.join().unwrap(), None);
    assert_eq!((table.find(1), record_of(table.find(2))), (None, Some(1)));
}

#[test]
fn insertion_behind_a_removed_record() {
    prove(
        Bound::Preemptions,
        insertions_behind_a_removed_record_stay,
        &["list marked"],
    );
}

/// A record is removed, freed and filled again under a search: what it finds has the key that it looked for.
fn searches_survive_reuse() {
    let table = Table::new(3, 9);
    table.register(0, 3);
    table.register(1, 5);
    watch([table.key(0), table.key(1)]);
    let other = table.clone();
    let other = spawn(move || {
        assert!(other.remove(3) && other.reclaim(0));
        // In front of it now, or behind: the search must not follow the record to its new place.
        assert_eq!(other.insert(0, 9), None);
    });
    assert_eq!(
        record_of(table.find(5)),
        Some(1),
        "what was there all the time is found"
    );
    other.join().unwrap();
    let places = [3, 5, 9].map(|key| record_of(table.find(key)));
    assert_eq!(places, [None, Some(1), Some(0)]);
}

#[test]
fn reuse_under_a_search() {
    prove(
        Bound::Preemptions,
        searches_survive_reuse,
        &["list is unchanged"],
    );
}

/// The same, with a registrant in the place of the search.
fn insertions_survive_reuse() {
    let table = Table::new(2, 9);
    table.register(0, 3);
    let other = table.clone();
    let other = spawn(move || {
        assert!(other.remove(3) && other.reclaim(0));
        assert_eq!(other.insert(0, 9), None);
    });
    assert_eq!(table.insert(1, 5), None);
    other.join().unwrap();
    let places = [3, 5, 9].map(|key| record_of(table.find(key)));
    assert_eq!(places, [None, Some(1), Some(0)]);
}

#[test]
fn reuse_under_an_insertion() {
    prove(
        Bound::Preemptions,
        insertions_survive_reuse,
        &["list inserted"],
    );
}

/// A search that finds a key in a record finds the record in that life.
fn keys_belong_to_their_life() {
    let table = Table::new(1, 9);
    table.register(0, 3);
    watch([table.key(0)]);
    watch([&table.heads[0]]);
    let other = table.clone();
    let other = spawn(move || {
        assert!(other.remove(3) && other.reclaim(0));
        other.insert(0, 3 + 2);
    });
    for (key, generation) in [(3, 0), (5, 1)] {
        if let Some(found) = table.find(key) {
            assert_eq!(state::generation(found.state), generation, "{key}");
        }
    }
    other.join().unwrap();
}

#[test]
fn record_reuse() {
    prove(
        Bound::Preemptions,
        keys_belong_to_their_life,
        &[
            "list is unchanged",
            "list read again",
            "record reuse",
            "series freed",
        ],
    );
}

/// Two take free records and put one back: nobody has another one's.
fn free_records_have_one_owner() {
    let table = Table::new(2, 9);
    let free = table.free();
    assert!(free.push(CLASS, 0) && free.push(CLASS, 1));
    let other = table.clone();
    let other = spawn(move || {
        let first = other.free().pop(CLASS);
        if let Some(record) = first {
            // What is done with a record comes before it is freed, and shows to who takes it.
            other.cell(record).store(5, Ordering::Relaxed);
            assert!(other.free().push(CLASS, record));
        }
        other.free().pop(CLASS)
    });
    let mine = free.pop(CLASS);
    if let Some(record) = mine {
        let seen = table.cell(record).load(Ordering::Relaxed);
        table.cell(record).store(6, Ordering::Relaxed);
        assert!(seen != 6);
    }
    let theirs = other.join().unwrap();
    assert!(mine != theirs && mine.is_some() && theirs.is_some());
    assert_eq!(free.pop(CLASS), None);
}

#[test]
fn free_lists() {
    prove(
        Bound::Preemptions,
        free_records_have_one_owner,
        &["free record popped"],
    );
}

/// What was done with a record before it was freed has been done for who takes it.
fn freed_records_are_finished_with() {
    let table = Table::new(1, 9);
    watch(table.classes.iter());
    let other = table.clone();
    let other = spawn(move || {
        other.cell(0).store(5, Ordering::Relaxed);
        assert!(other.free().push(CLASS, 0));
    });
    if table.free().pop(CLASS).is_some() {
        assert_eq!(table.cell(0).load(Ordering::Relaxed), 5);
    }
    other.join().unwrap();
}

#[test]
fn freed_records() {
    prove(
        Bound::Preemptions,
        freed_records_are_finished_with,
        &["record freed", "free record taken"],
    );
}

/// Two want the last seat: one gets it.
fn the_limit_holds() {
    let table = Table::new(2, 1);
    let other = table.clone();
    let other = spawn(move || other.register(0, 7));
    let mine = table.register(1, 8);
    let theirs = other.join().unwrap();
    assert!(mine.is_some() != theirs.is_some());
    assert_eq!(table.count(), 1);
    assert_eq!((table.find(7), table.find(8)), (theirs, mine));
}

#[test]
fn series_limit() {
    prove(Bound::Preemptions, the_limit_holds, &["series limit"]);
}

/// Two want one series at the limit: both get it, for one seat.
fn one_key_takes_one_seat() {
    let table = Table::new(2, 1);
    let other = table.clone();
    let other = spawn(move || other.register(0, 7));
    let mine = table.register(1, 7);
    assert_eq!(other.join().unwrap(), mine);
    assert!(mine.is_some());
    assert_eq!(table.count(), 1);
}

#[test]
fn one_key_at_the_limit() {
    prove(
        Bound::Preemptions,
        one_key_takes_one_seat,
        &["seats are unchanged"],
    );
}

/// A series is removed while another is added: the count is exact, and one call removes.
fn counts_are_exact() {
    let table = Table::new(2, 2);
    table.register(0, 7);
    let other = table.clone();
    let other = spawn(move || {
        other.register(1, 8);
        other.remove(7)
    });
    let mine = table.remove(7);
    assert!(other.join().unwrap() != mine, "one of two removes");
    assert_eq!(table.count(), 1);
    assert!(table.removals().seen().is_settled());
    assert_eq!((table.find(7), record_of(table.find(8))), (None, Some(1)));
}

#[test]
fn seats_counted() {
    prove(
        Bound::Preemptions,
        counts_are_exact,
        &[
            "operation is not counted",
            "series is there to remove",
            "removal numbered",
        ],
    );
}

/// One helps an operation that is over, and its record in its next life: it leaves that alone.
fn late_help_does_nothing() {
    let table = Table::new(1, 9);
    table.register(0, 7);
    let found = table.find(7).unwrap();
    let helper = table.clone();
    let helper = spawn(move || helper.seats().settle().is_some());
    assert!(table.seats().remove(found));
    assert!(table.reclaim(0));
    assert_eq!(
        state::of(table.state(0).load(Ordering::Relaxed)),
        state::FREE
    );
    table.insert(0, 8);
    let again = table.find(8).unwrap();
    assert_eq!(table.seats().admit(again, 9), Admission::Admitted);
    helper.join().unwrap();
    assert_eq!(table.count(), 1);
    let now = table.state(0).load(Ordering::Relaxed);
    assert_eq!(now, state::word(state::PUBLISHED, 1));
}

#[test]
fn late_help() {
    prove(
        Bound::Preemptions,
        late_help_does_nothing,
        &["operation stands", "operation seen again"],
    );
}

/// What a helper publishes is complete.
fn helped_records_are_complete() {
    let table = Table::new(1, 9);
    watch([&table.counts[1]]);
    let registrant = table.clone();
    let registrant = spawn(move || registrant.register(0, 7));
    table.seats().settle();
    let now = table.state(0).load(Ordering::Acquire);
    if state::of(now) == state::PUBLISHED {
        assert_eq!(table.key(0).load(Ordering::Relaxed), 7);
    }
    registrant.join().unwrap();
}

#[test]
fn helped_records() {
    prove(
        Bound::Preemptions,
        helped_records_are_complete,
        &["operation begun"],
    );
}

/// What a reader sees published is complete.
fn published_records_are_complete() {
    let table = Table::new(1, 9);
    watch([table.state(0)]);
    let registrant = table.clone();
    let registrant = spawn(move || registrant.register(0, 7));
    let now = table.state(0).load(Ordering::Acquire);
    if state::of(now) == state::PUBLISHED {
        assert_eq!(table.key(0).load(Ordering::Relaxed), 7);
    }
    registrant.join().unwrap();
}

#[test]
fn record_publish() {
    prove(
        Bound::Preemptions,
        published_records_are_complete,
        &["record publish"],
    );
}

/// One takes a handle while another removes and frees: whoever holds has the cells for itself.
fn held_cells_are_not_reused() {
    // The state, the mark, and who has the cell: 1 the holder, 2 the next series.
    let shared = words(3);
    let found = state::word(state::PUBLISHED, 0);
    shared[0].store(found, Ordering::Relaxed);
    watch([&shared[2]]);
    let holder = shared.clone();
    let holder = spawn(move || {
        marks::set(&holder[1], 0);
        let holds = marks::is_unchanged(&holder[0], found);
        if holds {
            assert_eq!(
                holder[2].load(Ordering::Relaxed),
                0,
                "its cells are used again"
            );
        }
        marks::clear(&holder[1], 0);
    });
    let removed = state::word(state::REMOVED, 0);
    shared[0].store(removed, Ordering::Release);
    marks::look();
    let is_free = check("nobody holds the series", !marks::is_set(&shared[1], 0));
    if is_free {
        shared[2].store(2, Ordering::Relaxed);
    }
    holder.join().unwrap();
}

#[test]
fn marks_and_removal() {
    prove(
        Bound::Preemptions,
        held_cells_are_not_reused,
        &[
            "mark set",
            "marks looked at",
            "marked series is there",
            "nobody holds the series",
        ],
    );
}

/// The last write of a holder comes before the cells are used again.
fn last_writes_come_first() {
    let shared = words(2);
    shared[0].store(1, Ordering::Relaxed);
    watch([&shared[0]]);
    let holder = shared.clone();
    let holder = spawn(move || {
        holder[1].store(1, Ordering::Relaxed);
        marks::clear(&holder[0], 0);
    });
    if !marks::is_set(&shared[0], 0) {
        assert_eq!(shared[1].load(Ordering::Relaxed), 1);
    }
    holder.join().unwrap();
}

#[test]
fn mark_cleared() {
    prove(
        Bound::Preemptions,
        last_writes_come_first,
        &["mark cleared", "mark seen"],
    );
}

/// A thread marks a series while another forks: the child has the mark, if it has the handle.
fn children_inherit_marks() {
    // The parent's mark, the child's, the heir, and whether the handle was there at the fork.
    let shared = words(4);
    watch([&shared[3]]);
    let marking = shared.clone();
    let marking = spawn(move || {
        marks::set(&marking[0], 0);
        if marks::heir(&marking[2]).is_some() {
            marks::set(&marking[1], 0);
        }
        marking[3].store(1, Ordering::Release);
    });
    marks::name_heir(&shared[2], 5);
    marks::copy_words(&shared[..1], &shared[1..2]);
    // The fork: the child has what is there now.
    if shared[3].load(Ordering::Acquire) == 1 {
        assert!(
            marks::is_set(&shared[1], 0),
            "the child's handle is not marked"
        );
    }
    marking.join().unwrap();
}

#[test]
fn fork_marks() {
    prove(
        Bound::Preemptions,
        children_inherit_marks,
        &["heir named", "mark set"],
    );
}

/// A reader looks at a series while it is removed and its record serves another: it shows no value of that.
fn readers_mix_nothing() {
    let table = Table::new(1, 9);
    table.register(0, 7);
    let other = table.clone();
    let other = spawn(move || {
        assert!(other.remove(7) && other.reclaim(0));
        other.insert(0, 8);
        other.cell(0).store(9, Ordering::Relaxed);
    });
    let seen = table.removals().seen();
    let before = table.state(0).load(Ordering::Acquire);
    if state::of(before) == state::PUBLISHED {
        let value = table.cell(0).load(Ordering::Relaxed);
        let is_sure = seen.is_last(table.removals());
        let is_shown = is_sure || !record::is_changed(&table.records[..WORDS], before);
        assert!(!is_shown || value == 0, "another series' value is shown");
    }
    other.join().unwrap();
}

#[test]
fn reading_under_removal() {
    prove(
        Bound::Preemptions,
        readers_mix_nothing,
        &["no removal began", "removals begun since", "record reuse"],
    );
}

/// A removal that is done is seen by the next pass, which looks at states only when the counts moved.
fn removed_series_are_gone() {
    let table = Table::new(1, 9);
    table.register(0, 7);
    let first = table.removals().seen();
    watch([&table.counts[3]]);
    let other = table.clone();
    let other = spawn(move || assert!(other.remove(7)));
    let done = table.counts[3].load(Ordering::Relaxed);
    let second = table.removals().seen();
    if done == 1 {
        assert!(second != first || !second.is_settled());
    }
    if second != first && second.is_settled() {
        let now = table.state(0).load(Ordering::Acquire);
        assert_eq!(state::of(now), state::REMOVED);
    }
    other.join().unwrap();
}

#[test]
fn removals_done() {
    prove(
        Bound::Preemptions,
        removed_series_are_gone,
        &["removal done", "removals done seen"],
    );
}

/// What a search sees behind a record that was taken out is complete, though another inserted it.
fn what_follows_is_complete() {
    let table = Table::new(2, 9);
    table.register(0, 1);
    watch([&table.heads[0], table.word(0, 1)]);
    let (inserter, remover) = (table.clone(), table.clone());
    let inserter = spawn(move || inserter.insert(1, 5));
    let remover = spawn(move || {
        remover.remove(1);
        remover.find(1)
    });
    let key = std::cell::Cell::new(5);
    let look = |record| {
        if record == 1 {
            key.set(table.key(1).load(Ordering::Relaxed));
        }
        Some(table.key(record).load(Ordering::Relaxed).cmp(&9))
    };
    table.index().find(HASH, look).unwrap();
    assert_eq!(key.get(), 5);
    inserter.join().unwrap();
    remover.join().unwrap();
}

#[test]
fn list_unlink() {
    prove(
        Bound::Preemptions,
        what_follows_is_complete,
        &["list unlink"],
    );
}

/// Two take out neighbours: both are gone.
fn neighbours_are_taken_out() {
    let table = Table::new(2, 9);
    table.register(0, 1);
    table.register(1, 2);
    let other = table.clone();
    let other = spawn(move || {
        assert!(other.remove(1));
        other.find(1)
    });
    assert!(table.remove(2));
    assert_eq!(table.find(2), None);
    assert_eq!(other.join().unwrap(), None);
    assert_eq!((table.find(1), table.find(2)), (None, None));
    assert_eq!(table.count(), 0);
}

#[test]
fn neighbours() {
    prove(Bound::Preemptions, neighbours_are_taken_out, &[]);
}

/// Two begin classes of free records: each has its own.
fn classes_are_kept_apart() {
    let table = Table::new(2, 9);
    let other = table.clone();
    let other = spawn(move || other.free().push(CLASS, 0));
    table.free().push(CLASS + 1, 1);
    other.join().unwrap();
    let free = table.free();
    assert_eq!((free.pop(CLASS), free.pop(CLASS + 1)), (Some(0), Some(1)));
}

#[test]
fn classes() {
    prove(Bound::Preemptions, classes_are_kept_apart, &["class named"]);
}

/// Two put records back: both can be had.
fn freed_records_are_kept() {
    let table = Table::new(2, 9);
    table.free().push(CLASS, 0);
    assert_eq!(table.free().pop(CLASS), Some(0));
    let other = table.clone();
    let other = spawn(move || other.free().push(CLASS, 0));
    table.free().push(CLASS, 1);
    other.join().unwrap();
    assert!(table.free().pop(CLASS).is_some() && table.free().pop(CLASS).is_some());
}

#[test]
fn freed_twice() {
    prove(
        Bound::Preemptions,
        freed_records_are_kept,
        &["free record pushed"],
    );
}

/// Threads mark and clear series in one word, and copy it for a child: no mark is lost.
fn marks_of_others_stay() {
    let shared = words(2);
    marks::set(&shared[0], 0);
    let (marking, clearing) = (shared.clone(), shared.clone());
    let marking = spawn(move || {
        marks::set(&marking[0], 1);
        marks::set(&marking[1], 1);
    });
    let clearing = spawn(move || marks::clear(&clearing[0], 0));
    marks::copy_words(&shared[..1], &shared[1..2]);
    marking.join().unwrap();
    clearing.join().unwrap();
    assert!(marks::is_set(&shared[0], 1) && marks::is_set(&shared[1], 1));
    assert!(!marks::is_set(&shared[0], 0));
}

#[test]
fn marks_in_one_word() {
    prove(
        Bound::Preemptions,
        marks_of_others_stay,
        &["mark added", "mark taken away", "mark copied"],
    );
}

/// Two processes take slots: whoever looks at marks looks at both.
fn slots_are_counted() {
    let used = words(1);
    let other = used.clone();
    let other = spawn(move || lock::count_slot(&other[0], 0));
    lock::count_slot(&used[0], 1);
    other.join().unwrap();
    assert_eq!(used[0].load(Ordering::Relaxed), 2);
}

#[test]
fn slots() {
    prove(Bound::Exhaustive, slots_are_counted, &["slot counted"]);
}

/// A record is read while it begins its next life: what is read is of the life that was looked at, or dropped.
fn read_records_are_of_one_life() {
    let table = Table::new(1, 9);
    table.register(0, 7);
    watch([table.state(0), table.key(0)]);
    let other = table.clone();
    let other = spawn(move || {
        assert!(other.remove(7) && other.reclaim(0));
        other.insert(0, 8);
    });
    let before = table.state(0).load(Ordering::Acquire);
    if state::of(before) == state::PUBLISHED {
        let key = table.key(0).load(Ordering::Relaxed);
        let is_changed = record::is_changed(&table.records[..WORDS], before);
        assert!(is_changed || key == 7, "the key of another life");
    }
    other.join().unwrap();
}

#[test]
fn reading_a_record() {
    prove(
        Bound::Preemptions,
        read_records_are_of_one_life,
        &["record read again", "record reuse"],
    );
}

/// Two free one record: one does.
fn a_record_is_freed_once() {
    let table = Table::new(1, 9);
    table.register(0, 7);
    assert!(table.remove(7));
    let other = table.clone();
    let other = spawn(move || other.reclaim(0));
    assert!(table.reclaim(0) != other.join().unwrap());
}

#[test]
fn freed_once() {
    prove(
        Bound::Preemptions,
        a_record_is_freed_once,
        &["series freed once"],
    );
}

/// Who sees a series removed sees what its record was.
fn removed_records_are_whole() {
    let table = Table::new(1, 9);
    watch([table.state(0)]);
    let other = table.clone();
    let other = spawn(move || {
        other.register(0, 7);
        other.remove(7);
    });
    if removal::seen_removed(table.state(0)).is_some() {
        assert_eq!(table.key(0).load(Ordering::Relaxed), 7);
    }
    other.join().unwrap();
}

#[test]
fn removed_records() {
    prove(
        Bound::Preemptions,
        removed_records_are_whole,
        &["removed series seen"],
    );
}

/// Two publish one family's record, or find it published.
fn published_once() {
    let shared = words(1);
    let other = shared.clone();
    let other = spawn(move || record::publish(&other[0], 0));
    record::publish(&shared[0], 0);
    let removed = state::word(state::REMOVED, 0);
    let published = state::word(state::PUBLISHED, 0);
    let order = Ordering::Relaxed;
    assert!(
        shared[0]
            .compare_exchange(published, removed, order, order)
            .is_ok()
    );
    other.join().unwrap();
    assert_eq!(shared[0].load(order), removed, "it came back");
}

#[test]
fn publication() {
    prove(Bound::Exhaustive, published_once, &["record published"]);
}

/// One adds and one removes: each is counted once, and every operation ends.
fn operations_are_counted_once() {
    let table = Table::new(2, 9);
    table.register(0, 7);
    let found = table.find(7).unwrap();
    let other = table.clone();
    assert_eq!(table.insert(1, 8), None);
    let added = table.find(8).unwrap();
    let other = spawn(move || other.seats().admit(added, 9));
    assert!(table.seats().remove(found));
    assert_eq!(other.join().unwrap(), Admission::Admitted);
    assert_eq!(table.count(), 1);
}

#[test]
fn operations() {
    prove(
        Bound::Preemptions,
        operations_are_counted_once,
        &["operation chosen", "seat counted"],
    );
}

/// One takes out the first record while another inserts in front of it: what was inserted stays.
fn what_comes_first_stays() {
    let table = Table::new(2, 9);
    table.register(0, 1);
    let other = table.clone();
    let other = spawn(move || other.insert(1, 0));
    assert!(table.remove(1));
    assert_eq!(table.find(1), None);
    assert_eq!(other.join().unwrap(), None);
    assert_eq!(record_of(table.find(0)), Some(1));
}

#[test]
fn unlinking_the_first() {
    prove(
        Bound::Preemptions,
        what_comes_first_stays,
        &["list unlinked"],
    );
}
