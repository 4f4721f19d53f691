//! The label sets that this process has used, each with its handle.
//!
//! The simple version is a hash map behind a lock. The real one is read without a lock, a write or an allocation:
//! a stack of open-addressing tables whose slots are set once and never change. A lookup looks into the newest
//! table only. Where an insertion finds no slot near the place of its hash, a larger table is put on the stack;
//! what an older table knows is copied up when it is next asked for. A child forked in the middle of an
//! insertion finds the tables whole, because no step leaves anything that another one must finish.
//!
//! Texts of up to 15 bytes are compared as the two words that they were hashed as.

use once_cell::race::OnceBox;

use crate::sync::{AtomicU64, Ordering};
use crate::word::{low_word, to_usize};

/// Slots from the place of a hash that may hold its entry: one cache line.
const PROBES: usize = 8;
/// Slots of the first table; each further one has eight times as many.
const FIRST_SLOTS: usize = 512;
/// Tables there can be: more than the most series of a segment need.
const TABLES: usize = 8;

/// An open set of keys with the handles that they resolved to.
pub(crate) struct Lookup<H> {
    seed: u64,
    /// The newest table.
    newest: AtomicU64,
    tables: [OnceBox<Table<H>>; TABLES],
    /// Slots of the largest table that may be made: what bounds the memory of keys that never end.
    slots_max: usize,
}

struct Table<H> {
    slots: Box<[OnceBox<Entry<H>>]>,
}

#[derive(Clone)]
struct Entry<H> {
    hash: u64,
    key: Box<[Part]>,
    handle: H,
}

/// What is asked for: something that hashes and compares like the parts it would be kept as.
pub(crate) trait Query {
    fn hash(&self, seed: u64) -> u64;
    fn is(&self, key: &[Part]) -> bool;
    fn key(&self) -> Box<[Part]>;
}

/// A key that was not in the newest table.
#[derive(Clone, Copy)]
pub(crate) struct Missed {
    hash: u64,
}

/// How an insertion ended.
enum Inserted<H> {
    New,
    Existing(H),
    /// There is no slot near the place of the hash.
    Crowded(Box<Entry<H>>),
}

impl<H: Copy> Lookup<H> {
    /// A lookup for some `keys_max` keys; far more than those are not remembered.
    pub(crate) fn new(keys_max: u64) -> Lookup<H> {
        use std::hash::{BuildHasher, Hasher};
        let keys_max = usize::try_from(keys_max).unwrap_or(usize::MAX);
        Lookup {
            // Label values may come from strangers: they must not know where they will be put.
            seed: std::hash::RandomState::new().build_hasher().finish(),
            newest: AtomicU64::new(0),
            tables: std::array::from_fn(|_| OnceBox::new()),
            slots_max: keys_max.saturating_mul(4).max(FIRST_SLOTS),
        }
    }

    /// The handle of a key that the newest table has.
    #[inline(always)]
    pub(crate) fn find(&self, query: &impl Query) -> Result<&H, Missed> {
        let hash = query.hash(self.seed);
        // Relaxed: a table is reached through its box, and one seen too late is a miss.
        let newest = to_usize(self.newest.load(Ordering::Relaxed));
        let table = self.tables.get(newest).and_then(OnceBox::get);
        match table.and_then(|table| table.find(hash, query)) {
            Some(entry) => Ok(&entry.handle),
            None => Err(Missed { hash }),
        }
    }

    /// The handle of a key that the newest table did not have, made where no table has it; and whether it is new.
    #[cold]
    #[inline(never)]
    pub(crate) fn remember(
        &self,
        missed: Missed,
        query: &impl Query,
        make: impl FnOnce() -> H,
    ) -> (H, bool) {
        let mut tables = self.tables.iter().rev().filter_map(OnceBox::get);
        let known = tables.find_map(|table| table.find(missed.hash, query));
        let entry = known.cloned().unwrap_or_else(|| Entry {
            hash: missed.hash,
            key: query.key(),
            handle: make(),
        });
        let (handle, is_new) = (entry.handle, known.is_none());
        match self.insert(Box::new(entry), query) {
            Some(existing) => (existing, false),
            None => (handle, is_new),
        }
    }

