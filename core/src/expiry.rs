//! Series that nobody writes to: found by looking twice, and removed.
//!
//! Recording writes no times. A process that looks for idle series remembers what their cells held and since when.
//! All of that is its own memory: another process that looks begins anew.

use std::time::Instant;

use crate::error::Error;
use crate::index::Found;
use crate::layout::{Section, family, header, low_half, series, state};
use crate::marks::Asker;
use crate::segment::{Segment, private_words};
use crate::sync::{AtomicU64, Ordering, acquire};
use crate::tables::{self, claimed, entry};
use crate::{family_removal, lock, record, removal, supply};

/// What one process knows of idle series.
pub(crate) struct Idle {
    /// For each series, a number for what its cells held.
    prints: Box<[AtomicU64]>,
    /// For each series, when they were first seen to, in nanoseconds after `start`.
    since: Box<[AtomicU64]>,
    start: Instant,
    /// The next record to look at.
    next: AtomicU64,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Idle series that were removed.
    pub removed: u64,
    /// Removed series whose memory was freed.
    pub reclaimed: u64,
}

impl Idle {
    pub(crate) fn new(series: usize) -> Idle {
        Idle {
            prints: private_words(series),
            since: private_words(series),
            start: Instant::now(),
            next: AtomicU64::new(0),
        }
    }

    /// Says that the threads of a model share these words.
    #[cfg(all(test, loom))]
    pub(crate) fn share_words(&self) {
        use crate::models::atomic::share;
        share([&self.next]);
        share(&self.prints);
        share(&self.since);
    }

    /// Looks at every series; at none where another process is doing so.
    pub(crate) fn sweep(&self, segment: &Segment, asker: Asker) -> Result<Swept, Error> {
        let lock = |kind| match segment.file() {
            Some(file) => lock::set(file, kind, header::SWEEPER),
            None => true,
        };
        if !lock(libc::F_WRLCK) {
            return Ok(Swept::default());
        }
        let all = 0..claimed(segment, Section::Series, series::WORDS);
        let swept = self.look(segment, all, asker);
        let families = 0..claimed(segment, Section::Families, family::WORDS);
        let freed = families
            .into_iter()
            .try_for_each(|family| family_removal::reclaim(segment, family, asker).map(|_| ()));
        lock(libc::F_UNLCK);
        freed.and(swept)
    }

    /// Looks at the next `count` series.
    pub(crate) fn look_around(
        &self,
        segment: &Segment,
        count: u32,
        asker: Asker,
    ) -> Result<Swept, Error> {
        let claimed = tables::claimed(segment, Section::Series, series::WORDS);
        let count = count.min(claimed);
        if count == 0 {
            return Ok(Swept::default());
        }
        let next = self.next.fetch_add(count.into(), Ordering::Relaxed);
        let first = low_half(next % u64::from(claimed));
        let end = claimed.min(first + count);
        let families = tables::claimed(segment, Section::Families, family::WORDS);
        if let Some(family) = next.checked_rem(families.into()) {
            family_removal::reclaim(segment, low_half(family), asker)?;
        }
        self.look(segment, first..end, asker)
    }

    fn look(
        &self,
        segment: &Segment,
        records: std::ops::Range<u32>,
        asker: Asker,
    ) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        for record in records {
            let words = entry(segment, Section::Series, record, series::WORDS)?;
            // Pairs with the Release in `Seats`: the words of a published record are seen.
            let now = words[series::STATE].load(acquire("removed series seen"));
            let found = Found { record, state: now };
            match state::of(now) {
                state::REMOVED => {
                    let freed = removal::reclaim(segment, record, asker)?;
                    swept.reclaimed += u64::from(freed);
                }
                state::PUBLISHED if self.is_idle(segment, words, found) => {
                    let family = record::series_family(words);
                    let removed = removal::remove_found(segment, family, found, asker)?;
                    swept.removed += u64::from(removed);
                }
                _ => {}
            }
        }
        Ok(swept)
    }

    /// Whether a published series holds what it held as long ago as its family keeps such.
    fn is_idle(&self, segment: &Segment, words: &[AtomicU64], found: Found) -> bool {
        let family = record::series_family(words);
        let Some(family) = segment.entry(Section::Families, family, family::WORDS) else {
            return false;
        };
        let keep_nanos = family[family::KEEP_NANOS].load(Ordering::Relaxed);
        if keep_nanos == 0 || removal::is_overflow(segment, words) {
            return false;
        }
        let Some(print) = print_of(segment, family, words, found.state) else {
            return false;
        };
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let record = found.record as usize;
        let (Some(last), Some(since)) = (self.prints.get(record), self.since.get(record)) else {
            return false;
        };
        if last.swap(print, Ordering::Relaxed) != print {
            since.store(now, Ordering::Relaxed);
        }
        now.saturating_sub(since.load(Ordering::Relaxed)) >= keep_nanos
    }
}

/// A number for what all cells of a series hold, another one whenever one of them changes; never 0.
fn print_of(
    segment: &Segment,
    family: &[AtomicU64],
    words: &[AtomicU64],
    state: u64,
) -> Option<u64> {
    let (kind, placement) = record::family_cells(&segment.layout, family)?;
    let cells = record::series_cells(words);
    let mut print = state;
    supply::each_cell(segment, kind, &placement, cells, |cell| {
        let mixed = (print ^ cell.load(Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        print = mixed ^ (mixed >> 32);
    });
    Some(print.max(1))
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").finish_non_exhaustive()
    }
}
