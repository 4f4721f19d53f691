//! `dump`: everything, for a report, another program, or another look later.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tachograph::Snapshot;

use super::{check, get, ls, procs};
use crate::cli::Dump;
use crate::context::Context;
use crate::dumped;
use crate::failure::Failure;
use crate::file;
use crate::filter::Filter;
use crate::findings;
use crate::samples;
use crate::terminal::{Paint, Terminal, printable};
use crate::units::{self, Units};
use crate::views::{
    self, DamageView, FamilyView, LossesView, ProcessView, RemovalsView, SegmentView,
};

#[derive(Debug, Serialize)]
struct Everything {
    /// The version of the form, by which a dump is known.
    tachograph_dump: u32,
    time_unix_nanos: u64,
    segment: SegmentView,
    families: Vec<FamilyView>,
    processes: Vec<ProcessView>,
    losses: LossesView,
    removals: RemovalsView,
    damage: Vec<DamageView>,
}

impl Everything {
    fn new(snapshot: &Snapshot) -> Everything {
        Everything {
            tachograph_dump: dumped::VERSION,
            time_unix_nanos: snapshot.time_unix_nanos,
            segment: SegmentView::new(&snapshot.segment),
            families: views::families(snapshot, &Filter::default()),
            processes: views::processes(snapshot),
            losses: LossesView(snapshot.losses.clone()),
            removals: RemovalsView::new(&snapshot.removals),
            damage: views::damage(snapshot),
        }
    }
}

pub(crate) fn run(arguments: &Dump, context: &Context) -> Result<(), Failure> {
    let snapshot = context.snapshot()?;
    let everything = Everything::new(&snapshot);
    if let Some(path) = &arguments.output {
        return write_file(&everything, path, context);
    }
    if context.is_text_asked() {
        let units = context.units(false);
        context.write(|out| write_everything(&everything, units, out, &context.terminal))
    } else if context.is_csv() {
        let rows: Vec<_> = everything.families.iter().flat_map(samples::of).collect();
        context.write_csv(&samples::COLUMNS, rows.iter().map(|sample| sample.row()))
    } else {
        context.write_json(&everything)
    }
}

/// Writes a file beside `path` and gives it that name when it is complete. What is there and is no regular file, such as
/// a pipe, is written to as it is.
fn write_file(everything: &Everything, path: &Path, context: &Context) -> Result<(), Failure> {
    let failure =
        |error: io::Error| Failure::Message(format!("cannot write {}: {error}", path.display()));
    file::refuse_segment(path).map_err(failure)?;
    if std::fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        let written = File::options().write(true).open(path);
        let written = written.and_then(|file| write_json(everything, path, &file));
        return written.map_err(failure);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let write = || {
        let file = File::create_new(&unfinished)?;
        write_json(everything, path, &file)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    if let Err(error) = write() {
        // It may not have been made at all.
        let _ = std::fs::remove_file(&unfinished);
        return Err(failure(error));
    }
    let bytes = std::fs::metadata(path).map_err(failure)?.len();
    let series: usize = everything.families.iter().map(|f| f.series.len()).sum();
    context.say(&format!(
        "{series} series in {}, {}",
        path.display(),
        units::size(bytes)
    ));
    Ok(())
}

/// One line of JSON, compressed where the name says so.
fn write_json(everything: &Everything, path: &Path, file: &File) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    if path.extension().is_some_and(|extension| extension == "gz") {
        // Compression of a few bytes at a time would take most of the time.
        let mut text = BufWriter::new(GzEncoder::new(&mut out, Compression::default()));
        serde_json::to_writer(&mut text, everything)?;
        text.into_inner()?.finish()?;
    } else {
        serde_json::to_writer(&mut out, everything)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn write_everything(
    everything: &Everything,
    units: Units,
    out: &mut dyn Write,
    terminal: &Terminal,
) -> io::Result<()> {
    let heading = |out: &mut dyn Write, text: &str| {
        writeln!(out, "\n{}", terminal.paint(Paint::Header, text))
    };
    let now = everything.time_unix_nanos;
    check::write_segment(&everything.segment, now, out)?;
    heading(out, "# Tables")?;
    check::tables(&everything.segment).write(out, terminal)?;
    heading(out, "# Processes")?;
    procs::table(&everything.processes, now).write(out, terminal)?;
    heading(out, "# Losses")?;
    for (loss, count) in everything.losses.0.iter() {
        writeln!(out, "{}: {count}", findings::loss_words(loss))?;
    }
    heading(out, "# Damage")?;
    for damage in &everything.damage {
        let reason = printable(&damage.reason);
        writeln!(out, "{} {}: {reason}", damage.table, damage.index)?;
    }
    if everything.damage.is_empty() {
        writeln!(out, "none")?;
    }
    heading(out, "# Families")?;
    ls::families_table(everything.families.iter().map(|family| &family.facts))
        .write(out, terminal)?;
    heading(out, "# Values")?;
    get::write_families(&everything.families, units, true, out, terminal)
}
