//! `check`: is the segment healthy?

use std::io::{self, Write};

use serde::Serialize;
use tachograph::Snapshot;

use crate::cli::Check;
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::findings::{self, Finding, Severity};
use crate::table::{Align, Cell, Table};
use crate::terminal::{Paint, Terminal, printable};
use crate::units;
use crate::views::{self, DamageView, LossesView, ProcessView, RemovalsView, SegmentView};

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
    findings: Vec<Finding>,
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

pub(crate) fn run(arguments: &Check, context: &Context) -> Result<(), Failure> {
    let health = match context.snapshot() {
        Ok(snapshot) => collect(&snapshot),
        Err(failure) => return Err(unreadable(&failure, context)),
    };
    let written = if context.is_json() {
        context.write_json(&health)
    } else if context.is_csv() {
        context.write_csv(&Finding::COLUMNS, health.findings.iter().map(Finding::row))
    } else {
        context.write(|out| write_health(&health, out, &context.terminal))
    };
    match (written, health.verdict) {
        (Err(failure), _) if !failure.is_broken_pipe() => Err(failure),
        // The exit status is an answer too, and stands when nobody reads the rest.
        (_, Verdict::Damaged) => Err(Failure::Told),
        (_, Verdict::Warning) if arguments.strict => Err(Failure::Told),
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
    let damage = views::damage(snapshot);
    let mut findings = findings::of(snapshot);
    let warnings: Vec<String> = findings.iter().map(|found| found.what.clone()).collect();
    findings.extend(findings::damage(snapshot));
    let verdict = match (damage.is_empty(), warnings.is_empty()) {
        (false, _) => Verdict::Damaged,
        (true, false) => Verdict::Warning,
        (true, true) => Verdict::Ok,
    };
    Health {
        verdict,
        warnings,
        findings,
        time_unix_nanos: snapshot.time_unix_nanos,
        segment,
        processes,
        losses: LossesView(snapshot.losses.clone()),
        removals: RemovalsView::new(&snapshot.removals),
        damage,
    }
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
    write_findings(&health.findings, out, terminal)?;
    writeln!(out, "{}", verdict_line(health, terminal))
}

/// Each finding with its next step below it.
pub(crate) fn write_findings(
    findings: &[Finding],
    out: &mut dyn Write,
    terminal: &Terminal,
) -> io::Result<()> {
    for finding in findings {
        let paint = match finding.severity {
            Severity::Hint => Paint::Dim,
            Severity::Warning => Paint::Warning,
            Severity::Error => Paint::Bad,
        };
        let is_damage = finding.code == "damage";
        let name = if is_damage {
            "damage"
        } else {
            finding.severity.name()
        };
        let label = terminal.paint(paint, &format!("{name}:"));
        let about = if is_damage {
            format!("{}: ", finding.about)
        } else {
            String::new()
        };
        writeln!(out, "{label} {about}{}", finding.what)?;
        writeln!(out, "  next: {}", finding.next)?;
    }
    Ok(())
}

fn verdict_line(health: &Health, terminal: &Terminal) -> String {
    let path = printable(&health.segment.source.path);
    let (paint, word, rest) = match health.verdict {
        Verdict::Ok => (Paint::Good, "OK", "healthy".into()),
        Verdict::Warning => {
            let warnings = units::counted(health.warnings.len(), "warning");
            (Paint::Warning, "WARNING", format!("undamaged, {warnings}"))
        }
        Verdict::Damaged => {
            let places = units::counted(health.damage.len(), "damaged place");
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
        let paint = if fill.is_nearly_full {
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