    /// Keeps an entry, where there is room for it; the handle of the one that was faster.
    fn insert(&self, mut entry: Box<Entry<H>>, query: &impl Query) -> Option<H> {
        let newest = to_usize(self.newest.load(Ordering::Relaxed));
        for (level, table) in self.tables.iter().enumerate().skip(newest) {
            let slots = FIRST_SLOTS << (3 * level);
            if level > 0 && slots / 8 >= self.slots_max {
                return None;
            }
            let table = table.get_or_init(|| Box::new(Table::new(slots)));
            self.newest.fetch_max(level as u64, Ordering::Relaxed);
            match table.insert(entry, query) {
                Inserted::New => return None,
                Inserted::Existing(handle) => return Some(handle),
                Inserted::Crowded(back) => entry = back,
            }
        }
        None
    }
}

impl<H: Copy> Table<H> {
    fn new(slots: usize) -> Table<H> {
        Table {
            slots: (0..slots).map(|_| OnceBox::new()).collect(),
        }
    }

    /// The slots where the entry of a hash may be, in order.
    #[inline(always)]
    fn near(&self, hash: u64) -> impl Iterator<Item = &OnceBox<Entry<H>>> {
        let mask = self.slots.len() - 1;
        // The middle bits of a product depend on all of both factors; the lowest only on the lowest.
        let start = to_usize(hash >> 32);
        (0..PROBES).map(move |step| &self.slots[start.wrapping_add(step) & mask])
    }

    #[inline(always)]
    fn find(&self, hash: u64, query: &impl Query) -> Option<&Entry<H>> {
        for slot in self.near(hash) {
            let entry = slot.get()?;
            if query.is(&entry.key) {
                return Some(entry);
            }
        }
        None
    }

    fn insert(&self, mut entry: Box<Entry<H>>, query: &impl Query) -> Inserted<H> {
        for slot in self.near(entry.hash) {
            match slot.set(entry) {
                Ok(()) => return Inserted::New,
                Err(back) => entry = back,
            }
            let found = slot.get().expect("a slot that refuses is set");
            if query.is(&found.key) {
                return Inserted::Existing(found.handle);
            }
        }
        Inserted::Crowded(entry)
    }
}

/// One part of a key: a text or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    digest: Digest,
    /// A text that its digest does not tell in full.
    long: Box<str>,
}

/// Shorter texts are told in full by two words.
const LONG: usize = 16;

/// All of a short text, or the ends of a long one; or a number.
///
/// Made once a lookup: the acquiring load of a slot keeps the compiler from using a text that it read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    first: u64,
    /// What is behind the first eight bytes, under their number; under 255 for a long text.
    rest: u64,
}

impl Digest {
    pub(crate) const EMPTY: Digest = Digest { first: 0, rest: 0 };

    #[inline(always)]
    pub(crate) fn of_number(number: i128) -> Digest {
        let number = number.cast_unsigned();
        Digest {
            first: low_word(number),
            rest: low_word(number >> 64),
        }
    }

    #[inline(always)]
    pub(crate) fn of(text: &str) -> Digest {
        let bytes = text.as_bytes();
        let length = bytes.len();
        let counted = (length as u64) << 56;
        match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => {
                let last = u64::from_le_bytes(*last) >> 8;
                let rest = match length {
                    ..LONG => last >> (8 * (LONG - 1 - length)) | counted,
                    LONG.. => last | 255 << 56,
                };
                let first = u64::from_le_bytes(*first);
                Digest { first, rest }
            }
            // No branch tells apart lengths that occur side by side, as those of methods and status codes do.
            _ if length >= 2 => Digest {
                first: four_pairs(bytes),
                rest: counted,
            },
            _ => Digest {
                first: bytes.first().map_or(0, |&byte| u64::from(byte)),
                rest: counted,
            },
        }
    }

    /// The hash of what this is the digest of, after others.
    #[inline(always)]
    pub(crate) fn hash(self, hash: u64, text: &str) -> u64 {
        let hash = match text.len() {
            ..LONG => hash,
            LONG.. => hash_long(hash, text),
        };
        fold(hash ^ self.first, self.rest ^ ODD)
    }
}

