//! Holds what was recorded against what is true.
//!
//! A document whose worker was killed while it worked on it is *in doubt*: the worker records its
//! numbers one after another, so some first part of them is in the segment and the rest is not. Every
//! other document is recorded exactly. So the totals must be those of the certain documents plus, for
//! each document in doubt, a first part of its numbers; nothing else passes.

use std::collections::HashSet;

use super::protocol::{Outcome, Refusal};
use super::totals::{ROWS, Totals, error_row};
use super::truth::Truth;

/// Above this many possible totals only each row's range is checked.
const POSSIBLE_MAX: usize = 20_000;

/// A document that was in flight in a worker that died.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doubt {
    /// Its place in the truth.
    pub document: usize,
    /// The worker's process.
    pub pid: u32,
    /// Whether the file was still what had been listed when the worker died.
    unchanged: bool,
}

/// What became of the documents of a run.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    truth: &'a Truth,
    /// What all passes must add, the documents in doubt as if they were certain.
    total: Totals,
    /// Documents in doubt.
    pub doubts: Vec<Doubt>,
    /// Documents that were refused because their file changed, by place in the truth.
    pub changed: Vec<usize>,
    /// What a worker said that cannot be: place in the truth, and its words.
    pub contradictions: Vec<(usize, Outcome)>,
}

/// How the recorded totals compare to the true ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All are equal.
    Equal,
    /// They differ by what documents in doubt explain exactly.
    Explained,
    /// They differ by no more than documents in doubt can explain; there are too many to say more.
    WithinRange,
    /// They differ by something else.
    Wrong,
}

/// The numbers of one document in the order in which they are recorded.
type Steps = Vec<(usize, u64)>;

