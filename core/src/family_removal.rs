//! Removing whole families, and freeing their records once no process has a handle of them.
//!
//! | state of a record | who moves it on | what a process killed there leaves |
//! |---|---|---|
//! | published | whoever removes the family, by one compare-and-swap | nothing |
//! | removed, marked by a living process | nobody; that process clears its mark or ends | the same |
//! | removed, marked by none, with series | whoever looks, by removing and freeing the series | the same |
//! | removed, marked by none, without series | whoever looks, by one compare-and-swap that begins the next generation | the same |
//! | free, on no list | who freed it | the record with its texts, unused for ever: at most one a kill |
//! | free, on its list | whoever needs a record | – |
//!
//! Who registers a series has marked its family. So once nobody marks a family that was seen removed, no series is
//! added to it, and those that a search of the table finds are all.

use crate::error::Error;
use crate::index::Found;
use crate::layout::{Layout, Section, family, series, split, state};
use crate::marks::{self, Asker};
use crate::proof::step;
use crate::removal::{begin_next, seen_removed};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, acquire, check, one_step};
use crate::tables::{self, FamilyKey, Key, claimed, entry};
use crate::{record, register, removal, supply, text};

/// Removes the family with this name; whether there was one.
pub(crate) fn remove(segment: &Segment, name: &str, asker: Asker) -> Result<bool, Error> {
    let key = FamilyKey::new(name.as_bytes());
    let Some(found) = key.find(segment)? else {
        return Ok(false);
    };
    // Its registrant may have been killed before it was published; whoever comes next would meet it.
    let found = register::publish_family(segment, found)?;
    let words = entry(segment, Section::Families, found.record, family::WORDS)?;
    let removals = tables::removals(segment);
    if !removals.count(|| end(&words[family::STATE], found.state)) {
        return Ok(false);
    }
    remove_series(segment, found.record, asker)?;
    reclaim(segment, found.record, asker)?;
    Ok(true)
}

/// Removes a published family, unless another has.
pub(crate) fn end(state_word: &AtomicU64, published: u64) -> bool {
    let removed = state::to(published, state::REMOVED);
    // Relaxed: it hands on what the publication released.
    let order = Ordering::Relaxed;
    let ended = one_step("family removed once", state_word)
        .compare_exchange(published, removed, order, order);
    step("family-removed");
    ended.is_ok()
}

/// Frees the record of a removed family, unless a living process may still register in it.
pub(crate) fn reclaim(segment: &Segment, index: u32, asker: Asker) -> Result<bool, Error> {
    let words = entry(segment, Section::Families, index, family::WORDS)?;
    let Some(removed) = seen_removed(&words[family::STATE]) else {
        return Ok(false);
    };
    let is_held = marks::is_held(segment, Layout::family_mark(index), asker);
    if !check("nobody holds the family", !is_held) || !remove_series(segment, index, asker)? {
        return Ok(false);
    }
    take_out(segment, words)?;
    if !begin_next(&words[family::STATE], removed) {
        return Ok(false);
    }
    step("family-freed");
    supply::give_back_family(segment, index);
    Ok(true)
}

/// Removes the series of a removed family, and frees what can be freed; whether that is all.
fn remove_series(segment: &Segment, index: u32, asker: Asker) -> Result<bool, Error> {
    let words = entry(segment, Section::Families, index, family::WORDS)?;
    let Some(removed) = seen_removed(&words[family::STATE]) else {
        return Ok(false);
    };
    let mut is_all = true;
    for record in 0..claimed(segment, Section::Series, series::WORDS) {
        let series = entry(segment, Section::Series, record, series::WORDS)?;
        // Pairs with the Release in `Seats`: the words of the record are seen, and the family that it is of.
        let now = series[series::STATE].load(acquire("removed series seen"));
        if record::series_family(series) != index {
            continue;
        }
        if !is_still(&words[family::STATE], removed) {
            return Ok(false);
        }
        let found = Found { record, state: now };
        is_all &= remove_one(segment, index, found, asker)?;
    }
    Ok(is_all)
}

/// Whether a family is the removed one that it was, after the state of a series of it was seen: a series of a later
/// one shows that family too.
pub(crate) fn is_still(state_word: &AtomicU64, removed: u64) -> bool {
    let now = state_word.load(Ordering::Relaxed);
    check("family is the removed one", now == removed)
}

/// Removes a series of a removed family and frees it; whether it is gone.
fn remove_one(segment: &Segment, index: u32, found: Found, asker: Asker) -> Result<bool, Error> {
    match state::of(found.state) {
        state::PUBLISHED => {
            removal::remove_found(segment, index, found, asker)?;
        }
        state::REMOVED => {
            removal::reclaim(segment, found.record, asker)?;
        }
        // Its registrant may have been killed before it was published.
        _ if removal::is_in_index(segment, found)? => {
            tables::seats(segment, index)?.withdraw(found);
            removal::reclaim(segment, found.record, asker)?;
        }
        _ => return Ok(true),
    }
    let words = entry(segment, Section::Series, found.record, series::WORDS)?;
    let now = words[series::STATE].load(Ordering::Relaxed);
    Ok(state::generation(now) != state::generation(found.state))
}

/// A search of its name takes a removed record out of the index.
fn take_out(segment: &Segment, words: &[AtomicU64]) -> Result<(), Error> {
    let name = name_of(words, record::arena(segment)).unwrap_or_default();
    FamilyKey::new(&name).find(segment).map(|_| ())
}

/// The name in a family record.
fn name_of(record: &[AtomicU64], arena: &[AtomicU64]) -> Option<Vec<u8>> {
    let (bytes, _) = split(record[family::NAME_HELP_BYTES].load(Ordering::Relaxed));
    let offset = usize::try_from(record[family::TEXT].load(Ordering::Relaxed)).ok()?;
    text::load(arena.get(offset..)?, bytes as usize)
}
