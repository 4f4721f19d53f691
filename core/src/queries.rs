//! What a lookup is asked for: labels by name, or a set of one type.

use crate::lookup::{Digest, Part, Query};
use crate::sets::{LabelSet, LabelValue, LabelVisitor};

/// Labels of a type of label sets: more than any should have.
const DIGESTS: usize = 16;

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
    fn is_at(&self, at: usize, [name, value]: &[Part; 2]) -> bool {
        let (of_name, of_value) = self.digests[at];
        name.is(of_name, self.labels[at].0) && value.is(of_value, self.labels[at].1)
    }

    #[inline(never)]
    fn is_anywhere(&self, part: &[Part; 2]) -> bool {
        (0..N).any(|at| self.is_at(at, part))
    }
}

impl<const N: usize> Query for Pairs<'_, N> {
    #[inline(always)]
    fn hash(&self, seed: u64) -> u64 {
        let mut sum = 0u64;
        for ((name, value), (of_name, of_value)) in self.labels.iter().zip(self.digests) {
            // A sum, because the order does not matter.
            sum = sum.wrapping_add(of_value.hash(of_name.hash(seed, name), value));
        }
        sum
    }

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

    fn key(&self) -> Box<[Part]> {
        let pairs = self.labels.iter().zip(self.digests);
        let parts = pairs.flat_map(|((name, value), (of_name, of_value))| {
            [Part::new(of_name, name), Part::new(of_value, value)]
        });
        parts.collect()
    }
}

/// A set of one type, whose names go without saying.
pub(crate) struct Typed<'a, L> {
    labels: &'a L,
    digests: [Digest; DIGESTS],
}

impl<'a, L: LabelSet> Typed<'a, L> {
    #[inline(always)]
    pub(crate) fn new(labels: &'a L) -> Typed<'a, L> {
        const {
            assert!(
                L::NAMES.len() <= DIGESTS,
                "a label set has at most 16 labels"
            )
        };
        let mut digests = [Digest::EMPTY; DIGESTS];
        let mut at = 0;
        labels.visit(&mut Each(|value: Value<'_>| {
            digests[at] = value.digest();
            at += 1;
        }));
        Typed { labels, digests }
    }

    /// Shows every value with its digest.
    #[inline(always)]
    fn each(&self, mut show: impl FnMut(Digest, &str)) {
        let mut at = 0;
        self.labels.visit(&mut Each(|value: Value<'_>| {
            let text = match value {
                Value::Text(text) => text,
                Value::Number(_) => "",
            };
            show(self.digests[at], text);
            at += 1;
        }));
    }
}

impl<L: LabelSet> Query for Typed<'_, L> {
    #[inline(always)]
    fn hash(&self, seed: u64) -> u64 {
        let mut hash = seed;
        self.each(|digest, text| hash = digest.hash(hash, text));
        hash
    }

    #[inline(always)]
    fn is(&self, key: &[Part]) -> bool {
        // Of one type, all sets have as many labels; said once, it is not asked for each label.
        if key.len() != L::NAMES.len() {
            return false;
        }
        let mut parts = key.iter();
        let mut is = true;
        self.each(|digest, text| {
            is = is && parts.next().is_some_and(|part| part.is(digest, text));
        });
        is
    }

    fn key(&self) -> Box<[Part]> {
        let mut key = Vec::with_capacity(L::NAMES.len());
        self.each(|digest, text| key.push(Part::new(digest, text)));
        key.into()
    }
}

/// A value of a label set.
enum Value<'a> {
    Text(&'a str),
    /// A number, or the place of a value in its domain.
    Number(i128),
}

impl Value<'_> {
    #[inline(always)]
    fn digest(&self) -> Digest {
        match self {
            Value::Text(text) => Digest::of(text),
            Value::Number(number) => Digest::of_number(*number),
        }
    }
}

/// A visitor that hands every value on.
struct Each<F>(F);

impl<F: FnMut(Value<'_>)> LabelVisitor for Each<F> {
    #[inline(always)]
    fn text(&mut self, value: &str) {
        self.0(Value::Text(value));
    }

    #[inline(always)]
    fn number(&mut self, value: i128) {
        self.0(Value::Number(value));
    }

    #[inline(always)]
    fn bounded<V: LabelValue>(&mut self, value: V) {
        self.0(Value::Number(value.index() as i128));
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
