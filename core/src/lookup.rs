//! The label sets that this process has used, each with its handle.
//!
//! The simple version is a hash map behind a lock. The real one is read without a lock, a write or an allocation:
//! a chain of open-addressing tables whose slots are set once and never change. A lookup looks into the last
//! table only. Where an insertion finds no slot near the place of its hash, a larger table is put behind it;
//! what an earlier table knows is copied there when it is next asked for. A child forked in the middle of an
//! insertion finds the tables whole, because no step leaves anything that another one must finish.
//!
//! Texts of up to 16 bytes are compared as the words that they were hashed as.

use std::hash::{BuildHasher, Hasher, RandomState};

use once_cell::race::OnceBox;

use crate::word::{low_word, to_usize};

/// Slots from the place of a hash that may hold its entry: one cache line.
const PROBES: usize = 8;
/// Slots of the first table: enough that some twenty series rarely meet.
const FIRST_SLOTS: usize = 1024;
/// How many times as many the next table has.
const GROWTH: usize = 8;

/// An open set of keys with the handles that they resolved to.
pub(crate) struct Lookup<H> {
    seed: u64,
    first: OnceBox<[Slot<H>; FIRST_SLOTS]>,
    larger: OnceBox<Larger<H>>,
    /// Slots of the largest table that may be made: what bounds the memory of keys that never end.
    slots_max: usize,
}

/// A table behind the first one.
struct Larger<H> {
    slots: Box<[Slot<H>]>,
    larger: OnceBox<Larger<H>>,
}

type Slot<H> = OnceBox<Entry<H>>;

struct Entry<H> {
    hash: u64,
    key: Box<[Part]>,
    handle: H,
}

/// What is asked for: something that compares like the parts it would be kept as.
pub(crate) trait Query {
    fn is(&self, key: &[Part]) -> bool;
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
        let keys_max = usize::try_from(keys_max).unwrap_or(usize::MAX);
        Lookup {
            // Label values may come from strangers: they must not know where they will be put.
            seed: RandomState::new().build_hasher().finish(),
            first: OnceBox::new(),
            larger: OnceBox::new(),
            slots_max: keys_max.saturating_mul(4).max(FIRST_SLOTS),
        }
    }

    /// What the hashes of its keys begin with.
    #[inline(always)]
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The handle of a key with its hash, if the last table has it.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, query: &impl Query) -> Option<&H> {
        let slots = match self.larger().last() {
            None => self.first.get()?,
            Some(last) => &*last.slots,
        };
        Some(&find(slots, hash, query)?.handle)
    }

    #[inline(always)]
    fn larger(&self) -> impl Iterator<Item = &Larger<H>> {
        std::iter::successors(self.larger.get(), |table| table.larger.get())
    }

    /// The handle of a key that the last table may not have, made where no table has it; and whether it is new.
    #[cold]
    #[inline(never)]
    pub(crate) fn remember(
        &self,
        hash: u64,
        key: Box<[Part]>,
        make: impl FnOnce() -> H,
    ) -> (H, bool) {
        let first = self.first.get().map(|slots| &slots[..]);
        let larger = self.larger().map(|table| &*table.slots);
        let mut tables = first.into_iter().chain(larger);
        let known = tables.find_map(|slots| find(slots, hash, &key));
        let (handle, is_new) = known.map_or_else(|| (make(), true), |known| (known.handle, false));
        match self.insert(Box::new(Entry { hash, key, handle })) {
            Some(existing) => (existing, false),
            None => (handle, is_new),
        }
    }

    /// Keeps an entry, where there is room for it; the handle of the one that was faster.
    fn insert(&self, mut entry: Box<Entry<H>>) -> Option<H> {
        let first = || Box::new([const { OnceBox::new() }; FIRST_SLOTS]);
        let (mut slots, mut larger) = match self.larger().last() {
            None => (&self.first.get_or_init(first)[..], &self.larger),
            Some(last) => (&*last.slots, &last.larger),
        };
        loop {
            match insert(slots, entry) {
                Inserted::New => return None,
                Inserted::Existing(handle) => return Some(handle),
                Inserted::Crowded(back) => entry = back,
            }
            if slots.len() >= self.slots_max {
                return None;
            }
            let table = larger.get_or_init(|| Box::new(Larger::new(slots.len() * GROWTH)));
            (slots, larger) = (&table.slots, &table.larger);
        }
    }
}