impl<'a> Account<'a> {
    /// An account of `passes` passes over the documents of `truth`.
    pub(crate) fn open(truth: &'a Truth, passes: u64) -> Account<'a> {
        Account {
            truth,
            total: truth.one_pass().map(|one| one * passes),
            doubts: Vec::new(),
            changed: Vec::new(),
            contradictions: Vec::new(),
        }
    }

    /// A worker has recorded all of a document.
    pub(crate) fn done(&mut self, document: usize, outcome: Outcome) {
        let known = &self.truth.known[document];
        if outcome == known.outcome {
            return;
        }
        match outcome {
            // The file is gone or another: that it could not be counted is true.
            Outcome::Refused(refusal @ (Refusal::Changed | Refusal::Unreadable))
                if !known.document.is_unchanged() =>
            {
                self.changed.push(document);
                subtract(&mut self.total, &known.totals);
                self.total[error_row(refusal)] += 1;
            }
            _ => self.contradictions.push((document, outcome)),
        }
    }

    /// A worker died while it worked on a document.
    pub(crate) fn in_doubt(&mut self, document: usize, pid: u32) {
        let unchanged = self.truth.known[document].document.is_unchanged();
        self.doubts.push(Doubt {
            document,
            pid,
            unchanged,
        });
    }

    /// What the totals are when the documents in doubt are recorded wholly.
    pub(crate) fn total(&self) -> &Totals {
        &self.total
    }

    /// Compares.
    pub(crate) fn verdict(&self, recorded: &Totals) -> Verdict {
        if !self.contradictions.is_empty() {
            return Verdict::Wrong;
        }
        if *recorded == self.total {
            return Verdict::Equal;
        }
        let mut certain = self.total;
        for doubt in &self.doubts {
            subtract(&mut certain, &self.truth.known[doubt.document].totals);
        }
        let doubts: Vec<Vec<Steps>> = self.doubts.iter().map(|it| self.histories(it)).collect();
        match possible(certain, &doubts) {
            Some(possible) if possible.contains(recorded) => Verdict::Explained,
            None if is_within_range(recorded, &certain, &doubts) => Verdict::WithinRange,
            _ => Verdict::Wrong,
        }
    }

    /// What a worker would have recorded of a document in doubt: more than one list when its file changed.
    fn histories(&self, doubt: &Doubt) -> Vec<Steps> {
        let totals = &self.truth.known[doubt.document].totals;
        let mut histories = vec![totals.iter().copied().enumerate().collect()];
        if !doubt.unchanged {
            histories.push(vec![(error_row(Refusal::Changed), 1)]);
            histories.push(vec![(error_row(Refusal::Unreadable), 1)]);
        }
        histories
    }
}

fn subtract(from: &mut Totals, amounts: &Totals) {
    for (from, amount) in from.iter_mut().zip(amounts) {
        *from -= amount;
    }
}

/// All totals that documents in doubt can lead to; `None` when there are too many.
fn possible(certain: Totals, doubts: &[Vec<Steps>]) -> Option<HashSet<Totals>> {
    let mut possible = HashSet::from([certain]);
    for histories in doubts {
        let mut next = possible.clone();
        for start in &possible {
            if next.len() > POSSIBLE_MAX {
                return None;
            }
            for steps in histories {
                let mut totals = *start;
                for &(row, amount) in steps {
                    totals[row] += amount;
                    next.insert(totals);
                }
            }
        }
        possible = next;
    }
    Some(possible)
}

fn is_within_range(recorded: &Totals, certain: &Totals, doubts: &[Vec<Steps>]) -> bool {
    let mut most = *certain;
    for histories in doubts {
        let mut add = [0; ROWS];
        for &(row, amount) in histories.iter().flatten() {
            add[row] = amount.max(add[row]);
        }
        for (most, add) in most.iter_mut().zip(add) {
            *most += add;
        }
    }
    (0..ROWS).all(|row| (certain[row]..=most[row]).contains(&recorded[row]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::totals::{BYTES, DOCUMENTS, SIZE_SUM, TOKENS};
    use crate::demo::walk::Document;
    use std::fs;
    use tempfile::TempDir;

    fn truth_of(texts: &[&str]) -> (TempDir, Truth) {
        let folder = tempfile::tempdir().unwrap();
        let documents = texts
            .iter()
            .enumerate()
            .map(|(at, text)| {
                let path = folder.path().join(at.to_string());
                fs::write(&path, text).unwrap();
                Document::at(path).unwrap()
            })
            .collect();
        let truth = Truth::count(documents, || false);
        (folder, truth)
    }

    #[test]
    fn without_doubts_only_equality_passes() {
        let (_folder, truth) = truth_of(&["a b", "ccc"]);
        let account = Account::open(&truth, 3);
        let mut recorded = truth.one_pass().map(|one| one * 3);
        assert_eq!(account.verdict(&recorded), Verdict::Equal);
        recorded[BYTES] -= 1;
        assert_eq!(account.verdict(&recorded), Verdict::Wrong);
        recorded[BYTES] += 2;
        assert_eq!(account.verdict(&recorded), Verdict::Wrong);
    }

    #[test]
    fn a_document_in_doubt_explains_a_first_part_of_its_numbers_only() {
        let (_folder, truth) = truth_of(&["a b", "ccc"]);
        let mut account = Account::open(&truth, 1);
        account.in_doubt(0, 1);
        let all = truth.one_pass();
        assert_eq!(account.verdict(&all), Verdict::Equal);

        let mut recorded = all;
        for row in (0..=DOCUMENTS).rev() {
            recorded[row] -= truth.known[0].totals[row];
            assert_eq!(account.verdict(&recorded), Verdict::Explained, "row {row}");
        }

        let mut part = all;
        part[BYTES] -= 1;
        assert_eq!(account.verdict(&part), Verdict::Wrong, "half an update");
        let mut hole = all;
        hole[SIZE_SUM] -= truth.known[0].totals[SIZE_SUM];
        assert_eq!(
            account.verdict(&hole),
            Verdict::Wrong,
            "a hole in the middle"
        );
        let mut twice = all;
        twice[TOKENS] += truth.known[0].totals[TOKENS];
        assert_eq!(account.verdict(&twice), Verdict::Wrong, "counted twice");
        let mut other = all;
        for (total, one) in other.iter_mut().zip(truth.known[1].totals) {
            *total -= one;
        }
        assert_eq!(account.verdict(&other), Verdict::Wrong, "another document");
    }

    #[test]
    fn very_many_doubts_are_checked_by_range() {
        let texts: Vec<String> = (1..12).map(|n| "x ".repeat(n * n)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (_folder, truth) = truth_of(&texts);
        let mut account = Account::open(&truth, 1);
        (0..texts.len()).for_each(|document| account.in_doubt(document, 1));
        let mut recorded = truth.one_pass();
        recorded[TOKENS] -= 1;
        assert_eq!(account.verdict(&recorded), Verdict::WithinRange);
        recorded[TOKENS] += 2;
        assert_eq!(account.verdict(&recorded), Verdict::Wrong);
    }

    #[test]
    fn a_changed_file_is_accepted_only_when_it_did_change() {
        let (folder, truth) = truth_of(&["a b", "ccc"]);
        let refused = Outcome::Refused(Refusal::Changed);
        let mut account = Account::open(&truth, 1);
        account.done(1, refused);
        assert_eq!(account.verdict(account.total()), Verdict::Wrong);

        fs::write(folder.path().join("1"), "ddd").unwrap();
        let mut account = Account::open(&truth, 1);
        account.done(0, truth.known[0].outcome);
        account.done(1, refused);
        let mut expected = truth.known[0].totals;
        expected[error_row(Refusal::Changed)] = 1;
        assert_eq!(account.verdict(&expected), Verdict::Equal);
        assert_eq!(account.changed, [1]);
    }

    #[test]
    fn a_wrong_hash_is_a_contradiction() {
        let (_folder, truth) = truth_of(&["a b"]);
        let mut account = Account::open(&truth, 1);
        account.done(0, Outcome::Counted { hash: 1 });
        assert_eq!(account.verdict(&truth.one_pass()), Verdict::Wrong);
    }
}
