//! What an operator should know of a segment: what is wrong, whose doing it is, and the next step.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tachograph::{Damage, Family, FamilyView, Loss, LossClass, Recording, Snapshot, TableFill};

use crate::clock;
use crate::terminal::printable;
use crate::units;

/// A table fuller than this is worth a warning.
const FULL_PERCENT: u64 = 80;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Nothing is lost: worth a look.
    Hint,
    /// Something is lost, slower or soon full.
    Warning,
    /// The segment cannot be relied on, or cannot be used.
    Error,
}

impl Severity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Severity::Hint => "hint",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something to know, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// A name that scripts can rely on.
    pub(crate) code: &'static str,
    /// The family, table, process or path; empty for the segment.
    pub(crate) about: String,
    pub(crate) what: String,
    /// What to do next.
    pub(crate) next: String,
}

impl Finding {
    pub(crate) fn new(
        severity: Severity,
        code: &'static str,
        about: impl Into<String>,
        what: impl Into<String>,
        next: impl Into<String>,
    ) -> Finding {
        Finding {
            severity,
            code,
            about: about.into(),
            what: what.into(),
            next: next.into(),
        }
    }

    fn warning(
        code: &'static str,
        about: impl Into<String>,
        what: impl Into<String>,
        next: impl Into<String>,
    ) -> Finding {
        Finding::new(Severity::Warning, code, about, what, next)
    }

    /// The columns of CSV, and their values.
    pub(crate) const COLUMNS: [&'static str; 5] = ["severity", "code", "about", "what", "next"];

    pub(crate) fn row(&self) -> [&str; 5] {
        let severity = self.severity.name();
        [severity, self.code, &self.about, &self.what, &self.next]
    }
}

/// Whether a table is nearly full.
pub(crate) fn is_nearly_full(table: &TableFill) -> bool {
    let percent = u128::from(table.used) * 100;
    percent > u128::from(table.capacity.max(1)) * u128::from(FULL_PERCENT)
}

/// What is damaged.
pub(crate) fn damage(snapshot: &Snapshot) -> Vec<Finding> {
    let damaged = |damage: &Damage| {
        Finding::new(
            Severity::Error,
            "damage",
            format!("{} {}", damage.table, damage.index),
            printable(&damage.reason),
            "find who writes to the file; remove it and restart its writers",
        )
    };
    snapshot.damage.iter().map(damaged).collect()
}

/// All that a snapshot tells but damage, which `check` counts by record.
pub(crate) fn of(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !snapshot.segment.this_boot {
        findings.push(Finding::warning(
            "earlier_boot",
            "",
            "written before the last boot: history, nobody records here",
            "start a writer that may replace it, or remove it: tachograph-probe rm",
        ));
    }
    let tables = snapshot.segment.tables.iter();
    findings.extend(
        tables
            .filter(|table| is_nearly_full(table))
            .map(|table| full(table, snapshot)),
    );
    findings.extend(snapshot.families().filter_map(|view| overflow(&view)));
    let conflicts = snapshot
        .families()
        .filter_map(|view| conflict(&view, snapshot));
    findings.extend(conflicts);
    let losses = snapshot.losses.iter().filter(|&(_, count)| count > 0);
    findings.extend(losses.map(|(loss, count)| lost(loss, count, snapshot)));
    findings.extend(processes(snapshot));
    findings
}

fn full(table: &TableFill, snapshot: &Snapshot) -> Finding {
    let option = match table.table {
        "series_index" => "series",
        "family_index" => "families",
        "strings" => "string-bytes",
        "histogram_pages" => "histogram-bytes",
        "marks" => "processes",
        "counter_cells" => "counter-cells",
        "process_cells" => "process-cells",
        "shared_cells" => "shared-cells",
        other => other,
    };
    let mut next = format!("stop the writers and create the segment with more --{option}");
    if matches!(
        table.table,
        "series" | "series_index" | "strings" | "counter_cells"
    ) && let Some(family) = largest(snapshot)
    {
        let count = family.series.len();
        next = format!(
            "{next}; {} has the most series, {count}",
            printable(&family.name)
        );
    }
    let share = units::percent(as_share(table.used, table.capacity));
    let what = format!("the {} table is {share} full", table.table);
    Finding::warning("table_full", table.table, what, next)
}

#[expect(clippy::cast_precision_loss, reason = "a percentage is rounded anyway")]
fn as_share(used: u64, capacity: u64) -> f64 {
    used as f64 / capacity.max(1) as f64
}

fn largest(snapshot: &Snapshot) -> Option<&Family> {
    let families = snapshot.directory.families.iter();
    families.max_by_key(|family| family.series.len())
}

fn overflow(view: &FamilyView<'_>) -> Option<Finding> {
    let count = view.overflowed();
    let family = view.family;
    if count == 0 {
        return None;
    }
    let name = printable(&family.name);
    let blame = blame(family);
    let what = match &blame {
        Some((label, values)) => format!(
            "{name} folded {count} registrations into __other__: label `{label}` has {values} values"
        ),
        None => format!("{name} folded {count} registrations into __other__"),
    };
    let limit = family.series_limit;
    let next = match blame {
        Some((label, _)) => {
            format!(
                "drop `{label}` or bound its values, or raise the family's series_limit ({limit})"
            )
        }
        None => format!("raise the family's series_limit ({limit})"),
    };
    Some(Finding::warning(
        "family_overflowed",
        &family.name,
        what,
        next,
    ))
}

/// Registrations that asked for another definition: what the family is, and who wanted what.
fn conflict(view: &FamilyView<'_>, snapshot: &Snapshot) -> Option<Finding> {
    let refused = view.refused()?;
    let name = printable(&view.family.name);
    let last = clock::age(refused.last_unix_nanos, snapshot.time_unix_nanos);
    let count = usize::try_from(refused.count).unwrap_or(usize::MAX);
    let refusals = units::counted(count, "registration");
    let differs = match &refused.first {
        Some(first) => {
            let existing = view.family.property(&first.property).unwrap_or_default();
            format!(
                "{name} is registered with {} {}; process {} wanted {}",
                printable(&first.property),
                printable(&existing),
                named(first.pid, snapshot),
                printable(&first.requested)
            )
        }
        None => format!("{name} was asked for with another definition"),
    };
    Some(Finding::warning(
        "conflict",
        &view.family.name,
        format!("{differs}: {refusals} refused, the last {last} ago"),
        "declare it alike everywhere, or rename one: what was refused records nothing",
    ))
}

/// A process by its id, and by its name where it has a slot still.
fn named(pid: u32, snapshot: &Snapshot) -> String {
    let mut processes = snapshot.processes.iter();
    match processes.find(|process| process.pid == pid) {
        Some(process) => format!("{pid} ({})", printable(&process.name)),
        None => pid.to_string(),
    }
}

/// The label value of what was folded.
const OVERFLOW: &str = "__other__";

/// The label of a family that has the most values, and how many.
pub(crate) fn blame(family: &Family) -> Option<(String, usize)> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for label in family.series.iter().flat_map(|series| series.labels.iter()) {
        if label.value != OVERFLOW {
            values.entry(label.name).or_default().insert(label.value);
        }
    }
    values
        .into_iter()
        .map(|(name, values)| (printable(name).into_owned(), values.len()))
        .max_by_key(|(_, values)| *values)
}