/// Two to seven bytes as four pairs that leave none out: both ends, and as far from each as half the text lets them be.
#[inline(always)]
fn four_pairs(bytes: &[u8]) -> u64 {
    let half = bytes.len() / 2 - 1;
    let pair = |pair: Option<&[u8; 2]>| pair.map_or(0, |pair| u64::from(u16::from_le_bytes(*pair)));
    // In slices, with which the compiler sees that the pairs are there.
    let (begin, end) = (bytes.split_at(bytes.len() - half).0, &bytes[half..]);
    let outer = pair(bytes.first_chunk()) | pair(bytes.last_chunk()) << 16;
    let inner = pair(begin.last_chunk()) | pair(end.first_chunk()) << 16;
    outer | inner << 32
}

impl Part {
    /// What this is the digest of, as it is kept.
    pub(crate) fn new(digest: Digest, text: &str) -> Part {
        let long = if text.len() < LONG { "" } else { text };
        Part {
            digest,
            long: long.into(),
        }
    }

    #[inline(always)]
    pub(crate) fn is(&self, digest: Digest, text: &str) -> bool {
        self.digest == digest && (text.len() < LONG || *self.long == *text)
    }
}

#[inline(never)]
fn hash_long(hash: u64, text: &str) -> u64 {
    let words = text.as_bytes().chunks_exact(8);
    words.fold(hash, |hash, word| {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        fold(hash ^ word, ODD)
    })
}

/// Digits of pi's square root, as any odd number of mixed bits would do.
const ODD: u64 = 0xc5bf_891b_4ef6_aa79;

