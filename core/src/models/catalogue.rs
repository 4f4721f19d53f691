//! A reader's catalogue: records published late, by whoever they were left to.

use crate::catalogue::Catalogue;
use crate::layout::{Section, series};
use crate::record;
use crate::sync::Ordering;

use super::stage::{self, Family, counters, seen, shown};
use super::{Bound, prove, spawn};

/// A registrant was killed before it published its record. The reader has looked since; the next registrant
/// of the key publishes, and the reader sees the record, which is below those that it had seen.
fn what_a_helper_publishes_shows() {
    let family = Family::new(stage::segment(), &counters(9));
    let dead = family.register("x").unwrap();
    family.register("y").unwrap();
    let segment = family.segment.clone();
    let words = segment.entry(Section::Series, dead, series::WORDS).unwrap();
    words[series::STATE].store(0, Ordering::Relaxed);
    super::atomic::watch([&words[series::STATE]]);
    let helper = spawn(move || family.register("x").unwrap());
    let mut catalogue = Catalogue::new();
    let (values, damaged) = seen(&mut catalogue, &segment);
    assert!(values == ["y"] || values == ["x", "y"], "{values:?}");
    assert_eq!(damaged, 0);
    assert_eq!(helper.join().unwrap(), dead);
    assert!(record::seen_published(&words[series::STATE]).is_some());
    assert_eq!(seen(&mut catalogue, &segment), (shown(&segment), 0));
}

#[test]
fn late_records() {
    prove(
        Bound::Exhaustive,
        what_a_helper_publishes_shows,
        &["unpublished watched"],
    );
}