fn lost(loss: Loss, count: u64, snapshot: &Snapshot) -> Finding {
    let folded = snapshot.families().filter(|view| view.overflowed() > 0);
    let about = match loss {
        Loss::SeriesLimit | Loss::LabelTooLong => {
            let names = folded.map(|view| view.family.name.clone());
            names.collect::<Vec<String>>().join(" ")
        }
        _ => String::new(),
    };
    Finding::warning(
        loss.name(),
        about,
        format!("{}: {count}", loss_words(loss)),
        remedy(loss),
    )
}

/// What was lost and why.
pub(crate) fn loss_words(loss: Loss) -> String {
    let what = match loss.class() {
        LossClass::Registration => "registrations folded or lost",
        LossClass::Rejected => "updates refused",
        LossClass::Lost => "amounts lost",
        LossClass::Page => "pages lost to a process, with what it adds there",
    };
    format!("{what} ({})", loss.name())
}

fn remedy(loss: Loss) -> &'static str {
    match loss {
        Loss::SeriesLimit => "see which label explodes: tachograph-probe ls FAMILY --series",
        Loss::SeriesTable => "create the segment with more --series",
        Loss::FamilyTable => "create the segment with more --families",
        Loss::Strings => "create the segment with more --string-bytes",
        Loss::Cells => {
            "create the segment with more of the table that is full: tachograph-probe check"
        }
        Loss::NoSpace => "enlarge the tmpfs: mount -o remount,size=, or --shm-size",
        Loss::ProcessTable => "create the segment with more --processes",
        Loss::ForkedWithoutFile => "attach in the child before it drops privileges",
        Loss::RejectedNan | Loss::RejectedNegative | Loss::RejectedInfinite => {
            "mend the caller: it records what is no amount"
        }
        Loss::LostCounter | Loss::LostHistogram => {
            "mend the reason why they could not be registered"
        }
        Loss::Unwritable => "find who changes the file; remove it and restart its writers",
        Loss::LabelTooLong => "shorten the label's values",
        Loss::FamilyRemoved => "declare the family again where it is still used",
        _ => "see docs/OPERATIONS.md",
    }
}