/// The folded multiplication of wyhash (<https://github.com/wangyi-fudan/wyhash>): both halves of the product.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    low_word(product) ^ low_word(product >> 64)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(text: &str) -> Part {
        Part::new(Digest::of(text), text)
    }

    struct Texts<'a>(&'a [&'a str]);

    impl Query for Texts<'_> {
        fn hash(&self, seed: u64) -> u64 {
            self.0
                .iter()
                .fold(seed, |hash, text| Digest::of(text).hash(hash, text))
        }
        fn is(&self, key: &[Part]) -> bool {
            key.len() == self.0.len()
                && key
                    .iter()
                    .zip(self.0)
                    .all(|(part, text)| part.is(Digest::of(text), text))
        }
        fn key(&self) -> Box<[Part]> {
            self.0.iter().map(|text| part(text)).collect()
        }
    }

    /// A number alone.
    struct Numbered(i128);

    impl Query for Numbered {
        fn hash(&self, seed: u64) -> u64 {
            Digest::of_number(self.0).hash(seed, "")
        }
        fn is(&self, key: &[Part]) -> bool {
            key.len() == 1 && key[0].is(Digest::of_number(self.0), "")
        }
        fn key(&self) -> Box<[Part]> {
            [Part::new(Digest::of_number(self.0), "")].into()
        }
    }

    /// A query whose hash says nothing.
    struct Alike<'a>(&'a str);

    impl Query for Alike<'_> {
        fn hash(&self, _seed: u64) -> u64 {
            7
        }
        fn is(&self, key: &[Part]) -> bool {
            key[0].is(Digest::of(self.0), self.0)
        }
        fn key(&self) -> Box<[Part]> {
            [part(self.0)].into()
        }
    }

    fn learn<Q: Query>(lookup: &Lookup<usize>, query: &Q, handle: usize) -> (usize, bool) {
        match lookup.find(query) {
            Ok(found) => (*found, false),
            Err(missed) => lookup.remember(missed, query, || handle),
        }
    }

    #[test]
    fn every_key_is_remembered_once() {
        // One that is asked for by luck alone would be forgotten by some.
        let seeds = (1..64u64).map(|at| fold(at.wrapping_mul(ODD), ODD));
        let texts: Vec<String> = (0..5_000).map(|at| format!("/object/{at}")).collect();
        for seed in seeds.step_by(if cfg!(miri) { 64 } else { 1 }) {
            let mut lookup = Lookup::new(10_000);
            lookup.seed = seed;
            for expected in [5_000, 0] {
                let learnt = texts.iter().enumerate();
                let new = learnt.filter(|(at, text)| learn(&lookup, &Texts(&["GET", text]), *at).1);
                assert_eq!(new.count(), expected, "seed {seed:x}");
            }
            for expected in [5_000, 0] {
                let new = (0..5_000i128).filter(|&at| learn(&lookup, &Numbered(at), 0).1);
                assert_eq!(new.count(), expected, "seed {seed:x}");
            }
        }
        let mut lookup = Lookup::new(10_000);
        lookup.seed = ODD;
        for (at, text) in texts.iter().enumerate() {
            learn(&lookup, &Texts(&["GET", text]), at);
        }
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(learn(&lookup, &Texts(&["GET", text]), 0), (at, false));
            assert!(lookup.find(&Texts(&["PUT", text])).is_err());
        }
    }

    #[test]
    fn equal_hashes_are_told_apart_and_bounded() {
        let lookup = Lookup::new(10);
        let texts: Vec<String> = (0..200).map(|at| at.to_string()).collect();
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(learn(&lookup, &Alike(text), at), (at, true));
        }
        let known = texts
            .iter()
            .filter(|text| !learn(&lookup, &Alike(text), 999).1);
        assert_eq!(known.count(), PROBES, "one table's slots near one hash");
    }

    #[test]
    fn threads_agree_on_every_key() {
        let lookup = Lookup::new(1_000);
        let next = AtomicU64::new(0);
        let texts: Vec<String> = (0..if cfg!(miri) { 40 } else { 1_000 })
            .map(|at| at.to_string())
            .collect();
        let learn_all = || -> Vec<usize> {
            let make = || to_usize(next.fetch_add(1, Ordering::Relaxed));
            texts
                .iter()
                .map(|text| learn(&lookup, &Texts(&[text]), make()).0)
                .collect()
        };
        let learnt: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(learn_all));
            threads.map(|thread| thread.join().unwrap()).into()
        });
        let last = learn_all();
        let found: std::collections::HashSet<usize> = last.iter().copied().collect();
        assert_eq!(found.len(), texts.len(), "no two keys share a handle");
        assert!(learnt.iter().all(|handles| handles.len() == last.len()));
    }

    #[test]
    fn long_texts_with_equal_ends_are_told_apart() {
        let (a, b) = ("/objects/1/details", "/objects/2/details");
        assert_eq!(Digest::of(a), Digest::of(b));
        assert!(part(a).is(Digest::of(a), a) && !part(a).is(Digest::of(b), b));
    }

    proptest! {
        #[test]
        fn a_digest_tells_short_texts_apart(a in "[a\0]{0,15}", b in "[a\0]{0,15}|\\PC{16,20}") {
            prop_assert_eq!(Digest::of(&a) == Digest::of(&b), a == b);
            prop_assert_eq!(part(&a).is(Digest::of(&b), &b), a == b);
        }

        #[test]
        fn a_part_is_its_text_only(a in "\\PC{0,40}", b in "\\PC{0,40}") {
            prop_assert!(part(&a).is(Digest::of(&a), &a));
            prop_assert_eq!(part(&a).is(Digest::of(&b), &b), a == b);
        }
    }
}
