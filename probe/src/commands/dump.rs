//! `dump`: everything, for a report or another program.

use std::io::{self, Write};

use serde::Serialize;

use super::{check, get, ls, procs};
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::terminal::{Paint, Terminal, printable};
use crate::units::Units;
use crate::views::{self, DamageView, FamilyView, LossesView, ProcessView, SegmentView};

#[derive(Debug, Serialize)]
struct Everything {
    time_unix_nanos: u64,
    segment: SegmentView,
    families: Vec<FamilyView>,
    processes: Vec<ProcessView>,
    losses: LossesView,
    damage: Vec<DamageView>,
}

pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let snapshot = context.snapshot()?;
    let everything = Everything {
        time_unix_nanos: snapshot.time_unix_nanos,
        segment: SegmentView::new(&snapshot.segment),
        families: views::families(&snapshot, &Filter::default()),
        processes: views::processes(&snapshot),
        losses: LossesView(snapshot.losses.clone()),
        damage: views::damage(&snapshot),
    };
    if context.is_text_asked() {
        let units = context.units(false);
        context.write(|out| write_everything(&everything, units, out, &context.terminal))
    } else {
        context.write_json(&everything)
    }
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
        writeln!(out, "{}: {count}", check::loss_words(loss))?;
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
