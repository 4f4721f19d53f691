//! Text in words: packed before it is published, copied out before it is looked at.

use crate::proof::step;
use crate::sync::{AtomicU64, Ordering};

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

/// Whether the words hold exactly `bytes`.
pub(crate) fn equals(words: &[AtomicU64], bytes: &[u8]) -> bool {
    words.len() == words_for(bytes.len())
        && words
            .iter()
            .zip(bytes.chunks(8))
            .all(|(word, chunk)| word.load(Ordering::Relaxed) == pack(chunk))
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
            prop_assert!(equals(used, &bytes));
            let mut longer = bytes;
            longer.push(1);
            prop_assert!(!equals(used, &longer));
        }
    }
}