impl<H> Larger<H> {
    fn new(slots: usize) -> Larger<H> {
        Larger {
            slots: (0..slots).map(|_| OnceBox::new()).collect(),
            larger: OnceBox::new(),
        }
    }
}

/// The slots where the entry of a hash may be, in order.
#[inline(always)]
fn near<H>(slots: &[Slot<H>], hash: u64) -> impl Iterator<Item = &Slot<H>> {
    let mask = slots.len() - 1;
    // The middle bits of a product depend on all of both factors; the lowest only on the lowest.
    let start = to_usize(hash >> 32);
    (0..PROBES).map(move |step| &slots[start.wrapping_add(step) & mask])
}

#[inline(always)]
fn find<'a, H>(slots: &'a [Slot<H>], hash: u64, query: &impl Query) -> Option<&'a Entry<H>> {
    for slot in near(slots, hash) {
        let entry = slot.get()?;
        if query.is(&entry.key) {
            return Some(entry);
        }
    }
    None
}

fn insert<H: Copy>(slots: &[Slot<H>], mut entry: Box<Entry<H>>) -> Inserted<H> {
    for slot in near(slots, entry.hash) {
        match slot.set(entry) {
            Ok(()) => return Inserted::New,
            Err(back) => entry = back,
        }
        let found = slot.get().expect("a slot that refuses is set");
        if found.key == entry.key {
            return Inserted::Existing(found.handle);
        }
    }
    Inserted::Crowded(entry)
}

/// One part of a key: a text or a number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    digest: Digest,
    /// Of the text; 0 for a number.
    length: usize,
    /// A text that its digest and its length do not tell in full.
    long: Box<str>,
}

/// Texts of up to 16 bytes are told in full by their length and two words; those of fewer than 8 by one.
const WORD: usize = 8;
const TWO_WORDS: usize = 16;

/// All of a text but its length, or the ends of a long one; or a number.
///
/// Made once a lookup: the acquiring load of a slot keeps the compiler from using a text that it read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest {
    first: u64,
    /// The last eight bytes of a text, or the upper half of a number.
    last: u64,
}

impl Digest {
    pub(crate) const EMPTY: Digest = Digest { first: 0, last: 0 };

    #[inline(always)]
    pub(crate) fn of_number(number: i128) -> Digest {
        let number = number.cast_unsigned();
        Digest {
            first: low_word(number),
            last: low_word(number >> 64),
        }
    }

