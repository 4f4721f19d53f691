//! The one overflow series of a family, made by whoever is refused first.

use std::sync::Arc;

use crate::attached::{Attached, Outcome, Resolved};
use crate::held::Hold;
use crate::layout::{Section, family};
use crate::loss::Loss;
use crate::process::Name;
use crate::sync::Ordering;

use super::stage::{self, Family, counters, labels};
use super::{Bound, prove, spawn};

/// A family that has reached its limit, and a process that is attached.
fn full() -> (Family, Arc<Attached>) {
    let family = Family::new(stage::segment(), &counters(1));
    family.register("x").unwrap();
    let attached = Attached::new(family.segment.share_heap(), Name::new("p"));
    attached.share_words();
    (family, Arc::new(attached))
}

/// Resolves and counts what was folded, as a family's lookup does.
fn resolve(attached: &Attached, family: &Family, value: &str) -> Resolved {
    let (resolved, loss) =
        attached.resolve((family.index, &family.known), &labels(value), Hold::Kept);
    if let Some(loss) = loss {
        attached.count_folded(family.index, loss);
    }
    resolved
}

/// Two that are refused end at one series.
fn the_refused_share_a_series() {
    let (family, attached) = full();
    overflow_is_shared(&family, &attached);
}

/// The same in a process that found no slot, so that it sets no mark, whose fence would order as much.
fn the_refused_without_a_slot_share_a_series() {
    let (family, attached) = full();
    attached.go_untracked();
    attached.give_up_slot(Loss::ProcessTable);
    overflow_is_shared(&family, &attached);
}

fn overflow_is_shared(family: &Family, attached: &Arc<Attached>) {
    let (other, its_family) = (attached.clone(), family.clone());
    let other = spawn(move || resolve(&other, &its_family, "y"));
    let mine = resolve(attached, family, "z");
    let theirs = other.join().unwrap();
    assert_eq!(
        (mine.outcome, theirs.outcome),
        (Outcome::Overflow, Outcome::Overflow)
    );
    assert_eq!(mine.cells, theirs.cells);
    assert_ne!(mine.cells.sharded, 0);
    let words = family.segment.section(Section::Families);
    assert_eq!(words[family::OVERFLOWED].load(Ordering::Relaxed), 2);
}

#[test]
fn overflow() {
    prove(
        Bound::Preemptions,
        the_refused_share_a_series,
        &["overflow seen", "overflow counted"],
    );
}

#[test]
fn overflow_without_a_slot() {
    prove(
        Bound::Preemptions,
        the_refused_without_a_slot_share_a_series,
        &["overflow made"],
    );
}

/// Two that are refused with other label names: the family keeps one overflow series for all that follow.
fn the_first_overflow_stays() {
    use crate::labels::{LabelSet, Names};
    let (family, attached) = full();
    let known = |family: &Family| (family.index, family.known.clone());
    let other = attached.clone();
    let (index, record) = known(&family);
    let other = spawn(move || {
        let labels = LabelSet::new(&[("l", "y")], Names::Legacy).unwrap();
        other.resolve((index, &record), &labels, Hold::Kept).0
    });
    let mine = resolve(&attached, &family, "z");
    let theirs = other.join().unwrap();
    assert_eq!(mine.cells, theirs.cells);
}

#[test]
fn first_overflow() {
    prove(
        Bound::ExhaustiveIfLong,
        the_first_overflow_stays,
        &["overflow named"],
    );
}

/// A family whose word names the record of another one ends at its own overflow series all the same.
fn a_wrong_overflow_is_not_followed() {
    let (family, attached) = full();
    let other = Family::new(
        family.segment.clone(),
        &stage::spec("b_total", family.known.spec.kind, 9),
    );
    let wrong = other.register("w").unwrap();
    let words = family.segment.section(Section::Families);
    words[family::OVERFLOW].store(u64::from(wrong) + 1, Ordering::Relaxed);
    let resolved = resolve(&attached, &family, "y");
    assert_eq!(resolved.outcome, Outcome::Overflow);
    let shown = stage::directory(&family.segment);
    let overflow = shown.families[0].series.iter();
    assert_eq!(
        overflow
            .filter(|series| series.labels.iter().any(|label| label.value == "__other__"))
            .count(),
        1
    );
}

#[test]
fn wrong_overflow() {
    prove(
        Bound::Exhaustive,
        a_wrong_overflow_is_not_followed,
        &["overflow is of its family"],
    );
}
