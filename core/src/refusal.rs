//! Registrations that were refused because the family is another one: their count, and the first definition, for people.
//!
//! | step | what a process killed after it leaves |
//! |---|---|
//! | count | a count |
//! | claim the place in the family's record | a count, and a place that nobody fills |
//! | fill it | the same |
//! | publish it | a definition |
//!
//! The caller holds the family, so that its record is no other's meanwhile. Later definitions are only counted.

use crate::error::Error;
use crate::layout::{family, state};
use crate::snapshot::{Refused, RefusedDefinition};
use crate::sync::{AtomicU64, Ordering, one_step, tally};
use crate::{host, record, text};

/// Most bytes of a refused definition; the rest is cut.
const BYTES_MAX: usize = family::REFUSAL_WORDS * 8;

/// Notes a registration that was refused for its definition; other errors are none of ours.
pub(crate) fn note(record: &[AtomicU64], error: &Error) {
    if let Error::Conflict {
        property,
        requested,
        ..
    } = error
    {
        keep(
            record,
            std::process::id(),
            &format!("{property} {requested}"),
        );
    }
}

/// Counts a refusal, and keeps what was asked for where it is the first.
pub(crate) fn keep(record: &[AtomicU64], pid: u32, definition: &str) {
    tally(&record[family::REFUSED], 1);
    record[family::REFUSED_UNIX_NANOS].store(host::now_unix_nanos(), Ordering::Relaxed);
    let word = &record[family::REFUSAL];
    let claimed = state::word(state::FREE, pid.into());
    let relaxed = Ordering::Relaxed;
    let claim = one_step("refusal claimed", word).compare_exchange(0, claimed, relaxed, relaxed);
    if claim.is_err() {
        return;
    }
    let kept = &definition.as_bytes()[..definition.floor_char_boundary(BYTES_MAX)];
    text::store(&record[family::REFUSAL_TEXT..], kept);
    record[family::REFUSAL_BYTES].store(kept.len() as u64, relaxed);
    record::publish(word, claimed);
}

/// What was noted; `None` where nothing was refused.
pub(crate) fn read(record: &[AtomicU64]) -> Option<Refused> {
    let load = |word: usize| record[word].load(Ordering::Relaxed);
    let count = load(family::REFUSED);
    (count > 0).then(|| Refused {
        count,
        last_unix_nanos: load(family::REFUSED_UNIX_NANOS),
        first: definition(record),
    })
}

fn definition(record: &[AtomicU64]) -> Option<RefusedDefinition> {
    let seen = record::seen_published(&record[family::REFUSAL])?;
    let bytes = record[family::REFUSAL_BYTES].load(Ordering::Relaxed);
    let bytes = usize::try_from(bytes)
        .ok()
        .filter(|&bytes| bytes <= BYTES_MAX)?;
    let text = text::load(&record[family::REFUSAL_TEXT..], bytes)?;
    let text = String::from_utf8(text).ok()?;
    let (property, requested) = text.split_once(' ')?;
    Some(RefusedDefinition {
        pid: u32::try_from(state::generation(seen)).ok()?,
        property: property.to_owned(),
        requested: requested.to_owned(),
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{GaugeMode, SegmentOptions, Unit};

    #[test]
    fn both_definitions_are_told() {
        let writer = SegmentOptions::new().heap().unwrap();
        let seconds = writer.counter("a_seconds_total", "A");
        seconds.unit(Unit::MICROSECONDS).register().unwrap();
        let gauge = |mode| writer.gauge("waiting", "W").mode(mode).register();
        gauge(GaugeMode::Sum).unwrap();
        let refused = |name: &str| {
            let snapshot = writer.snapshot().unwrap();
            snapshot.family(name).unwrap().refused().cloned()
        };
        assert_eq!(refused("waiting"), None);
        assert!(gauge(GaugeMode::Max).is_err() && gauge(GaugeMode::Min).is_err());
        let told = refused("waiting").unwrap();
        assert_eq!(told.count, 2);
        assert!(told.last_unix_nanos > 1_600_000_000_000_000_000);
        let first = told.first.unwrap();
        assert_eq!(
            (first.pid, &*first.property, &*first.requested),
            (std::process::id(), "type", "gauge (max)")
        );
        let nanos = writer
            .counter("a_seconds_total", "A")
            .unit(Unit::NANOSECONDS);
        assert!(nanos.register().is_err());
        let unit = refused("a_seconds_total").unwrap().first.unwrap();
        assert_eq!(unit.property, "unit");
        assert!("seconds (recorded in 1/1000000000 of a base unit)".starts_with(&unit.requested));
        let snapshot = writer.snapshot().unwrap();
        let family = snapshot.family("waiting").unwrap().family;
        assert_eq!(family.property("type").as_deref(), Some("gauge (sum)"));
    }

    #[test]
    fn a_family_that_comes_again_was_refused_nothing() {
        let writer = SegmentOptions::new().heap().unwrap();
        let declare = |name: &str| writer.counter(name, "A").family();
        drop(declare("a_total").unwrap());
        assert!(writer.counter_f64("a_total", "A").register().is_err());
        let refused = || {
            let snapshot = writer.snapshot().unwrap();
            let refused = snapshot.families().map(|family| family.refused().is_some());
            refused.collect::<Vec<bool>>()
        };
        assert_eq!(refused(), [true]);
        assert!(writer.remove_family("a_total").unwrap());
        drop(declare("b_total").unwrap());
        assert_eq!(refused(), [false]);
    }

    #[test]
    fn words_that_make_no_sense_are_no_definition() {
        let words: Vec<AtomicU64> = (0..family::WORDS).map(|_| AtomicU64::new(0)).collect();
        assert_eq!(read(&words), None);
        let long = format!("states {}", "ä".repeat(99));
        keep(&words, 7, &long);
        let told = read(&words).unwrap().first.unwrap();
        assert_eq!(
            (told.pid, &*told.property, told.requested.len()),
            (7, "states", 48)
        );
        for bytes in [u64::MAX, 57, 8, 0] {
            words[family::REFUSAL_BYTES].store(bytes, Ordering::Relaxed);
            assert_eq!(read(&words).unwrap().first, None, "{bytes}");
        }
    }
}
