//! What a lookup is asked for: labels by name, or a set of one type.

use std::borrow::Cow;
use std::iter::Zip;
use std::slice;

use crate::lookup::{Digest, Part, Query, hash_two};
use crate::sets::{LabelSet, LabelValue, LabelVisitor};

/// Labels of a type of label sets: more than any should have.
const LABELS: usize = 16;

/// Labels by name, in any order.
pub(crate) struct Pairs<'a, const N: usize> {
    labels: [(&'a str, &'a str); N],
    digests: [(Digest, Digest); N],
}

/// Loops, because the compiler leaves adapters over arrays out of line.
impl<'a, const N: usize> Pairs<'a, N> {
    #[inline(always)]
    pub(crate) fn new(labels: [(&'a str, &'a str); N]) -> Pairs<'a, N> {
        let mut digests = [(Digest::EMPTY, Digest::EMPTY); N];
        for (digest, (name, value)) in digests.iter_mut().zip(labels) {
            *digest = (Digest::of(name), Digest::of(value));
        }
        Pairs { labels, digests }
    }

    #[inline(always)]
    pub(crate) fn hash(&self, seed: u64) -> u64 {
        let mut sum = 0u64;
        for ((name, value), (of_name, of_value)) in self.labels.iter().zip(self.digests) {
            let (name, value) = (of_name.word(seed, name), of_value.word(seed, value));
            // A sum, because the order does not matter.
            sum = sum.wrapping_add(hash_two(seed, name, value));
        }
        sum
    }

    #[inline(always)]
    fn is_at(&self, at: usize, [name, value]: &[Part; 2]) -> bool {
        let (of_name, of_value) = self.digests[at];
        name.is_text(of_name, self.labels[at].0) && value.is_text(of_value, self.labels[at].1)
    }

    /// The labels in an order that does not depend on the one they were given in.
    pub(crate) fn key(&self) -> Box<[Part]> {
        let pairs = self.labels.iter().zip(self.digests);
        let pairs = pairs.map(|((name, value), (of_name, of_value))| {
            [Part::new(of_name, name), Part::new(of_value, value)]
        });
        let mut pairs: Vec<[Part; 2]> = pairs.collect();
        pairs.sort_unstable();
        pairs.into_iter().flatten().collect()
    }

    #[inline(never)]
    fn is_anywhere(&self, part: &[Part; 2]) -> bool {
        (0..N).any(|at| self.is_at(at, part))
    }
}

impl<const N: usize> Query for Pairs<'_, N> {
    /// Every name of a key is there once, so as many labels that cover the key are the same set.
    #[inline(always)]
    fn is(&self, key: &[Part]) -> bool {
        let (kept, _) = key.as_chunks::<2>();
        if kept.len() != N {
            return false;
        }
        for (at, part) in kept.iter().enumerate() {
            if !self.is_at(at, part) && !self.is_anywhere(part) {
                return false;
            }
        }
        true
    }
}

/// A set of one type, whose names go without saying.
pub(crate) struct Typed<'a, L> {
    labels: &'a L,
    digests: [Digest; LABELS],
    hash: u64,
}

