//! Text in words: packed before it is published, copied out before it is looked at.

use std::cmp;

use crate::proof::step;
use crate::sync::{AtomicU64, Ordering};

/// Some words of the string arena.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) offset: u64,
    pub(crate) words: u32,
}

/// Words that `bytes` bytes take.
pub(crate) const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

/// Packs `bytes` into `words`. Whoever publishes the words makes them visible.
pub(crate) fn store(words: &[AtomicU64], bytes: &[u8]) {
    assert!(
        words.len() >= words_for(bytes.len()),
        "the caller claimed room for the text"
    );
    for (word, chunk) in words.iter().zip(bytes.chunks(8)) {
        word.store(pack(chunk), Ordering::Relaxed);
        step("text-word-stored");
    }
}

/// Copies `count` bytes out; `None` when the words do not hold that many.
pub(crate) fn load(words: &[AtomicU64], count: usize) -> Option<Vec<u8>> {
    let words = words.get(..words_for(count))?;
    let mut bytes = Vec::with_capacity(words.len() * 8);
    for word in words {
        bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    bytes.truncate(count);
    Some(bytes)
}

/// Copies out the texts of these lengths that follow one another in `words`, in all at most `most` bytes.
pub(crate) fn load_each(
    words: &[AtomicU64],
    lengths: &[u32],
    most: usize,
) -> Result<Vec<String>, &'static str> {
    let total = lengths.iter().map(|&length| length as usize).sum();
    if total > most {
        return Err("its texts are too long");
    }
    let bytes = load(words, total).ok_or("its texts lie outside")?;
    let mut rest = bytes.as_slice();
    let mut texts = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let (text, after) = rest.split_at(length as usize);
        texts.push(String::from_utf8(text.to_vec()).map_err(|_| "its texts are not UTF-8")?);
        rest = after;
    }
    Ok(texts)
}

/// How the text of `count` bytes at the start of `words` compares with `bytes`, in some order; `None` where the
/// words do not hold it.
pub(crate) fn compare_start(
    words: &[AtomicU64],
    count: usize,
    bytes: &[u8],
) -> Option<cmp::Ordering> {
    let words = words.get(..words_for(count))?;
    // The last word may go on with another text.
    let last = words.len().wrapping_sub(1);
    let rest = u64::MAX >> (8 * (words.len() * 8 - count));
    let stored = words.iter().enumerate().map(|(at, word)| {
        let word = word.load(Ordering::Relaxed);
        if at == last { word & rest } else { word }
    });
    let order = count.cmp(&bytes.len());
    Some(order.then_with(|| stored.cmp(bytes.chunks(8).map(pack))))
}

/// FNV-1a over `bytes`, mixed (MurmurHash3's finaliser) so that both halves of the word are good.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn pack(chunk: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..chunk.len()].copy_from_slice(chunk);
    u64::from_le_bytes(word)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]
        #[test]
        fn text_survives_its_words(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let words: Vec<AtomicU64> = (0..5).map(|_| AtomicU64::new(u64::MAX)).collect();
            store(&words, &bytes);
            let used = &words[..words_for(bytes.len())];
            prop_assert_eq!(load(used, bytes.len()).unwrap(), bytes.clone());
            if let Some(last) = used.last().filter(|_| bytes.len() % 8 != 0) {
                last.fetch_or(0x7f << 56, Ordering::Relaxed);
            }
            let compare = |wanted: &[u8]| compare_start(&words, bytes.len(), wanted).unwrap();
            prop_assert!(compare(&bytes).is_eq());
            let mut longer = bytes.clone();
            longer.push(1);
            prop_assert!(compare(&longer).is_lt());
            if let Some(first) = longer.first_mut() {
                *first ^= 1;
            }
            prop_assert!(bytes.is_empty() || compare(&longer[..bytes.len()]).is_ne());
        }
    }
}
