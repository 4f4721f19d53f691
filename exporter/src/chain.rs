//! Texts that begin alike: of each, what differs is kept.
//!
//! A text is the beginning of an earlier one, its *base*, and a rest. Bases are the texts without a beginning in common
//! with their own base, and those behind which texts begin to differ more from that than from each other.

use std::slice::Iter;

/// Many texts, in their order.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// What each text has behind the beginning that it shares.
    rests: Vec<u8>,
    links: Vec<Link>,
    /// The base, the last text, and room for the next.
    base: Vec<u8>,
    last: Vec<u8>,
    next: Vec<u8>,
}

/// How many bytes a text shares with its base, and how many follow. What shares nothing is the next base.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    shared: u32,
    rest: u32,
}

/// So much more must a text share with the last one than with the base to become the next base.
const GAIN_MIN: usize = 16;

impl Chain {
    /// Adds the text that `write` appends.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.next.clear();
        write(&mut self.next);
        let mut shared = shared(&self.base, &self.next);
        if shared + GAIN_MIN < self::shared(&self.last, &self.next) {
            shared = 0;
        }
        let rest = &self.next[shared..];
        self.rests.extend_from_slice(rest);
        // Strings in a segment are far shorter than 4 GiB, so the beginning of a line is.
        let length = |bytes: usize| u32::try_from(bytes).expect("a text is shorter than 4 GiB");
        self.links.push(Link {
            shared: length(shared),
            rest: length(rest.len()),
        });
        std::mem::swap(&mut self.last, &mut self.next);
        if shared == 0 {
            self.base.clone_from(&self.last);
        }
    }

    /// Gives back the memory that only adding needs.
    pub(crate) fn finish(&mut self) {
        (self.base, self.last, self.next) = (Vec::new(), Vec::new(), Vec::new());
        self.rests.shrink_to_fit();
        self.links.shrink_to_fit();
    }

    /// How many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// All texts, from the first.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk {
            base: &[],
            rests: &self.rests,
            links: self.links.iter(),
        }
    }
}

/// How many bytes both begin with.
fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A walk over a chain.
pub(crate) struct Walk<'a> {
    /// The base, and what follows it.
    base: &'a [u8],
    /// The rests that are still to come.
    rests: &'a [u8],
    links: Iter<'a, Link>,
}

impl<'a> Walk<'a> {
    /// The next text; an empty one behind the end.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Text<'a> {
        let link = self.links.next().copied().unwrap_or_default();
        let text = Text {
            base: self.base,
            shared: link.shared as usize,
            rests: self.rests,
            rest: link.rest as usize,
        };
        if text.shared == 0 {
            self.base = self.rests;
        }
        self.rests = &self.rests[text.rest..];
        text
    }

    pub(crate) fn skip(&mut self, texts: usize) {
        for _ in 0..texts {
            self.next();
        }
    }
}

/// A text that is not put together yet: both of its parts stand at the beginning of more bytes.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    base: &'a [u8],
    shared: usize,
    rests: &'a [u8],
    rest: usize,
}

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(whole: &'a [u8]) -> Text<'a> {
        Text {
            base: &[],
            shared: 0,
            rests: whole,
            rest: whole.len(),
        }
    }
}

impl Text<'_> {
    pub(crate) fn len(self) -> usize {
        self.shared + self.rest
    }

    /// Writes it to the beginning of `to`, and perhaps something behind it.
    #[inline(always)]
    pub(crate) fn write(self, to: &mut [u8]) {
        copy(self.base, self.shared, to);
        copy(self.rests, self.rest, &mut to[self.shared..]);
    }

    /// Appends it to `out`.
    pub(crate) fn append(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.base[..self.shared]);
        out.extend_from_slice(&self.rests[..self.rest]);
    }
}

/// Bytes that are copied at a time. Copying a few more than there are takes less than counting them.
const BLOCK: usize = 64;

/// Copies the first `length` bytes; where both have room for it, whole blocks.
#[inline(always)]
fn copy(from: &[u8], length: usize, to: &mut [u8]) {
    let mut done = 0;
    while done < length {
        let (from, to) = (&from[done..], &mut to[done..]);
        let Some((block, place)) = from.first_chunk().zip(to.first_chunk_mut::<BLOCK>()) else {
            let left = length - done;
            return to[..left].copy_from_slice(&from[..left]);
        };
        *place = *block;
        done += BLOCK;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(texts: &[&[u8]]) -> Chain {
        let mut chain = Chain::default();
        for text in texts {
            chain.add(|next| next.extend_from_slice(text));
        }
        chain.finish();
        chain
    }

    fn whole(text: Text<'_>) -> String {
        let mut out = Vec::new();
        text.append(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_shared_is_kept_once() {
        let chain = chain(&[b"a{b=\"1\"}", b"a{b=\"2\"}", b"a{c=\"2\"}", b"b"]);
        assert_eq!(chain.rests, b"a{b=\"1\"}2\"}c=\"2\"}b");
        assert_eq!(chain.len(), 4);
        let mut walk = chain.walk();
        walk.skip(2);
        assert_eq!(whole(walk.next()), "a{c=\"2\"}");
        assert_eq!(whole(walk.next()), "b");
        assert_eq!(walk.next().len(), 0);
    }

    #[test]
    fn a_text_that_is_like_the_last_one_is_the_next_base() {
        let texts = [
            "x one",
            "x another, that is long",
            "x another, that is short",
        ];
        let more = ["x another, that is new", "x two"];
        let texts = [texts.as_slice(), &more].concat();
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let chain = chain(&bytes);
        let expected = "x oneanother, that is longx another, that is shortnewtwo";
        assert_eq!(chain.rests, expected.as_bytes());
        let mut walk = chain.walk();
        assert!(texts.iter().all(|text| whole(walk.next()) == *text));
    }

    proptest! {
        #[test]
        fn all_texts_come_back(
            texts in prop::collection::vec("[ab]{0,6}|a{60,140}[ab]{0,40}", 0..20),
            room in 0usize..100,
        ) {
            let bytes: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            let chain = chain(&bytes);
            let mut walk = chain.walk();
            for text in &texts {
                let next = walk.next();
                let mut written = vec![0; next.len() + room];
                next.write(&mut written);
                prop_assert_eq!(&written[..next.len()], text.as_bytes());
                prop_assert_eq!(&whole(next), text);
            }
        }
    }
}
