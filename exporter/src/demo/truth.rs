//! What the totals must be: counted from the files themselves, by code that shares nothing with the workers.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::protocol::{Outcome, Refusal};
use super::totals::{
    BYTES, DOCUMENTS, ROWS, SIZE_COUNT, SIZE_SUM, STAGE_ROWS, TERMS, TOKENS, Totals, error_row,
};
use super::walk::{Document, Stamp};

/// Larger documents are refused.
pub(crate) const BYTES_MAX: u64 = 4 << 20;
/// A NUL byte this near the start makes a file binary.
pub(crate) const BINARY_PREFIX: usize = 8 << 10;

/// A file's time can stand still for so long while the file changes: the tick of the kernel's clock, and more.
const SETTLED_AFTER: Duration = Duration::from_millis(50);
/// How often a file that keeps changing is looked at before it is left out.
const ATTEMPTS: usize = 4;

/// A document and what it must add to the totals each time that it is worked on.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The document as it was when it was counted.
    pub document: Document,
    /// What must become of it.
    pub outcome: Outcome,
    /// What it must add.
    pub totals: Totals,
}

/// The documents of a run and what they must add.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// One for each document, in the order of the listing.
    pub known: Vec<Known>,
    /// Files that kept changing or vanished while they were counted; they are not part of the run.
    pub left_out: Vec<PathBuf>,
}

impl Truth {
    /// Counts all documents. Ends early when `stopped` says so.
    pub(crate) fn count(documents: Vec<Document>, stopped: impl Fn() -> bool) -> Truth {
        let mut truth = Truth::default();
        for document in documents {
            if stopped() {
                break;
            }
            let path = document.path.clone();
            match settled(document) {
                Some(known) => truth.known.push(known),
                None => truth.left_out.push(path),
            }
        }
        truth
    }

    /// What one pass over all documents adds.
    pub(crate) fn one_pass(&self) -> Totals {
        let mut sum = [0; ROWS];
        for known in &self.known {
            for (sum, one) in sum.iter_mut().zip(known.totals) {
                *sum += one;
            }
        }
        sum
    }
}

/// Counts a document in a state that no later change can be mistaken for.
fn settled(mut document: Document) -> Option<Known> {
    for _ in 0..ATTEMPTS {
        if is_fresh(document.stamp) {
            thread::sleep(SETTLED_AFTER);
        }
        let (outcome, totals) = look(&document.path);
        if document.is_unchanged() && !is_fresh(document.stamp) {
            return Some(Known {
                document,
                outcome,
                totals,
            });
        }
        document = Document::at(document.path)?;
    }
    None
}

/// Whether the file changed so lately that its next change might get the same time.
fn is_fresh(stamp: Stamp) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = u64::try_from(stamp.changed_seconds).unwrap_or(0);
    let nanos = u32::try_from(stamp.changed_nanos).unwrap_or(0);
    Duration::new(seconds, nanos) + SETTLED_AFTER > now
}

/// What must become of the file at `path`, and what it adds.
fn look(path: &Path) -> (Outcome, Totals) {
    let mut totals = [0; ROWS];
    let mut refuse = |refusal| {
        totals[error_row(refusal)] = 1;
        (Outcome::Refused(refusal), totals)
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > BYTES_MAX => return refuse(Refusal::TooLarge),
        Ok(_) => {}
        Err(_) => return refuse(Refusal::Unreadable),
    }
    let Ok(content) = fs::read(path) else {
        return refuse(Refusal::Unreadable);
    };
    if content.iter().take(BINARY_PREFIX).any(|&byte| byte == 0) {
        return refuse(Refusal::Binary);
    }
    let Ok(text) = String::from_utf8(content) else {
        return refuse(Refusal::NotUtf8);
    };
    let (tokens, terms) = words(&text);
    for row in STAGE_ROWS {
        totals[row] = 1;
    }
    totals[SIZE_COUNT] = 1;
    totals[SIZE_SUM] = text.len() as u64;
    totals[BYTES] = text.len() as u64;
    totals[TOKENS] = tokens;
    totals[TERMS] = terms;
    totals[DOCUMENTS] = 1;
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    let hash = hasher.finish();
    (Outcome::Counted { hash }, totals)
}

/// How many words a text has, and how many different ones: one character after another.
fn words(text: &str) -> (u64, u64) {
    let mut count = 0;
    let mut different = BTreeSet::new();
    let mut word = String::new();
    for character in text.chars().chain([' ']) {
        if character == '_' || character.is_alphanumeric() {
            word.push(character);
        } else if !word.is_empty() {
            count += 1;
            different.insert(word.to_lowercase());
            word.clear();
        }
    }
    (count, different.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_to_the_end() {
        assert_eq!(words(""), (0, 0));
        assert_eq!(words("one"), (1, 1));
        assert_eq!(words(" One, one; two_3\n"), (3, 2));
        assert_eq!(words("naïve Ünïcode ünïcode 東京"), (4, 3));
    }

    #[test]
    fn a_file_that_was_just_written_is_counted_once_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "a b a").unwrap();
        let truth = Truth::count(vec![Document::at(path.clone()).unwrap()], || false);
        assert_eq!(truth.known.len(), 1);
        assert_eq!(truth.one_pass()[TOKENS], 3);
        assert_eq!(truth.one_pass()[TERMS], 2);
        assert!(!is_fresh(truth.known[0].document.stamp));
        fs::remove_file(&path).unwrap();
        let truth = Truth::count(vec![truth.known[0].document.clone()], || false);
        assert_eq!(truth.left_out, [path]);
    }
}
