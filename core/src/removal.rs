//! Removing series, and freeing their records once nobody can write to their cells.
//!
//! | state of a record | who moves it on | what a process killed there leaves |
//! |---|---|---|
//! | published | whoever removes the series, through the family's seats | an operation that the next one ends |
//! | removed, in the index | whoever meets it there | the same: the next one goes on |
//! | removed, marked by a living process | nobody; that process clears its mark or ends | the same |
//! | removed, marked by none | whoever looks, by one compare-and-swap that begins the next generation | the same |
//! | free, on no list | who freed it | the record, unused for ever: at most one a kill |
//! | free, on its list | whoever needs a record | – |

use crate::error::Error;
use crate::index::Found;
use crate::labels::LabelSet;
use crate::layout::{Layout, Section, family, header, series, state};
use crate::marks::{self, Asker};
use crate::proof::step;
use crate::record;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, acquire, check, one_step, release, tally};
use crate::tables::{self, Key, SeriesKey};
use crate::{labels, supply, text};

/// How often a series may change under its remover.
const TRIES: usize = 1 << 16;

/// Removes the series with these labels; whether it was this call that did.
pub(crate) fn remove(
    segment: &Segment,
    family: u32,
    labels: &LabelSet,
    asker: Asker,
) -> Result<bool, Error> {
    if labels.is_overflow() {
        return Ok(false);
    }
    let key = SeriesKey::new(family, labels);
    for _ in 0..TRIES {
        match key.find(segment)? {
            Some(found) if state::of(found.state) == state::PUBLISHED => {
                if remove_found(segment, family, found, asker)? {
                    return Ok(true);
                }
            }
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// Removes a published series, if it still is the one that was found.
pub(crate) fn remove_found(
    segment: &Segment,
    family: u32,
    found: Found,
    asker: Asker,
) -> Result<bool, Error> {
    let removed = tables::seats(segment, family)?.remove(found);
    if removed {
        tally(&segment.words()[header::REMOVED], 1);
        step("removal-counted");
        reclaim(segment, found.record, asker)?;
    }
    Ok(removed)
}

/// Frees a record whose series was removed, unless a living process may still write to its cells.
pub(crate) fn reclaim(segment: &Segment, record: u32, asker: Asker) -> Result<bool, Error> {
    let words = tables::entry(segment, Section::Series, record, series::WORDS)?;
    let Some(removed) = seen_removed(&words[series::STATE]) else {
        return Ok(false);
    };
    let family = record::series_family(words);
    let Some(class) = class_of(segment, family) else {
        return Ok(false);
    };
    // No operation names the record any more, and none can begin to, once the last one has ended.
    if tables::seats(segment, family)?.settle().is_none() {
        return Ok(false);
    }
    take_out(segment, words, family)?;
    let is_held = marks::is_held(segment, segment.layout.series_mark(record), asker)
        || is_overflow(segment, words)
            && marks::is_held(segment, Layout::family_mark(family), asker);
    if !check("nobody holds the series", !is_held) {
        return Ok(false);
    }
    if !begin_next(&words[series::STATE], removed) {
        return Ok(false);
    }
    step("series-freed");
    tally(&segment.words()[header::RECLAIMED], 1);
    Ok(tables::free(segment).push(class, record))
}

/// The state of a removed record.
pub(crate) fn seen_removed(state_word: &AtomicU64) -> Option<u64> {
    // Pairs with the Release in `Seats`: what the record was is seen with its removal.
    let seen = state_word.load(acquire("removed series seen"));
    (state::of(seen) == state::REMOVED).then_some(seen)
}

/// Frees a record that was seen removed, unless another has; so what was read of it since was of that life.
pub(crate) fn begin_next(state_word: &AtomicU64, removed: u64) -> bool {
    let next = state::word(state::FREE, state::generation(removed) + 1);
    // Release: a search that sees the next generation sees that the record left its list. Pairs with the Acquire
    // fence there.
    let (done, other) = (release("series freed"), Ordering::Relaxed);
    one_step("series freed once", state_word)
        .compare_exchange(removed, next, done, other)
        .is_ok()
}

/// Whether a record is that of an overflow series: who writes to it has marked its family, not the series.
pub(crate) fn is_overflow(segment: &Segment, words: &[AtomicU64]) -> bool {
    let text = record::series_labels(words, record::arena(segment));
    let bytes = text.and_then(|(words, bytes)| text::load(words, bytes));
    let labels = bytes.as_deref().and_then(labels::decode);
    labels.is_none_or(|labels| labels::is_overflow(&labels))
}

/// A search of its key takes a removed record out of the index.
fn take_out(segment: &Segment, words: &[AtomicU64], family: u32) -> Result<(), Error> {
    find_as(segment, words, family).map(|_| ())
}

/// Whether a record is the one of its key in the index, in the state that it was seen in.
pub(crate) fn is_in_index(segment: &Segment, seen: Found) -> Result<bool, Error> {
    let words = tables::entry(segment, Section::Series, seen.record, series::WORDS)?;
    let found = find_as(segment, words, record::series_family(words))?;
    Ok(found == Some(seen))
}

/// The record that the index has for the key of another one.
fn find_as(segment: &Segment, words: &[AtomicU64], family: u32) -> Result<Option<Found>, Error> {
    let labels = record::series_labels(words, record::arena(segment));
    let labels = labels.and_then(|(words, bytes)| text::load(words, bytes));
    let key = SeriesKey {
        family,
        labels: &labels.unwrap_or_default(),
        hash: words[series::HASH].load(Ordering::Relaxed),
    };
    key.find(segment)
}

fn class_of(segment: &Segment, family: u32) -> Option<u64> {
    let words = segment.entry(Section::Families, family, family::WORDS)?;
    let (kind, placement) = record::family_cells(&segment.layout, words)?;
    let class = supply::class_of(kind, &placement);
    tables::free(segment).has_room(class).then_some(class)
}

/// Whether the family has a series with these labels.
pub(crate) fn is_live(segment: &Segment, family: u32, labels: &LabelSet) -> Result<bool, Error> {
    let found = SeriesKey::new(family, labels).find(segment)?;
    Ok(found.is_some_and(|found| state::of(found.state) == state::PUBLISHED))
}
