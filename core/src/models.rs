//! Models of the protocols, run by loom through every interleaving that its bound allows.
//!
//! Each ordering that a protocol rests on has a name (see [`crate::sync::release`]). For every name a test
//! weakens it and asserts that the model notices: a model that cannot fail proves nothing.

use std::cell::Cell;
use std::sync::Arc;

use loom::thread;

use crate::cell::gauge_word;
use crate::claim;
use crate::gauge::{self, Integers};
use crate::index::{Index, Insertion};
use crate::layout::{process, state};
use crate::process::{self as slots, Facts, Name};
use crate::record;
use crate::sync::{AtomicU64, Ordering, release};

std::thread_local!(static WEAKENED: Cell<&'static str> = const { Cell::new("") });

/// Whether the running model weakens the place called `at`.
pub(crate) fn is_weakened(at: &'static str) -> bool {
    WEAKENED.get() == at
}

/// Runs a model, which must hold.
fn holds(model: impl Fn() + Sync + Send + 'static) {
    WEAKENED.set("");
    loom::model(model);
}

/// Runs a model with the place called `at` weakened, which must be noticed.
fn is_noticed(at: &'static str, model: impl Fn() + Sync + Send + std::panic::UnwindSafe + 'static) {
    WEAKENED.set(at);
    let outcome = std::panic::catch_unwind(|| loom::model(model));
    WEAKENED.set("");
    assert!(outcome.is_err(), "the model holds with {at:?} weakened");
}

/// Makes loom try a switch of threads at every access to `word` before it is read.
///
/// loom remembers one access a word to find the orders worth trying, so that a thread that loads a word
/// just before it stores there hides the store from a plain load elsewhere.
fn watch(word: &AtomicU64) {
    word.fetch_add(0, Ordering::Relaxed);
}

fn words(count: usize) -> Arc<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

const HASH: u64 = 0x1234_5678_0000_0001;

/// Two creators of one segment and the name they want. Linking is one system call that either gives the name
/// or says that it is taken; it orders as a release, finding the name as an acquire.
struct Creation {
    name: Arc<[AtomicU64]>,
    headers: [Arc<[AtomicU64]>; 2],
}

impl Creation {
    fn new() -> Creation {
        Creation {
            name: words(1),
            headers: [words(2), words(2)],
        }
    }

    fn share(&self) -> Creation {
        Creation {
            name: self.name.clone(),
            headers: self.headers.clone(),
        }
    }

    /// The segment that has the name, if any: its creator and its header.
    fn attach(&self) -> Option<(u64, [u64; 2])> {
        let creator = self.name[0].load(Ordering::Acquire).checked_sub(1)?;
        let header = &self.headers[usize::try_from(creator).unwrap()];
        Some((
            creator,
            [0, 1].map(|word| header[word].load(Ordering::Relaxed)),
        ))
    }

    /// Attach, or fill a header in private, link it, and attach to whichever has the name.
    fn create_or_attach(&self, me: u64) -> (u64, [u64; 2]) {
        if let Some(found) = self.attach() {
            return found;
        }
        let header = &self.headers[usize::try_from(me).unwrap()];
        header
            .iter()
            .for_each(|word| word.store(me + 10, Ordering::Relaxed));
        let link = release("segment link");
        let _ = self.name[0].compare_exchange(0, me + 1, link, Ordering::Acquire);
        self.attach().expect("somebody has linked a segment")
    }
}

/// Whoever attaches, at whatever moment, sees one and the same whole header.
fn segments_are_whole() {
    let creation = Creation::new();
    let other = creation.share();
    let other = thread::spawn(move || other.create_or_attach(0));
    watch(&creation.name[0]);
    let is_whole = |(creator, header): (u64, [u64; 2])| header == [creator + 10; 2];
    assert!(
        creation.attach().is_none_or(is_whole),
        "a half-made segment has a name"
    );
    let mine = creation.create_or_attach(1);
    let theirs = other.join().unwrap();
    assert_eq!(mine, theirs);
    assert!(is_whole(mine));
}

#[test]
fn segment_link() {
    holds(segments_are_whole);
    is_noticed("segment link", segments_are_whole);
}

/// A table of two-word records (state, key) with an index, as series are registered.
#[derive(Clone)]
struct Table {
    next: Arc<[AtomicU64]>,
    records: Arc<[AtomicU64]>,
    entries: Arc<[AtomicU64]>,
    limit: u64,
}

impl Table {
    fn new(limit: u64) -> Table {
        Table {
            next: words(1),
            records: words(4),
            entries: words(2),
            limit,
        }
    }

    fn key(&self, record: u32) -> &AtomicU64 {
        &self.records[record as usize * 2 + 1]
    }

    fn find(&self, key: u64) -> Option<u32> {
        Index::new(&self.entries).find(HASH, |record| {
            self.key(record).load(Ordering::Relaxed) == key
        })
    }

    /// Claim, fill, insert, publish: the steps of `register::series`.
    fn register(&self, key: u64) -> Option<u32> {
        if let Some(found) = self.find(key) {
            record::publish(&self.records[found as usize * 2]);
            return Some(found);
        }
        let claimed = claim::claim(&self.next[0], 1, self.limit, |start| start)?;
        let claimed = u32::try_from(claimed).unwrap();
        self.key(claimed).store(key, Ordering::Relaxed);
        let is_match = |record| self.key(record).load(Ordering::Relaxed) == key;
        let found = match Index::new(&self.entries).insert(HASH, claimed, is_match) {
            Insertion::Inserted => claimed,
            Insertion::Existing(found) => {
                claim::give_back(&self.next[0], u64::from(claimed), 1);
                found
            }
            Insertion::Full => return None,
        };
        record::publish(&self.records[found as usize * 2]);
        Some(found)
    }

    /// The keys of published records, as a reader sees them.
    fn published(&self) -> Vec<u64> {
        let is_published = |at: &u32| {
            state::of(self.records[*at as usize * 2].load(Ordering::Acquire)) == state::PUBLISHED
        };
        (0..2)
            .filter(is_published)
            .map(|record| self.key(record).load(Ordering::Relaxed))
            .collect()
    }
}

fn two_register(keys: [u64; 2], limit: u64) -> (Table, [Option<u32>; 2]) {
    let table = Table::new(limit);
    let other = table.clone();
    let first = thread::spawn(move || other.register(keys[0]));
    let second = table.register(keys[1]);
    let first = first.join().unwrap();
    (table, [first, second])
}

fn equal_keys_share_a_record() {
    let (table, records) = two_register([7, 7], 2);
    assert_eq!(records[0], records[1]);
    assert!(records[0].is_some());
    assert_eq!(table.published(), [7]);
}

#[test]
fn equal_keys() {
    holds(equal_keys_share_a_record);
}

#[test]
fn colliding_keys() {
    holds(|| {
        let (table, records) = two_register([7, 8], 2);
        assert_ne!(records[0], records[1]);
        assert_eq!((table.find(7), table.find(8)), (records[0], records[1]));
        let mut published = table.published();
        published.sort_unstable();
        assert_eq!(published, [7, 8]);
    });
}

#[test]
fn a_full_table() {
    holds(|| {
        let (table, records) = two_register([7, 8], 1);
        assert_eq!(records.iter().flatten().count(), 1);
        assert_eq!(table.published().len(), 1);
    });
}

/// Two registrants and one that finds through the index: what is found is complete.
fn found_records_are_complete() {
    let table = Table::new(2);
    let registrant = table.clone();
    let registrant = thread::spawn(move || registrant.register(7));
    let index = Index::new(&table.entries);
    watch(&table.entries[1]);
    // Any record that the index names has its key: a registrant that compares keys must not miss it.
    let found = index.find(HASH, |_| true);
    assert!(found.is_none_or(|record| table.key(record).load(Ordering::Relaxed) == 7));
    registrant.join().unwrap();
}

#[test]
fn index_insert() {
    holds(found_records_are_complete);
    is_noticed("index insert", found_records_are_complete);
}

fn published_records_are_complete() {
    let table = Table::new(2);
    let registrant = table.clone();
    let registrant = thread::spawn(move || registrant.register(7));
    assert!(table.published().iter().all(|&key| key == 7));
    registrant.join().unwrap();
}

#[test]
fn record_publish() {
    holds(published_records_are_complete);
    is_noticed("record publish", published_records_are_complete);
}

/// A registrant dies between index and publication: the next one of its key publishes the record.
#[test]
fn a_dead_registrant_hides_nothing() {
    holds(|| {
        let table = Table::new(2);
        let dead = table.clone();
        let dead = thread::spawn(move || {
            dead.key(0).store(7, Ordering::Relaxed);
            if claim::claim(&dead.next[0], 1, 1, |start| start).is_some() {
                Index::new(&dead.entries).insert(HASH, 0, |_| false);
            }
        });
        dead.join().unwrap();
        assert_eq!(table.published(), []);
        assert_eq!(table.register(7), Some(0));
        assert_eq!(table.published(), [7]);
    });
}

/// Two growers of one section: memory lies below every mark that a reader can see.
fn marks_have_memory() {
    let memory = words(3);
    let mark: Arc<[AtomicU64]> = words(1);
    let grow = |memory: Arc<[AtomicU64]>, mark: Arc<[AtomicU64]>, needed: u64| {
        move || {
            let reserve = |from: u64| -> Result<u64, ()> {
                let range = usize::try_from(from).unwrap()..usize::try_from(needed).unwrap();
                memory[range]
                    .iter()
                    .for_each(|page| page.store(1, Ordering::Relaxed));
                Ok(needed)
            };
            claim::commit(&mark[0], needed, reserve).unwrap();
        }
    };
    let first = thread::spawn(grow(memory.clone(), mark.clone(), 1));
    let second = thread::spawn(grow(memory.clone(), mark.clone(), 2));
    watch(&mark[0]);
    let seen = usize::try_from(mark[0].load(Ordering::Acquire)).unwrap();
    assert!(
        memory[..seen]
            .iter()
            .all(|page| page.load(Ordering::Relaxed) == 1)
    );
    first.join().unwrap();
    second.join().unwrap();
    assert_eq!(mark[0].load(Ordering::Relaxed), 2);
}

#[test]
fn committed_marks() {
    holds(marks_have_memory);
    is_noticed("committed mark", marks_have_memory);
}

/// One slot and one own cell, used by two processes after one another and read meanwhile.
struct Slot {
    words: Arc<[AtomicU64]>,
    lock: Arc<[AtomicU64]>,
    cell: Arc<[AtomicU64]>,
}

impl Slot {
    fn new() -> Slot {
        Slot {
            words: words(process::WORDS),
            lock: words(1),
            cell: words(1),
        }
    }

    fn share(&self) -> Slot {
        let (words, lock, cell) = (self.words.clone(), self.lock.clone(), self.cell.clone());
        Slot { words, lock, cell }
    }

    /// The kernel's lock: whoever gets it acts after its last holder.
    fn try_lock(&self) -> bool {
        self.lock[0]
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn claim(&self, pid: u32) -> bool {
        let facts = Facts::for_model(pid, Name::new("p"));
        let clear = |_| self.cell[0].store(0, Ordering::Relaxed);
        slots::claim(&self.words, &facts, |_| self.try_lock(), clear).is_some()
    }

    /// A process's life: take the slot, set a gauge to the pid, die.
    fn live(&self, pid: u32) -> bool {
        let has_slot = self.claim(pid);
        if has_slot {
            self.cell[0].store(u64::from(pid), Ordering::Relaxed);
            self.lock[0].store(0, Ordering::Release);
        }
        has_slot
    }

    /// Reads the slot as a reader does: facts, cells, and the state again.
    fn read(&self) -> Option<(u32, u64)> {
        let (before, process) = slots::read(&self.words, 0)?;
        let cell = self.cell[0].load(Ordering::Relaxed);
        slots::is_unchanged(&self.words, before).then_some((process.pid, cell))
    }
}

fn cells_belong_to_their_process() {
    let slot = Slot::new();
    assert!(slot.live(1));
    let next = slot.share();
    let next = thread::spawn(move || next.live(2));
    if let Some((pid, cell)) = slot.read() {
        assert!(
            cell == 0 || cell == u64::from(pid),
            "process {pid} shows the gauge {cell}"
        );
    }
    assert!(next.join().unwrap());
}

#[test]
fn slot_reuse() {
    holds(cells_belong_to_their_process);
    is_noticed("slot claim", cells_belong_to_their_process);
}

/// A published slot has its facts.
fn published_slots_have_facts() {
    let slot = Slot::new();
    let process = slot.share();
    let process = thread::spawn(move || process.live(1));
    watch(&slot.words[process::STATE]);
    if let Some((pid, _)) = slot.read() {
        assert_eq!(pid, 1);
    }
    process.join().unwrap();
}

#[test]
fn slot_publish() {
    holds(published_slots_have_facts);
    is_noticed("slot publish", published_slots_have_facts);
}

/// Two processes want one slot: the lock gives it to one at a time.
#[test]
fn slot_contention() {
    holds(|| {
        let slot = Slot::new();
        let other = slot.share();
        let other = thread::spawn(move || other.claim(1));
        let mine = slot.claim(2);
        assert!(other.join().unwrap() != mine);
    });
}

#[test]
fn a_lasting_sum_is_the_last_value_of_a_process() {
    holds(|| {
        let cells = words(2);
        let other = cells.clone();
        let set = |cells: &[AtomicU64], value| {
            gauge::set_lasting_sum(&cells[0], &cells[1], gauge_word::from_i64(value), &Integers);
        };
        let other = thread::spawn(move || set(&other, 5));
        set(&cells, 3);
        other.join().unwrap();
        assert_eq!(
            cells[0].load(Ordering::Relaxed),
            cells[1].load(Ordering::Relaxed)
        );
    });
}

#[test]
fn a_lasting_maximum_is_the_greatest() {
    holds(|| {
        let cell = words(1);
        let other = cell.clone();
        let keep = |cell: &AtomicU64, value| gauge::keep_if(cell, value, |new, kept| new > kept);
        let other = thread::spawn(move || keep(&other[0], 5));
        keep(&cell[0], 3);
        other.join().unwrap();
        assert_eq!(cell[0].load(Ordering::Relaxed), 5);
    });
}
