//! What all records of a segment together may take of a reader's memory.
//!
//! In a sound segment no two share their texts or cells, so that all take what there is once, at most. A damaged record
//! may claim what is another's: room for some such claims is left, so that they do not cost the sound ones, and reading
//! stays in proportion to the segment.

use crate::cell::gauge_cells;
use crate::layout::{PAGE_WORDS, Section, exemplar};
use crate::record::FamilyRecord;
use crate::segment::Segment;

/// The budget of one reading.
pub(crate) struct Budget {
    text_bytes: u64,
    counter_cells: Share,
    histogram_pages: Share,
    own_cells: Share,
    exemplars: Share,
}

/// How often a budget holds what there is.
const BUDGET_TIMES: u64 = 4;

/// A budget of which one family may only take what there is once.
struct Share {
    there: u64,
    left: u64,
}

impl Share {
    fn of(there: u64) -> Share {
        Share {
            there,
            left: there * BUDGET_TIMES,
        }
    }

    /// Takes the entries of one series of a family that has `others` already.
    fn take(&mut self, entries: u64, others: usize) -> Result<(), &'static str> {
        let of_family = entries.saturating_mul(others as u64 + 1);
        let left = self.left.checked_sub(entries);
        let left = left.filter(|_| of_family <= self.there);
        self.left = left.ok_or("its cells are those of other series")?;
        Ok(())
    }
}

impl Budget {
    pub(crate) fn new(segment: &Segment) -> Budget {
        let words = |section| segment.committed_words(section).len() as u64;
        let shards = segment.layout.shards() as u64;
        Budget {
            text_bytes: words(Section::Strings) * 8 * BUDGET_TIMES,
            counter_cells: Share::of(words(Section::Counters) / shards),
            histogram_pages: Share::of(words(Section::Histograms) / PAGE_WORDS as u64),
            own_cells: Share::of(segment.extent(Section::ProcessCells).capacity),
            exemplars: Share::of(words(Section::Exemplars) / exemplar::WORDS as u64),
        }
    }

    pub(crate) fn take_texts(&mut self, bytes: u64) -> Result<(), &'static str> {
        let left = self.text_bytes.checked_sub(bytes);
        self.text_bytes = left.ok_or("its texts are those of other records")?;
        Ok(())
    }

    /// Whether a series may have its exemplars: it keeps its value without them.
    pub(crate) fn take_exemplars(&mut self, family: &FamilyRecord) -> bool {
        let kept = family.placement.exemplars.into();
        self.exemplars.take(kept, 0).is_ok()
    }

    pub(crate) fn take_cells(
        &mut self,
        family: &FamilyRecord,
        others: usize,
    ) -> Result<(), &'static str> {
        let placement = &family.placement;
        if placement.cells > 0 {
            let share = match placement.section {
                Section::Counters => &mut self.counter_cells,
                _ => &mut self.histogram_pages,
            };
            return share.take(placement.entries(), others);
        }
        let (own, _) = gauge_cells(family.spec.kind);
        self.own_cells.take(own, others)
    }
}