fn processes(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let living = snapshot.processes.iter().filter(|process| process.alive);
    for process in living.filter(|process| process.recording.mode() != "rseq") {
        let name = printable(&process.name);
        findings.push(Finding::warning(
            "fallback",
            process.pid.to_string(),
            format!(
                "process {} ({name}) records by slower atomic additions: {}",
                process.pid,
                process.recording.reason()
            ),
            sequences(process.recording),
        ));
    }
    if snapshot.removals.untracked > 0 {
        let children = snapshot.removals.untracked;
        findings.push(Finding::warning(
            "untracked_fork",
            "",
            format!("{children} children could not be followed through their fork: no removed series is freed any more"),
            "raise the limit of descriptors (ulimit -n) of what forks, and create the segment anew",
        ));
    }
    for process in snapshot
        .processes
        .iter()
        .filter(|process| process.holds_removed > 0)
    {
        let (pid, name, held) = (process.pid, printable(&process.name), process.holds_removed);
        findings.push(Finding::warning(
            "holds_removed",
            pid.to_string(),
            format!("process {pid} ({name}) has handles of {held} removed series, which are not freed before it ends"),
            "use leases for series that come and go, or restart it",
        ));
    }
    findings
}

/// How a process would come to record by restartable sequences.
fn sequences(recording: Recording) -> &'static str {
    match recording {
        Recording::FallbackTarget => {
            "nothing: this processor has none; updates are exact at some 2 ns"
        }
        Recording::FallbackLibrary => "run it with glibc 2.35 or newer, and not musl",
        Recording::FallbackUnregistered => {
            "take glibc.pthread.rseq=0 out of GLIBC_TUNABLES, and let the sandbox allow rseq(2)"
        }
        Recording::FallbackSelfTest => "use a kernel that passes the self-test",
        Recording::FallbackUntested => {
            "start it without real-time priority, or with more than one CPU"
        }
        _ => "use the probe of the writers' version",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph::SegmentOptions;

    #[test]
    fn an_overflow_names_the_family_and_the_label() {
        let writer = SegmentOptions::new().heap().unwrap();
        let family = writer.counter("x_total", "X").series_limit(50);
        let family = family.family().unwrap();
        for index in 0..80 {
            let path = index.to_string();
            let method = if index % 2 == 0 { "get" } else { "post" };
            family
                .with(&[("path", &path), ("method", method)])
                .unwrap()
                .inc();
        }
        let snapshot = writer.snapshot().unwrap();
        let findings = of(&snapshot);
        let found = findings
            .iter()
            .find(|finding| finding.code == "family_overflowed");
        let found = found.unwrap();
        assert_eq!(found.about, "x_total");
        assert!(found.what.contains("label `path` has "), "{found:?}");
        assert!(found.next.starts_with("drop `path`"), "{found:?}");
        let limit = findings
            .iter()
            .find(|finding| finding.code == "series_limit");
        assert_eq!(limit.unwrap().about, "x_total");
    }

    #[test]
    fn a_conflict_names_both_definitions_and_who_it_was() {
        let writer = SegmentOptions::new().process_name("shop").heap().unwrap();
        writer.counter("x_total", "X").register().unwrap();
        assert!(writer.counter_f64("x_total", "X").register().is_err());
        let snapshot = writer.snapshot().unwrap();
        let found = of(&snapshot);
        let found = found.iter().find(|finding| finding.code == "conflict");
        let found = found.unwrap();
        assert_eq!(found.about, "x_total");
        let pid = std::process::id();
        let told = format!(
            "x_total is registered with type counter; process {pid} (shop) wanted counter of floats: \
             1 registration refused, the last 0s ago"
        );
        assert_eq!(found.what, told);
    }

    #[test]
    fn every_loss_has_a_remedy_and_a_code() {
        for loss in Loss::ALL {
            let snapshot = SegmentOptions::new().heap().unwrap().snapshot().unwrap();
            let finding = lost(loss, 1, &snapshot);
            assert!(!finding.next.contains("OPERATIONS"), "{finding:?}");
            assert_eq!(finding.code, loss.name());
        }
    }
}
