//! How this process holds the series that its handles write to: by marks that others see, while it lives.

use std::fs::File;

use crate::attached::Attached;
use crate::error::Error;
use crate::held::{Hold, Stuck};
use crate::index::Found;
use crate::layout::{Section, header, series};
use crate::marks::{self, Asker};
use crate::record;
use crate::sync::{AtomicU64, Ordering};
use crate::tables::{entry, full};
use crate::{lock, removal};

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
        self.commit_marks(found.record)?;
        let stuck = |Stuck| full(&self.segment, Section::Marks);
        let taken = self.held.take(found.record, || self.mark(found.record));
        taken.map_err(stuck)?;
        if !marks::is_unchanged(&words[series::STATE], found.state) {
            self.release(found.record);
            return Ok(false);
        }
        if hold == Hold::Kept {
            self.held.keep(found.record).map_err(stuck)?;
        }
        Ok(true)
    }

    /// Ends a hold that was counted.
    pub(crate) fn release(&self, record: u32) {
        let clear = || self.clear_mark(record);
        if self.held.release(record, clear).is_ok() {
            // What is left undone is done by whoever looks next.
            let _ = removal::reclaim(&self.segment, record, self.asker());
        }
    }

    /// Removes what is idle and frees what can be freed, a little at a time.
    pub(crate) fn look_around(&self) {
        let _ = self.idle.look_around(&self.segment, LOOKS, self.asker());
    }

    /// Memory for the mark of a series, and for that of a child being forked.
    fn commit_marks(&self, record: u32) -> Result<(), Error> {
        marks::commit(&self.segment, self.slot(), record)?;
        match marks::heir(&self.heir) {
            Some(heir) => marks::commit(&self.segment, heir, record),
            None => Ok(()),
        }
    }

    fn mark(&self, record: u32) {
        let Some(word) = marks::word(&self.segment, self.slot(), record) else {
            return;
        };
        marks::set(word, record);
        if let Some(heir) = marks::heir(&self.heir) {
            match marks::word(&self.segment, heir, record) {
                Some(word) => marks::set(word, record),
                None => marks::never_free(&self.segment),
            }
        }
    }

    fn clear_mark(&self, record: u32) {
        let words = self.segment.entry(Section::Series, record, series::WORDS);
        if let Some(words) = words {
            self.forget_zero(record::series_cells(words).own);
        }
        if let Some(word) = marks::word(&self.segment, self.slot(), record) {
            marks::clear(word, record);
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
            let record = first + marked.trailing_zeros();
            marked &= marked - 1;
            if !self.held.is_held(record) {
                let words = self.segment.entry(Section::Series, record, series::WORDS);
                if let Some(words) = words {
                    self.forget_zero(record::series_cells(words).own);
                }
                marks::clear(word, record);
            }
        }
    }
}
