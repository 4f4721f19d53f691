//! `check`: is the segment healthy?

use std::io::{self, Write};

use serde::Serialize;
use tachograph::{Loss, LossClass, Losses, Snapshot};

use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::table::{Align, Cell, Table};
use crate::terminal::{Paint, Terminal, printable};
use crate::units;
use crate::views::{self, DamageView, LossesView, ProcessView, RemovalsView, SegmentView};

/// A table fuller than this is worth a warning.
const FULL_PERCENT: f64 = 80.0;

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Damaged,
}

#[derive(Debug, Serialize)]
struct Health {
    verdict: Verdict,
    warnings: Vec<String>,
    time_unix_nanos: u64,
    segment: SegmentView,
    processes: ProcessCounts,
    losses: LossesView,
    removals: RemovalsView,
    damage: Vec<DamageView>,
}

#[derive(Debug, Serialize)]
struct ProcessCounts {
    alive: usize,
    dead: usize,
    /// The living ones that do not record by restartable sequences.
    fallback: Vec<ProcessView>,
}

/// What stands in place of [`Health`] when there is nothing to look at.
#[derive(Debug, Serialize)]
struct Unreadable<'a> {
    verdict: &'static str,
    error: &'a str,
}

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let health = match context.snapshot() {
        Ok(snapshot) => collect(&snapshot),
        Err(failure) => return Err(unreadable(&failure, context)),
    };
    let written = if context.is_json() {
        context.write_json(&health)
    } else {
        context.write(|out| write_health(&health, out, &context.terminal))
    };
    match (written, health.verdict) {
        (Err(failure), _) if !failure.is_broken_pipe() => Err(failure),
        // The exit status is an answer too, and stands when nobody reads the rest.
        (_, Verdict::Damaged) => Err(Failure::Told),
        (_, Verdict::Ok | Verdict::Warning) => Ok(()),
    }
}

fn unreadable(failure: &Failure, context: &Context) -> Failure {
    let error = failure.to_string();
    let document = Unreadable {
        verdict: "unreadable",
        error: &error,
    };
    if context.is_json()
        && let Err(failure) = context.write_json(&document)
        && !failure.is_broken_pipe()
    {
        return failure;
    }
    Failure::Message(format!("UNREADABLE: {error}"))
}

fn collect(snapshot: &Snapshot) -> Health {
    let segment = SegmentView::new(&snapshot.segment);
    let (alive, dead): (Vec<ProcessView>, Vec<ProcessView>) = views::processes(snapshot)
        .into_iter()
        .partition(|process| process.alive);
    let processes = ProcessCounts {
        alive: alive.len(),
        dead: dead.len(),
        fallback: alive
            .into_iter()
            .filter(|process| process.recording != "rseq")
            .collect(),
    };
    let mut warnings = warnings(&segment, &processes, &snapshot.losses);
    warnings.extend(removal_warnings(snapshot));
    let damage = views::damage(snapshot);
    let verdict = match (damage.is_empty(), warnings.is_empty()) {
        (false, _) => Verdict::Damaged,
        (true, false) => Verdict::Warning,
        (true, true) => Verdict::Ok,
    };
    Health {
        verdict,
        warnings,
        time_unix_nanos: snapshot.time_unix_nanos,
        segment,
        processes,
        losses: LossesView(snapshot.losses.clone()),
        removals: RemovalsView::new(&snapshot.removals),
        damage,
    }
}

/// What an operator should look at, though nothing is broken.
fn warnings(segment: &SegmentView, processes: &ProcessCounts, losses: &Losses) -> Vec<String> {
    let mut warnings = Vec::new();
    if !segment.this_boot {
        warnings.push("written before the last boot: history, nobody records here".to_owned());
    }
    for table in &segment.tables {
        if table.percent > FULL_PERCENT {
            warnings.push(format!(
                "the {} table is {} full: create the segment with a larger one",
                table.table,
                units::percent(table.percent / 100.0)
            ));
        }
    }
    for (loss, count) in losses.iter().filter(|&(_, count)| count > 0) {
        warnings.push(format!("{}: {count}", loss_words(loss)));
    }
    for process in &processes.fallback {
        let name = printable(&process.name);
        warnings.push(format!(
            "process {} ({name}) records by slower atomic additions: {}",
            process.pid, process.reason
        ));
    }
    warnings
}