impl<'a, L: LabelSet> Typed<'a, L> {
    #[inline(always)]
    pub(crate) fn new(labels: &'a L, seed: u64) -> Typed<'a, L> {
        const {
            assert!(
                L::NAMES.len() <= LABELS,
                "a label set has at most 16 labels"
            )
        };
        let mut digested = Digested {
            seed,
            labels: 0,
            digests: [Digest::EMPTY; LABELS],
            words: [0; LABELS],
        };
        labels.visit(&mut digested);
        let words = digested.words[..L::NAMES.len()].chunks(2);
        let hash = words.fold(seed, |hash, words| match words {
            [first, second] => hash_two(hash, *first, *second),
            _ => hash_two(hash, words[0], 0),
        });
        Typed {
            labels,
            digests: digested.digests,
            hash,
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

impl<L: LabelSet> Query for Typed<'_, L> {
    #[inline(always)]
    fn is(&self, key: &[Part]) -> bool {
        // Of one type, all sets have as many labels; said once, it is not asked for each label.
        if key.len() != L::NAMES.len() {
            return false;
        }
        let mut compared = Compared {
            parts: key.iter().zip(&self.digests),
            are_equal: true,
        };
        self.labels.visit(&mut compared);
        compared.are_equal
    }
}

/// The values of a set as digests, and as the words of its hash.
struct Digested {
    seed: u64,
    labels: usize,
    digests: [Digest; LABELS],
    words: [u64; LABELS],
}

impl Digested {
    #[inline(always)]
    fn push(&mut self, digest: Digest, word: u64) {
        self.digests[self.labels] = digest;
        self.words[self.labels] = word;
        self.labels += 1;
    }
}

impl LabelVisitor for Digested {
    #[inline(always)]
    fn text(&mut self, value: &str) {
        let digest = Digest::of(value);
        self.push(digest, digest.word(self.seed, value));
    }

    #[inline(always)]
    fn number(&mut self, value: i128) {
        let digest = Digest::of_number(value);
        self.push(digest, digest.mixed(self.seed));
    }

    #[inline(always)]
    fn bounded<V: LabelValue>(&mut self, value: V) {
        let index = value.index();
        // Few, and not of anybody's choice.
        self.push(Digest::of_number(index as i128), index as u64);
    }
}

/// The values of a set beside the parts of a key.
struct Compared<'a> {
    parts: Zip<slice::Iter<'a, Part>, slice::Iter<'a, Digest>>,
    are_equal: bool,
}

impl Compared<'_> {
    #[inline(always)]
    fn next(&mut self, is: impl FnOnce(&Part, Digest) -> bool) {
        let next = self.parts.next();
        self.are_equal = self.are_equal && next.is_some_and(|(part, digest)| is(part, *digest));
    }
}

impl LabelVisitor for Compared<'_> {
    #[inline(always)]
    fn text(&mut self, value: &str) {
        self.next(|part, digest| part.is_text(digest, value));
    }

    #[inline(always)]
    fn number(&mut self, _value: i128) {
        self.next(Part::is_number);
    }

    #[inline(always)]
    fn bounded<V: LabelValue>(&mut self, _value: V) {
        self.next(Part::is_number);
    }
}

/// The values of a set of one type, written down: by now the set itself need be nowhere in memory.
pub(crate) struct Written {
    pub(crate) key: Vec<Part>,
    pub(crate) texts: Vec<Cow<'static, str>>,
}

impl Written {
    #[inline(always)]
    pub(crate) fn of<L: LabelSet>(labels: &L) -> Written {
        let mut written = Written::with_capacity(L::NAMES.len());
        labels.visit(&mut written);
        written
    }

    #[cold]
    #[inline(never)]
    fn with_capacity(labels: usize) -> Written {
        Written {
            key: Vec::with_capacity(labels),
            texts: Vec::with_capacity(labels),
        }
    }

    fn push(&mut self, part: Part, text: Cow<'static, str>) {
        self.key.push(part);
        self.texts.push(text);
    }

    fn push_number(&mut self, number: i128, text: Cow<'static, str>) {
        self.push(Part::new(Digest::of_number(number), ""), text);
    }
}

impl LabelVisitor for Written {
    #[cold]
    #[inline(never)]
    fn text(&mut self, value: &str) {
        self.push(Part::new(Digest::of(value), value), value.to_owned().into());
    }

    #[cold]
    #[inline(never)]
    fn number(&mut self, value: i128) {
        self.push_number(value, value.to_string().into());
    }

    #[cold]
    #[inline(never)]
    fn bounded<V: LabelValue>(&mut self, value: V) {
        let index = value.index();
        self.push_number(index as i128, V::text(index));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_not_one_that_it_is_part_of() {
        let small = Pairs::new([("a", "1")]);
        let large = Pairs::new([("b", "2"), ("a", "1")]);
        assert!(small.is(&small.key()) && large.is(&large.key()));
        assert!(!large.is(&small.key()));
        assert!(!small.is(&large.key()));
        assert!(large.is(&Pairs::new([("a", "1"), ("b", "2")]).key()));
    }
}
