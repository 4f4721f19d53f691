//! Registration: fill a private record, insert it into the index, publish it.
//!
//! | step | what a process killed after it leaves | who cleans it |
//! |---|---|---|
//! | claim fresh entries, or take a free record | entries that nobody uses | nobody needs to: one record a kill |
//! | fill | the same | |
//! | insert into the index | a complete record that readers do not see yet | whoever registers the key next publishes it |
//! | begin to add it to the family's seats (series only) | the same | whoever adds to or removes from the family next |
//! | publish | a series | |
//!
//! A process that has lost a page of the segment registers nothing new: its index may be of zeros.
//!
//! Keys are unique in the index, so that who loses the race for a key takes no seat: it gives its record back and
//! uses the winner's. Nobody waits for anybody.

use crate::error::Error;
use crate::index::Found;
use crate::labels::LabelSet;
use crate::layout::{Section, family, series, state};
use crate::proof::step;
use crate::record::{self, FamilyRecord, FamilySpec};
use crate::seats::Admission;
use crate::segment::Segment;
use crate::supply;
use crate::sync::{Ordering, does, give_way};
use crate::tables::{self, FamilyKey, Key, SeriesKey, entry, full};

/// Series records kept for overflow series, so that there is one when the table is full.
const OVERFLOW_RESERVE_MAX: u64 = 256;
/// How often a refused registrant looks whether another one has registered the same key.
const LOOKS: usize = 8;
/// How often a key may be removed under its registrant.
const TRIES: usize = 1 << 16;

/// Registers a family, or finds it: its record and the state in which it is published.
pub(crate) fn family(segment: &Segment, spec: &FamilySpec) -> Result<Found, Error> {
    let key = FamilyKey::new(spec.name.as_bytes());
    for _ in 0..TRIES {
        if let Some(found) = key.find(segment)? {
            return publish_family(segment, found);
        }
        if let Err(error) = new_family(segment, spec, &key) {
            look_again(segment, &key, error)?;
        }
    }
    Err(full(segment, Section::Families))
}

fn new_family(segment: &Segment, spec: &FamilySpec, key: &FamilyKey<'_>) -> Result<(), Error> {
    segment.check_pages()?;
    let record = supply::family_record(segment, spec, key.hash())?;
    step("family-filled");
    let inserted = segment
        .check_pages()
        .and_then(|()| key.insert(segment, record));
    if matches!(inserted, Ok(None)) {
        step("family-inserted");
    } else {
        supply::give_back_family(segment, record);
    }
    inserted.map(|_| ())
}

/// Publishes a family's record of the index, where its registrant has not.
pub(crate) fn publish_family(segment: &Segment, found: Found) -> Result<Found, Error> {
    let words = entry(segment, Section::Families, found.record, family::WORDS)?;
    if state::of(found.state) == state::FREE && does("family published") {
        record::publish(&words[family::STATE], found.state);
    }
    Ok(Found {
        state: state::to(found.state, state::PUBLISHED),
        ..found
    })
}

/// What a family of the same name is, which is not used again meanwhile; an error where it is another.
pub(crate) fn known_family(
    segment: &Segment,
    index: u32,
    spec: &FamilySpec,
) -> Result<FamilyRecord, Error> {
    let words = entry(segment, Section::Families, index, family::WORDS)?;
    let arena = record::arena(segment);
    let known = record::read_published_family(&segment.layout, words, arena).map_err(|reason| {
        let reason = format!("family record {index}: {reason}");
        Error::not_a_segment(&segment.path, &reason)
    })?;
    spec.check_same(&known.spec)?;
    Ok(known)
}

/// Registers a series of a family, or finds it: its record and the state in which it is published.
pub(crate) fn series(
    segment: &Segment,
    known: (u32, &FamilyRecord),
    labels: &LabelSet,
    is_overflow: bool,
) -> Result<Found, Error> {
    let key = SeriesKey::new(known.0, labels);
    for _ in 0..TRIES {
        if is_removed(segment, known.0) {
            return Err(Error::Removed {
                family: known.1.spec.name.clone(),
            });
        }
        if let Some(found) = key.find(segment)? {
            match admit(segment, known, found, is_overflow)? {
                Some(published) => return Ok(published),
                None => continue,
            }
        }
        if let Err(error) = new_series(segment, known, &key, is_overflow) {
            look_again(segment, &key, error)?;
        }
    }
    Err(full(segment, Section::Series))
}

/// Whether a family was removed, for a process that still has a handle of it.
fn is_removed(segment: &Segment, index: u32) -> bool {
    let words = segment.entry(Section::Families, index, family::WORDS);
    words.is_none_or(|words| {
        state::of(words[family::STATE].load(Ordering::Relaxed)) == state::REMOVED
    })
}

