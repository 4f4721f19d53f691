//! Labels of many series: texts in one piece, each kept once, and a label is two numbers.
//!
//! A hundred thousand series share their names and most of their values. All of them lie on one [`Shelf`]; the
//! [`Labels`] of a series are a range of it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

/// One name and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label<'a> {
    /// The name.
    pub name: &'a str,
    /// The value, any UTF-8.
    pub value: &'a str,
}

/// The labels of one series, sorted by name.
#[derive(Clone, Default)]
pub struct Labels {
    shelf: Arc<Shelf>,
    place: Place,
}

/// Texts, and the pairs of them that labels are.
#[derive(Debug)]
pub(crate) struct Shelf {
    texts: String,
    /// Where each text begins, and where the last one ends.
    cuts: Vec<u32>,
    /// Name and value of each label: the numbers of their texts.
    labels: Vec<[u32; 2]>,
}

/// Where the labels of a series are on their shelf.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    first: u32,
    count: u32,
}

/// A shelf that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    shelf: Shelf,
    /// Texts by their hashes. Of two texts with one hash the second is kept as often as it comes.
    known: HashMap<u64, u32>,
    hasher: RandomState,
}

impl Default for Shelf {
    fn default() -> Self {
        Shelf {
            texts: String::new(),
            cuts: vec![0],
            labels: Vec::new(),
        }
    }
}

impl Shelf {
    fn text(&self, number: u32) -> &str {
        let at = number as usize;
        &self.texts[self.cuts[at] as usize..self.cuts[at + 1] as usize]
    }

    fn push(&mut self, text: &str) -> Option<u32> {
        let number = u32::try_from(self.cuts.len() - 1).ok()?;
        let end = u32::try_from(self.texts.len() + text.len()).ok()?;
        self.texts.push_str(text);
        self.cuts.push(end);
        Some(number)
    }

    /// The labels that were put at `place`.
    pub(crate) fn labels(self: &Arc<Self>, place: Place) -> Labels {
        Labels {
            shelf: Arc::clone(self),
            place,
        }
    }
}

impl Filling {
    /// Puts labels on the shelf, in their order; `None` where it is full.
    pub(crate) fn put<'a>(&mut self, labels: impl IntoIterator<Item = Label<'a>>) -> Option<Place> {
        let first = self.shelf.labels.len();
        for label in labels {
            let label = [self.number_of(label.name)?, self.number_of(label.value)?];
            self.shelf.labels.push(label);
        }
        let count = self.shelf.labels.len() - first;
        Some(Place {
            first: u32::try_from(first).ok()?,
            count: u32::try_from(count).ok()?,
        })
    }

    fn number_of(&mut self, text: &str) -> Option<u32> {
        match self.known.entry(self.hasher.hash_one(text)) {
            Entry::Occupied(known) if self.shelf.text(*known.get()) == text => Some(*known.get()),
            Entry::Occupied(_) => self.shelf.push(text),
            Entry::Vacant(entry) => Some(*entry.insert(self.shelf.push(text)?)),
        }
    }

    /// The shelf with all that was put on it.
    pub(crate) fn done(mut self) -> Arc<Shelf> {
        self.shelf.texts.shrink_to_fit();
        self.shelf.cuts.shrink_to_fit();
        self.shelf.labels.shrink_to_fit();
        Arc::new(self.shelf)
    }
}

/// Puts the labels of many series on one shelf.
pub(crate) fn gather<'a>(all: impl Iterator<Item = &'a mut Labels>) {
    let mut filling = Filling::default();
    let mut put = |labels: &'a mut Labels| {
        let place = filling.put(labels.iter())?;
        Some((labels, place))
    };
    let placed: Vec<_> = all.map_while(&mut put).collect();
    let shelf = filling.done();
    for (labels, place) in placed {
        *labels = shelf.labels(place);
    }
}

