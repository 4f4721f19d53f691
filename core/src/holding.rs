//! How this process holds its families and the series that its handles write to: by marks that others see, while it
//! lives.

use std::fs::File;

use crate::attached::Attached;
use crate::error::Error;
use crate::held::{Hold, Stuck};
use crate::index::Found;
use crate::layout::{Layout, Section, family, header, series};
use crate::marks::{self, Asker};
use crate::record::{self, FamilyRecord, FamilySpec};
use crate::sync::{AtomicU64, Ordering};
use crate::tables::{entry, full};
use crate::{family_removal, lock, refusal, register, removal};

/// How often a family may be removed under its registrant.
const TRIES: usize = 1 << 16;
/// Series that a registration looks at for what is idle or can be freed.
const LOOKS: u32 = 2;

impl Attached {
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            slot: self.slot(),
            is_tracked: self.is_tracked(),
        }
    }

    /// Holds a series; false where it was removed before it was held.
    pub(crate) fn hold(&self, found: Found, hold: Hold) -> Result<bool, Error> {
        let words = entry(&self.segment, Section::Series, found.record, series::WORDS)?;
        let mark = self.segment.layout.series_mark(found.record);
        let is_held = self.hold_marked(mark, &words[series::STATE], found.state, hold)?;
        if !is_held {
            self.release(found.record);
        }
        Ok(is_held)
    }

    /// Registers a family, or finds it, and holds it until it is released.
    pub(crate) fn family(&self, spec: &FamilySpec) -> Result<(u32, FamilyRecord), Error> {
        for _ in 0..TRIES {
            let found = register::family(&self.segment, spec)?;
            let index = found.record;
            let words = entry(&self.segment, Section::Families, index, family::WORDS)?;
            let (mark, state) = (Layout::family_mark(index), &words[family::STATE]);
            if self.hold_marked(mark, state, found.state, Hold::Counted)? {
                let known = register::known_family(&self.segment, index, spec);
                let known = known.inspect_err(|error| {
                    refusal::note(words, error);
                    self.release_family(index);
                })?;
                return Ok((index, known));
            }
            self.release_family(index);
        }
        Err(full(&self.segment, Section::Families))
    }

    /// Holds a family that is held already once more, for a handle that may outlast that.
    pub(crate) fn hold_family(&self, index: u32, hold: Hold) {
        let mark = Layout::family_mark(index);
        let taken = self.held.take(mark, || self.mark(mark));
        if taken.is_ok() && hold == Hold::Kept {
            let _ = self.held.keep(mark);
        }
    }

    /// Ends a hold of a family that was counted.
    pub(crate) fn release_family(&self, index: u32) {
        let mark = Layout::family_mark(index);
        if self.held.release(mark, || self.clear_mark(mark)).is_ok() {
            // What is left undone is done by whoever looks next.
            let _ = family_removal::reclaim(&self.segment, index, self.asker());
        }
    }

    /// Holds what has this mark; false where it is no longer what was found, but is held all the same.
    fn hold_marked(
        &self,
        mark: u32,
        state: &AtomicU64,
        found: u64,
        hold: Hold,
    ) -> Result<bool, Error> {
        self.commit_marks(mark)?;
        let stuck = |Stuck| full(&self.segment, Section::Marks);
        let taken = self.held.take(mark, || self.mark(mark));
        taken.map_err(stuck)?;
        if !marks::is_unchanged(state, found) {
            return Ok(false);
        }
        if hold == Hold::Kept {
            self.held.keep(mark).map_err(stuck)?;
        }
        Ok(true)
    }

    /// Ends a hold of a series that was counted.
    pub(crate) fn release(&self, record: u32) {
        let mark = self.segment.layout.series_mark(record);
        if self.held.release(mark, || self.clear_mark(mark)).is_ok() {
            // What is left undone is done by whoever looks next.
            let _ = removal::reclaim(&self.segment, record, self.asker());
        }
    }

    /// Removes what is idle and frees what can be freed, a little at a time.
    pub(crate) fn look_around(&self) {
        let _ = self.idle.look_around(&self.segment, LOOKS, self.asker());
    }

    /// Memory for a mark, and for that of a child being forked.
    fn commit_marks(&self, mark: u32) -> Result<(), Error> {
        marks::commit(&self.segment, self.slot(), mark)?;
        match marks::heir(&self.heir) {
            Some(heir) => marks::commit(&self.segment, heir, mark),
            None => Ok(()),
        }
    }

    fn mark(&self, mark: u32) {
        let Some(word) = marks::word(&self.segment, self.slot(), mark) else {
            return;
        };
        marks::set(word, mark);
        if let Some(heir) = marks::heir(&self.heir) {
            match marks::word(&self.segment, heir, mark) {
                Some(word) => marks::set(word, mark),
                None => marks::never_free(&self.segment),
            }
        }
    }

    fn clear_mark(&self, mark: u32) {
        self.forget_zero_of(mark);
        if let Some(word) = marks::word(&self.segment, self.slot(), mark) {
            marks::clear(word, mark);
        }
    }

    /// Shows nothing in the own cell of a series whose mark is cleared.
    fn forget_zero_of(&self, mark: u32) {
        let record = self.segment.layout.marked_series(mark);
        let words = record.and_then(|record| {
            let words = self.segment.entry(Section::Series, record, series::WORDS);
            words.map(record::series_cells)
        });
        if let Some(cells) = words {
            self.forget_zero(cells.own);
        }
    }

    /// Before a fork: makes a slot ready for the child, with the marks of this process, locked through a
    /// description that will be the child's. What threads mark from here on they mark for the child too.
    pub(crate) fn bequeath(&self, file: &File) {
        let heir = self
            .is_tracked()
            .then(|| self.reserve_slot(Some(file)).ok())
            .flatten();
        if let Some(heir) = heir {
            marks::name_heir(&self.heir, heir);
            if marks::copy(&self.segment, self.slot(), heir).is_ok() {
                return;
            }
            self.disinherit();
            lock::give_up(file, &self.segment, heir);
        }
        if !lock::set(file, libc::F_RDLCK, header::UNTRACKED) {
            marks::never_free(&self.segment);
        }
    }

    /// After a fork, in the parent: the slot is the child's.
    pub(crate) fn disinherit(&self) {
        self.heir.store(0, Ordering::Relaxed);
    }

    /// In the child: takes what the parent made ready.
    pub(crate) fn inherit(&self) {
        match marks::heir(&self.heir) {
            Some(slot) => {
                self.disinherit();
                self.mend(slot);
                self.use_slot(slot);
            }
            None => {
                self.stay_untracked();
                self.claim_slot();
            }
        }
    }

    /// Clears the marks of handles that were dropped while they were copied.
    fn mend(&self, slot: u32) {
        self.held.let_go();
        let words = marks::run(&self.segment, slot).unwrap_or_default();
        for (first, word) in (0u32..).step_by(64).zip(words) {
            self.mend_word(first, word);
        }
    }

    fn mend_word(&self, first: u32, word: &AtomicU64) {
        let mut marked = word.load(Ordering::Relaxed);
        while marked != 0 {
            let mark = first + marked.trailing_zeros();
            marked &= marked - 1;
            if !self.held.is_held(mark) {
                self.forget_zero_of(mark);
                marks::clear(word, mark);
            }
        }
    }
}