/// What keeps the memory of removed series from others.
fn removal_warnings(snapshot: &Snapshot) -> Vec<String> {
    let mut warnings = Vec::new();
    if snapshot.removals.untracked > 0 {
        warnings.push(format!(
            "{} children could not be followed through their fork: no removed series is freed any more",
            snapshot.removals.untracked
        ));
    }
    for process in snapshot
        .processes
        .iter()
        .filter(|process| process.holds_removed > 0)
    {
        warnings.push(format!(
            "process {} ({}) has handles of {} removed series, which are not freed before it ends",
            process.pid,
            printable(&process.name),
            process.holds_removed
        ));
    }
    warnings
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

fn write_health(health: &Health, out: &mut dyn Write, terminal: &Terminal) -> io::Result<()> {
    write_segment(&health.segment, health.time_unix_nanos, out)?;
    let processes = &health.processes;
    writeln!(
        out,
        "processes  {} alive, {} dead, {} in fallback mode",
        processes.alive,
        processes.dead,
        processes.fallback.len()
    )?;
    let removals = &health.removals;
    writeln!(
        out,
        "removed    {} series, {} freed, {} waiting",
        removals.removed, removals.reclaimed, removals.waiting
    )?;
    writeln!(out)?;
    tables(&health.segment).write(out, terminal)?;
    writeln!(out)?;
    for warning in &health.warnings {
        let label = terminal.paint(Paint::Warning, "warning:");
        writeln!(out, "{label} {warning}")?;
    }
    for damage in &health.damage {
        let label = terminal.paint(Paint::Bad, "damage:");
        let reason = printable(&damage.reason);
        writeln!(out, "{label} {} {}: {reason}", damage.table, damage.index)?;
    }
    writeln!(out, "{}", verdict_line(health, terminal))
}

fn verdict_line(health: &Health, terminal: &Terminal) -> String {
    let path = printable(&health.segment.source.path);
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let (paint, word, rest) = match health.verdict {
        Verdict::Ok => (Paint::Good, "OK", "healthy".into()),
        Verdict::Warning => {
            let warnings = counted(health.warnings.len(), "warning");
            (Paint::Warning, "WARNING", format!("undamaged, {warnings}"))
        }
        Verdict::Damaged => {
            let places = counted(health.damage.len(), "damaged place");
            (Paint::Bad, "DAMAGED", places)
        }
    };
    format!("{}: {path}: {rest}", terminal.paint(paint, word))
}

/// The facts of the segment as `check` and `dump` show them.
pub(crate) fn write_segment(
    segment: &SegmentView,
    now_unix_nanos: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    let created = segment.created_unix_nanos;
    let age = clock::age(created, now_unix_nanos);
    let boot = if segment.this_boot {
        "this boot"
    } else {
        "an earlier boot"
    };
    writeln!(out, "segment    {}", printable(&segment.source.path))?;
    writeln!(
        out,
        "format     {}, instance {}",
        segment.version, segment.source.instance
    )?;
    writeln!(
        out,
        "created    {} ({age} ago), {boot}",
        clock::utc(created)
    )?;
    writeln!(
        out,
        "memory     {} taken of {} address space",
        units::size(segment.committed_bytes),
        units::size(segment.bytes)
    )?;
    writeln!(
        out,
        "shards     {} CPU, {} fallback",
        segment.cpu_shards, segment.fallback_shards
    )
}

/// How full each table is.
pub(crate) fn tables(segment: &SegmentView) -> Table {
    let mut table = Table::new(&[
        ("TABLE", Align::Left),
        ("USED", Align::Right),
        ("CAPACITY", Align::Right),
        ("FULL", Align::Right),
        ("MEMORY", Align::Right),
        ("AT MOST", Align::Right),
    ]);
    for fill in &segment.tables {
        let paint = if fill.percent > FULL_PERCENT {
            Paint::Warning
        } else {
            Paint::Plain
        };
        table.row([
            fill.table.into(),
            fill.used.to_string().into(),
            fill.capacity.to_string().into(),
            Cell::painted(units::percent(fill.percent / 100.0), paint),
            units::size(fill.committed_bytes).into(),
            units::size(fill.capacity_bytes).into(),
        ]);
    }
    table
}
