//! Numbers in words.

/// Two halves in one word.
pub(crate) const fn halves(low: u32, high: u32) -> u64 {
    ((high as u64) << 32) | low as u64
}

/// The halves of a word: `(low, high)`.
pub(crate) const fn split(word: u64) -> (u32, u32) {
    (low_half(word), low_half(word >> 32))
}

/// The low half of a word.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is asked for"
)]
pub(crate) const fn low_half(word: u64) -> u32 {
    word as u32
}

/// The low word of two.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low word is what is asked for"
)]
pub(crate) const fn low_word(two: u128) -> u64 {
    two as u64
}

/// A count of words as an index: segments exist on 64-bit targets only.
#[expect(
    clippy::cast_possible_truncation,
    reason = "usize has 64 bits, asserted below"
)]
pub(crate) const fn to_usize(words: u64) -> usize {
    words as usize
}
const _: () = assert!(usize::BITS == 64, "a segment needs a 64-bit address space");