    #[inline(always)]
    pub(crate) fn of(text: &str) -> Digest {
        let bytes = text.as_bytes();
        let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            // No branch tells apart lengths that occur side by side, as those of methods and status codes do.
            _ if bytes.len() >= 2 => (four_pairs(bytes), 0),
            _ => (bytes.first().map_or(0, |&byte| u64::from(byte)), 0),
        };
        Digest { first, last }
    }

    /// A word for the hash of a text: a short one as it is, another hashed.
    #[inline(always)]
    pub(crate) fn word(self, seed: u64, text: &str) -> u64 {
        match text.len() {
            ..WORD => self.first,
            WORD..=TWO_WORDS => self.mixed(seed),
            _ => hash_long(seed, text) ^ self.mixed(seed),
        }
    }

    /// Both words as one.
    #[inline(always)]
    pub(crate) fn mixed(self, seed: u64) -> u64 {
        hash_two(seed, self.first, self.last)
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

/// A key asks for itself.
impl Query for Box<[Part]> {
    fn is(&self, key: &[Part]) -> bool {
        **self == *key
    }
}

impl Part {
    /// What this is the digest of, as it is kept.
    pub(crate) fn new(digest: Digest, text: &str) -> Part {
        let is_long = text.len() > TWO_WORDS;
        Part {
            digest,
            length: text.len(),
            long: if is_long { text } else { "" }.into(),
        }
    }

    #[inline(always)]
    pub(crate) fn is_text(&self, digest: Digest, text: &str) -> bool {
        self.length == text.len()
            && self.digest.first == digest.first
            && (text.len() < WORD || self.digest.last == digest.last)
            && (text.len() <= TWO_WORDS || *self.long == *text)
    }

    #[inline(always)]
    pub(crate) fn is_number(&self, digest: Digest) -> bool {
        self.digest == digest
    }
}

#[inline(never)]
fn hash_long(seed: u64, text: &str) -> u64 {
    let (words, _) = text.as_bytes().as_chunks();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.fold(seed, |hash, word| hash_two(hash, word, 0))
}

/// The hash of two words, after others. No text has the bytes of `ODD` for a word, so no factor is zero by design.
#[inline(always)]
pub(crate) fn hash_two(hash: u64, first: u64, second: u64) -> u64 {
    fold(hash ^ first, second ^ ODD)
}

/// Digits of pi's square root, as any odd number of mixed bits would do. One drawn by lot may spread numbers that
/// follow one another badly.
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
    use crate::sync::{AtomicU64, Ordering};
    use proptest::prelude::*;

    fn part(text: &str) -> Part {
        Part::new(Digest::of(text), text)
    }

    trait Asked: Query {
        fn hash(&self, seed: u64) -> u64;
        fn key(&self) -> Box<[Part]>;
    }

    struct Texts<'a>(&'a [&'a str]);

    impl Query for Texts<'_> {
        fn is(&self, key: &[Part]) -> bool {
            key.len() == self.0.len()
                && key
                    .iter()
                    .zip(self.0)
                    .all(|(part, text)| part.is_text(Digest::of(text), text))
        }
    }

    impl Asked for Texts<'_> {
        fn hash(&self, seed: u64) -> u64 {
            let words = self.0.iter().map(|text| Digest::of(text).word(seed, text));
            words.fold(seed, |hash, word| hash_two(hash, word, 0))
        }

        fn key(&self) -> Box<[Part]> {
            self.0.iter().map(|text| part(text)).collect()
        }
    }

    /// A number alone.
    struct Numbered(i128);

    impl Query for Numbered {
        fn is(&self, key: &[Part]) -> bool {
            key.len() == 1 && key[0].is_number(Digest::of_number(self.0))
        }
    }

    impl Asked for Numbered {
        fn hash(&self, seed: u64) -> u64 {
            Digest::of_number(self.0).mixed(seed)
        }

        fn key(&self) -> Box<[Part]> {
            [Part::new(Digest::of_number(self.0), "")].into()
        }
    }

    /// A query whose hash says nothing.
    struct Alike<'a>(&'a str);

    impl Query for Alike<'_> {
        fn is(&self, key: &[Part]) -> bool {
            key[0].is_text(Digest::of(self.0), self.0)
        }
    }

    impl Asked for Alike<'_> {
        fn hash(&self, _seed: u64) -> u64 {
            7
        }

        fn key(&self) -> Box<[Part]> {
            [part(self.0)].into()
        }
    }

    fn learn<Q: Asked>(lookup: &Lookup<usize>, query: &Q, handle: usize) -> (usize, bool) {
        let hash = query.hash(lookup.seed);
        match lookup.find(hash, query) {
            Some(found) => (*found, false),
            None => lookup.remember(hash, query.key(), || handle),
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
            let found = texts.iter().map(|text| ["GET", text]);
            let found = found.filter(|texts| {
                lookup
                    .find(Texts(texts).hash(seed), &Texts(texts))
                    .is_some()
            });
            assert_eq!(found.count(), 5_000, "seed {seed:x}");
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
            let other = Texts(&["PUT", text]);
            assert!(lookup.find(other.hash(lookup.seed), &other).is_none());
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
        assert!(part(a).is_text(Digest::of(a), a) && !part(a).is_text(Digest::of(b), b));
    }

    proptest! {
        #[test]
        fn a_digest_and_a_length_tell_texts_of_two_words_apart(a in "[a\0]{0,16}", b in "[a\0]{0,16}") {
            prop_assert_eq!(Digest::of(&a) == Digest::of(&b) && a.len() == b.len(), a == b);
            prop_assert_eq!(part(&a).is_text(Digest::of(&b), &b), a == b);
        }

        #[test]
        fn a_part_is_its_text_only(a in "\\PC{0,40}", b in "\\PC{0,40}") {
            prop_assert!(part(&a).is_text(Digest::of(&a), &a));
            prop_assert_eq!(part(&a).is_text(Digest::of(&b), &b), a == b);
        }
    }
}