/// Inserts a record for a key that was not there.
fn new_series(
    segment: &Segment,
    (family, known): (u32, &FamilyRecord),
    key: &SeriesKey<'_>,
    is_overflow: bool,
) -> Result<(), Error> {
    segment.check_pages()?;
    if !is_overflow && tables::seats(segment, family)?.is_full(known.spec.series_limit) {
        return Err(over_limit(known));
    }
    let reserve = if is_overflow {
        0
    } else {
        overflow_reserve(segment)
    };
    let record = supply::series_record(segment, known, key, reserve)?;
    step("series-filled");
    let inserted = segment
        .check_pages()
        .and_then(|()| key.insert(segment, record));
    if matches!(inserted, Ok(None)) {
        step("series-inserted");
    } else {
        supply::give_back(segment, known, record);
    }
    inserted.map(|_| ())
}

/// Publishes a record of the index, if its family has a seat for it. `None` where it was removed meanwhile.
fn admit(
    segment: &Segment,
    (family, known): (u32, &FamilyRecord),
    found: Found,
    is_overflow: bool,
) -> Result<Option<Found>, Error> {
    let published = Found {
        state: state::to(found.state, state::PUBLISHED),
        ..found
    };
    if found.state == published.state {
        return Ok(Some(found));
    }
    if is_overflow {
        let words = entry(segment, Section::Series, found.record, series::WORDS)?;
        record::publish(&words[series::STATE], found.state);
        let now = words[series::STATE].load(Ordering::Relaxed);
        return Ok((now == published.state).then_some(published));
    }
    let seats = tables::seats(segment, family)?;
    match seats.admit(found, known.spec.series_limit) {
        Admission::Admitted => Ok(Some(published)),
        Admission::Gone => Ok(None),
        Admission::Full => {
            seats.withdraw(found);
            Err(over_limit(known))
        }
    }
}

/// Passes an error on, unless what was missing went to somebody who registered the same key meanwhile. Looks a few
/// times for a record that another registrant may be about to insert. A broken file has none.
fn look_again(segment: &Segment, key: &impl Key, error: Error) -> Result<(), Error> {
    let is_broken = matches!(error, Error::Changed { .. } | Error::Io { .. });
    for _ in 0..if is_broken { 0 } else { LOOKS } {
        if key.find(segment)?.is_some() {
            return Ok(());
        }
        give_way();
    }
    Err(error)
}

fn over_limit(known: &FamilyRecord) -> Error {
    Error::SeriesLimit {
        family: known.spec.name.clone(),
        limit: known.spec.series_limit,
    }
}

fn overflow_reserve(segment: &Segment) -> u64 {
    (segment.extent(Section::Series).capacity / 16).min(OVERFLOW_RESERVE_MAX)
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;
    use crate::proof::meanwhile;
    use crate::{SegmentOptions, Writer};

    fn writer() -> (tempfile::TempDir, Writer) {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let options = SegmentOptions::new().path(folder.path().join("a.seg"));
        (folder, options.attach().unwrap())
    }

    /// The last page, which no registration here uses, is lost to this process, and then there again.
    fn lose_a_page(segment: &Segment) {
        let file = segment.file().unwrap();
        let bytes = segment.layout.words as u64 * 8;
        file.set_len(bytes - 4096).unwrap();
        segment.words()[segment.layout.words - 1].load(Ordering::Relaxed);
        file.set_len(bytes).unwrap();
    }

    fn try_series(writer: Writer, label: &str) -> Result<(), Error> {
        let registration = writer.counter("a_total", "h").label("k", label);
        registration.try_register().map(drop)
    }

    #[test]
    fn a_page_lost_while_a_series_is_filled_refuses_it() {
        let (_folder, writer) = writer();
        try_series(writer, "1").unwrap();
        let _planned = meanwhile::at("series-filled", move || lose_a_page(writer.segment()));
        let refused = try_series(writer, "2");
        assert!(matches!(refused, Err(Error::Changed { .. })), "{refused:?}");
        let found = writer.segment().next(Section::Series);
        assert_eq!(found.load(Ordering::Relaxed), 2);
        assert_eq!(
            tables::free(writer.segment()).count.load(Ordering::Relaxed),
            1
        );
    }

    #[test]
    fn a_page_lost_while_a_family_is_filled_refuses_it() {
        let (_folder, writer) = writer();
        let _planned = meanwhile::at("family-filled", move || lose_a_page(writer.segment()));
        let refused = try_series(writer, "1");
        assert!(matches!(refused, Err(Error::Changed { .. })), "{refused:?}");
        let found = FamilyKey::new(b"a_total").find(writer.segment()).unwrap();
        assert_eq!(found, None);
    }

    /// Another registrant of the same key is faster, and takes the last words for texts.
    fn overtake(writer: Writer) {
        try_series(writer, "2").unwrap();
        let strings = writer.segment().extent(Section::Strings).capacity;
        let next = writer.segment().next(Section::Strings);
        next.store(strings, Ordering::Relaxed);
    }

    #[test]
    fn who_is_refused_a_series_finds_the_one_that_took_its_room() {
        let (_folder, writer) = writer();
        try_series(writer, "1").unwrap();
        let _planned = meanwhile::at("claim-taken", move || overtake(writer));
        try_series(writer, "2").unwrap();
    }

    #[test]
    fn who_is_refused_a_family_finds_the_one_that_took_its_room() {
        let (_folder, writer) = writer();
        let _planned = meanwhile::at("claim-taken", move || overtake(writer));
        try_series(writer, "2").unwrap();
    }
}
