//! What could not be recorded as asked, and why. Every loss is counted in the segment.

/// Why something could not be recorded as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// A registration went to its family's overflow series: the family is at its limit.
    SeriesLimit,
    /// A registration went to the overflow series or nowhere: the series table is full.
    SeriesTable,
    /// A registration went nowhere: the family table is full.
    FamilyTable,
    /// A registration went nowhere: the string arena is full.
    Strings,
    /// A registration went nowhere: the cells of its type are full.
    Cells,
    /// A registration went nowhere: the file system has no room for another page.
    NoSpace,
    /// A process found no slot: its gauges are not shown.
    ProcessTable,
    /// A forked child could not open the segment's file for itself: its gauges are not shown.
    ForkedWithoutFile,
    /// An update was not a number.
    RejectedNan,
    /// An update was negative where it must not be.
    RejectedNegative,
    /// An update was infinite where it must not be.
    RejectedInfinite,
    /// An amount was added to a counter that could not be registered.
    LostCounter,
    /// A value was recorded in a histogram that could not be registered.
    LostHistogram,
    /// A page of the segment could not be had when a process used it: the amounts that the process adds
    /// there are lost.
    Unwritable,
    /// A label set went to its family's overflow series: one of its values is too long.
    LabelTooLong,
    /// A registration went nowhere: the family was removed since the program took its handle.
    FamilyRemoved,
}

impl Loss {
    /// Every reason, in the order of the segment's words.
    pub const ALL: [Loss; 16] = [
        Loss::SeriesLimit,
        Loss::SeriesTable,
        Loss::FamilyTable,
        Loss::Strings,
        Loss::Cells,
        Loss::NoSpace,
        Loss::ProcessTable,
        Loss::ForkedWithoutFile,
        Loss::RejectedNan,
        Loss::RejectedNegative,
        Loss::RejectedInfinite,
        Loss::LostCounter,
        Loss::LostHistogram,
        Loss::Unwritable,
        Loss::LabelTooLong,
        Loss::FamilyRemoved,
    ];

    /// The reason as a label value.
    pub const fn name(self) -> &'static str {
        match self {
            Loss::SeriesLimit => "series_limit",
            Loss::SeriesTable => "series_table_full",
            Loss::FamilyTable => "family_table_full",
            Loss::Strings => "strings_full",
            Loss::Cells => "cells_full",
            Loss::NoSpace => "no_space",
            Loss::ProcessTable => "process_table_full",
            Loss::ForkedWithoutFile => "forked_without_file",
            Loss::RejectedNan => "nan",
            Loss::RejectedNegative => "negative",
            Loss::RejectedInfinite => "infinite",
            Loss::LostCounter => "counter",
            Loss::LostHistogram => "histogram",
            Loss::Unwritable => "unwritable",
            Loss::LabelTooLong => "label_too_long",
            Loss::FamilyRemoved => "family_removed",
        }
    }

    /// What was lost.
    pub const fn class(self) -> LossClass {
        match self {
            Loss::SeriesLimit
            | Loss::SeriesTable
            | Loss::FamilyTable
            | Loss::Strings
            | Loss::Cells
            | Loss::NoSpace
            | Loss::ProcessTable
            | Loss::ForkedWithoutFile
            | Loss::LabelTooLong
            | Loss::FamilyRemoved => LossClass::Registration,
            Loss::RejectedNan | Loss::RejectedNegative | Loss::RejectedInfinite => {
                LossClass::Rejected
            }
            Loss::LostCounter | Loss::LostHistogram => LossClass::Lost,
            Loss::Unwritable => LossClass::Page,
        }
    }
}

/// What a loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossClass {
    /// Registrations that went to an overflow series or a sink.
    Registration,
    /// Updates that were refused for their value.
    Rejected,
    /// Amounts and values that went to a sink.
    Lost,
    /// Pages of the segment that a process lost, with all it adds there.
    Page,
}

/// What could not be recorded as asked, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    pub(crate) counts: [u64; Loss::ALL.len()],
}

impl Losses {
    /// How often `loss` happened.
    pub fn count(&self, loss: Loss) -> u64 {
        self.counts[loss as usize]
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        Loss::ALL.into_iter().map(|loss| (loss, self.count(loss)))
    }
}