impl Labels {
    /// The labels, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Label<'_>> + Clone {
        self.numbers().iter().map(|&[name, value]| Label {
            name: self.shelf.text(name),
            value: self.shelf.text(value),
        })
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.place.count as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.place.count == 0
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self.iter().find(|label| label.name == name);
        named.map(|label| label.value)
    }

    /// Whether these are the labels, sorted by name.
    pub(crate) fn is(&self, sorted: &[(&str, &str)]) -> bool {
        let labels = self.iter().map(|label| (label.name, label.value));
        labels.eq(sorted.iter().copied())
    }

    fn numbers(&self) -> &[[u32; 2]] {
        let first = self.place.first as usize;
        &self.shelf.labels[first..first + self.len()]
    }
}

/// Labels in any order.
impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(labels: T) -> Labels {
        let given: Vec<(N, V)> = labels.into_iter().collect();
        let labels = given.iter().map(|(name, value)| Label {
            name: name.as_ref(),
            value: value.as_ref(),
        });
        let mut labels: Vec<Label<'_>> = labels.collect();
        labels.sort_unstable();
        let mut filling = Filling::default();
        let place = filling.put(labels).expect("a series has few labels");
        filling.done().labels(place)
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        // Series of one family begin with the same labels; what is the same on one shelf needs no look at the text.
        let same = |(a, b): &(&[u32; 2], &[u32; 2])| a == b;
        let both = || self.numbers().iter().zip(other.numbers());
        let skipped = match Arc::ptr_eq(&self.shelf, &other.shelf) {
            true => both().take_while(same).count(),
            false => 0,
        };
        self.iter().skip(skipped).cmp(other.iter().skip(skipped))
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Labels {}

impl fmt::Debug for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.iter().map(|label| (label.name, label.value));
        formatter.debug_map().entries(labels).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    fn put(filling: &mut Filling, pairs: &[(&str, &str)]) -> Place {
        filling.put(labels(pairs).iter()).unwrap()
    }

    #[test]
    fn labels_are_sorted_and_found() {
        let some = labels(&[("b", "2"), ("a", "1")]);
        assert_eq!(format!("{some:?}"), r#"{"a": "1", "b": "2"}"#);
        assert_eq!((some.get("b"), some.get("c")), (Some("2"), None));
        assert!(labels(&[]).is_empty() && Labels::default() == labels(&[]));
    }

    #[test]
    fn a_text_is_kept_once() {
        let mut filling = Filling::default();
        let places = [
            put(&mut filling, &[("a", "x"), ("b", "a")]),
            put(&mut filling, &[("a", "y"), ("b", "a")]),
            put(&mut filling, &[]),
        ];
        let shelf = filling.done();
        assert_eq!(shelf.texts, "axby");
        let read = places.map(|place| shelf.labels(place));
        assert_eq!(read[0], labels(&[("a", "x"), ("b", "a")]));
        assert_eq!(read[1].get("a"), Some("y"));
        assert_eq!(read[2].len(), 0);
    }

    #[test]
    fn texts_of_one_hash_are_not_taken_for_each_other() {
        let mut filling = Filling::default();
        let place = put(&mut filling, &[("a", "1")]);
        let of_b = filling.hasher.hash_one("b");
        filling.known.insert(of_b, 0);
        let other = put(&mut filling, &[("b", "2")]);
        let shelf = filling.done();
        assert_eq!(shelf.labels(place), labels(&[("a", "1")]));
        assert_eq!(shelf.labels(other), labels(&[("b", "2")]));
    }

    #[test]
    fn order_is_that_of_the_texts() {
        let sets: [&[(&str, &str)]; 5] = [
            &[],
            &[("a", "1")],
            &[("a", "1"), ("b", "1")],
            &[("a", "2")],
            &[("b", "1")],
        ];
        let alone: Vec<Labels> = sets.iter().map(|set| labels(set)).collect();
        let mut together = alone.clone();
        // In another order, so that the numbers of the texts are not in theirs.
        gather(together.iter_mut().rev());
        for (at, one) in together.iter().enumerate() {
            for (other_at, other) in together.iter().enumerate() {
                assert_eq!(one.cmp(other), at.cmp(&other_at));
                assert_eq!(one.cmp(&alone[other_at]), at.cmp(&other_at));
            }
        }
    }
}
