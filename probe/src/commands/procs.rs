//! `procs`: who is attached, and how each process records.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde::Serialize;

use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::table::{Align, Cell, Table};
use crate::terminal::{Paint, printable};
use crate::views::{self, ProcessView, SourceView};

#[derive(Debug, Serialize)]
struct Processes {
    segment: SourceView,
    time_unix_nanos: u64,
    processes: Vec<ProcessView>,
}

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let snapshot = context.snapshot()?;
    let view = Processes {
        segment: SourceView::new(&snapshot.segment),
        time_unix_nanos: snapshot.time_unix_nanos,
        processes: views::processes(&snapshot),
    };
    if context.is_json() {
        return context.write_json(&view);
    }
    if context.is_csv() {
        return write_csv(&view.processes, context);
    }
    if view.processes.is_empty() {
        context.say("no process has attached for writing yet");
        return Ok(());
    }
    let table = table(&view.processes, view.time_unix_nanos);
    context.write(|out| table.write(out, &context.terminal))
}

fn write_csv(processes: &[ProcessView], context: &Context) -> Result<(), Failure> {
    let header = [
        "slot",
        "generation",
        "pid",
        "name",
        "alive",
        "recording",
        "reason",
        "attached_unix_nanos",
        "holds_removed",
    ];
    let rows = processes.iter().map(|process| {
        [
            process.slot.to_string(),
            process.generation.to_string(),
            process.pid.to_string(),
            process.name.clone(),
            process.alive.to_string(),
            process.recording.to_owned(),
            process.reason.to_owned(),
            process.attached_unix_nanos.to_string(),
            process.holds_removed.to_string(),
        ]
    });
    context.write_csv(&header, rows)
}

/// The processes as `procs` and `dump` show them.
pub(crate) fn table(processes: &[ProcessView], now_unix_nanos: u64) -> Table {
    let own_namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino());
    let mut table = Table::new(&[
        ("SLOT", Align::Right),
        ("GEN", Align::Right),
        ("PID", Align::Right),
        ("NAME", Align::Left),
        ("STATE", Align::Left),
        ("ATTACHED", Align::Right),
        ("RECORDS BY", Align::Left),
    ]);
    for process in processes {
        let (state, paint) = if process.alive {
            ("alive", Paint::Good)
        } else {
            ("dead", Paint::Dim)
        };
        let age = clock::age(process.attached_unix_nanos, now_unix_nanos);
        let is_rseq = process.recording == "rseq";
        let paint_mode = if is_rseq {
            Paint::Plain
        } else {
            Paint::Warning
        };
        table.row([
            process.slot.to_string().into(),
            process.generation.to_string().into(),
            process.pid.to_string().into(),
            printable(&process.name).into(),
            Cell::painted(state, paint),
            format!("{age} ago").into(),
            Cell::painted(recording(process, own_namespace), paint_mode),
        ]);
    }
    table
}

/// How it records, why if not by restartable sequences, and a warning where its pid means another process to us.
fn recording(process: &ProcessView, own_namespace: u64) -> String {
    let mut text = process.recording.to_owned();
    if process.recording != "rseq" {
        text = format!("{text}: {}", process.reason);
    }
    let is_foreign =
        own_namespace != 0 && process.pid_namespace != 0 && process.pid_namespace != own_namespace;
    if is_foreign {
        text.push_str(" (pid of another namespace)");
    }
    text
}
