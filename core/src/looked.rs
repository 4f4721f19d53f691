//! What a reader knows of a segment's memory since it last looked.

use crate::layout::{Section, header};

/// The words that have memory, as a reader last found them.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    sections: [usize; Section::KINDS],
    /// Of each process's own cells, by slot.
    runs: Vec<usize>,
    /// Of each process's marks, by slot.
    marks: Vec<usize>,
}

impl Memory {
    /// How many words there are.
    pub(crate) fn words(&self) -> usize {
        let parts = self.sections.iter().chain(&self.runs).chain(&self.marks);
        parts.fold(header::WORDS, |sum, &words| sum.saturating_add(words))
    }

    pub(crate) fn known(&self, section: Section) -> usize {
        self.sections[section as usize]
    }

    pub(crate) fn known_run(&self, slot: u32) -> usize {
        self.runs.get(slot as usize).copied().unwrap_or(0)
    }

    pub(crate) fn known_marks(&self, slot: u32) -> usize {
        self.marks.get(slot as usize).copied().unwrap_or(0)
    }

    pub(crate) fn section(&mut self, section: Section) -> &mut usize {
        &mut self.sections[section as usize]
    }

    pub(crate) fn runs(&mut self) -> &mut Vec<usize> {
        &mut self.runs
    }

    pub(crate) fn marks(&mut self) -> &mut Vec<usize> {
        &mut self.marks
    }
}
