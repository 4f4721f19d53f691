//! What the values themselves tell: dead processes, gauges that nobody sets.

use tachograph::{FamilyView, Kind, Snapshot, ValueView};

use crate::findings::{Finding, Severity};
use crate::terminal::printable;

/// Names that are told at most.
const NAMES_MAX: usize = 5;

/// Slots of ended processes, and segments that nobody writes to.
pub(super) fn processes(snapshot: &Snapshot) -> Vec<Finding> {
    let (living, dead): (Vec<_>, Vec<_>) =
        snapshot.processes.iter().partition(|process| process.alive);
    let mut findings = Vec::new();
    if !dead.is_empty() {
        let names = dead
            .iter()
            .map(|process| format!("{} ({})", printable(&process.name), process.pid));
        let ended = match dead.len() {
            1 => "1 process has ended".to_owned(),
            count => format!("{count} processes have ended"),
        };
        findings.push(Finding::new(
            Severity::Hint,
            "dead_slots",
            "",
            format!("{ended}: {}", listed(names.collect())),
            "see why, unless they should have; the next processes take their slots",
        ));
    }
    if living.is_empty() && snapshot.segment.this_boot {
        findings.push(Finding::new(
            Severity::Warning,
            "no_writer",
            "",
            "no living process writes to the segment",
            "start the writers; if they run, they use another path or have lost this one",
        ));
    }
    findings
}

fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let mut text = names.join(", ");
    if more > 0 {
        text = format!("{text} and {more} more");
    }
    text
}

fn gauges(snapshot: &Snapshot) -> impl Iterator<Item = FamilyView<'_>> {
    snapshot
        .families()
        .filter(|view| matches!(view.family.kind, Kind::Gauge(_) | Kind::GaugeF64(_)))
}

fn is_unset(value: ValueView<'_>) -> bool {
    match value {
        ValueView::Absent => true,
        ValueView::Each(values) => values.is_empty(),
        _ => false,
    }
}

/// Gauges that were declared and that no living process has set.
pub(super) fn unset_gauges(snapshot: &Snapshot) -> Vec<Finding> {
    let is_unused = |view: &FamilyView<'_>| {
        view.series().len() > 0 && view.series().all(|series| is_unset(series.value))
    };
    // Where nobody lives, that says it all.
    let lives = snapshot.processes.iter().any(|process| process.alive);
    let unused = gauges(snapshot).filter(|view| lives && is_unused(view));
    unused
        .map(|view| {
            Finding::new(
                Severity::Hint,
                "gauge_unset",
                &view.family.name,
                format!("no living process has set {}", printable(&view.family.name)),
                "set it, or remove it from the program",
            )
        })
        .collect()
}

/// Gauges of which no series changed between two looks.
pub(super) fn still_gauges(before: &Snapshot, after: &Snapshot) -> Vec<Finding> {
    let values = |view: &FamilyView<'_>| {
        let series = view.series().filter(|series| !is_unset(series.value));
        series
            .map(|series| format!("{:?}", series.value))
            .collect::<Vec<String>>()
    };
    let still = gauges(after).filter(|view| {
        let now = values(view);
        let then = before.family(&view.family.name);
        !now.is_empty() && then.is_some_and(|then| values(&then) == now)
    });
    let names: Vec<String> = still
        .map(|view| printable(&view.family.name).into_owned())
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![Finding::new(
        Severity::Hint,
        "gauge_still",
        names.join(" "),
        format!(
            "{} gauges did not change: {}",
            names.len(),
            listed(names.clone())
        ),
        "nothing, if their values should stand; else see who sets them",
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph::SegmentOptions;

    #[test]
    fn gauges_that_nobody_sets_are_told_apart() {
        let writer = SegmentOptions::new().heap().unwrap();
        let [moving, still, _unset] = ["moving_jobs", "still_jobs", "unset_jobs"].map(|name| {
            let gauge = writer.gauge(name, "G").mode(tachograph::GaugeMode::Max);
            gauge.register().unwrap()
        });
        moving.set(1);
        still.set(1);
        let before = writer.snapshot().unwrap();
        moving.set(2);
        let after = writer.snapshot().unwrap();
        let unset = unset_gauges(&after);
        assert_eq!(unset.len(), 1);
        assert_eq!(unset[0].about, "unset_jobs");
        assert_eq!(still_gauges(&before, &after)[0].about, "still_jobs");
        moving.set(3);
        still.set(3);
        assert_eq!(still_gauges(&after, &writer.snapshot().unwrap()), []);
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(listed(vec!["a".into(), "b".into()]), "a, b");
        let many = (0..8).map(|index| index.to_string()).collect();
        assert_eq!(listed(many), "0, 1, 2, 3, 4 and 3 more");
    }
}
