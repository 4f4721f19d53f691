//! `ls`: what there is.

use std::cmp::Reverse;
use std::io::{self, Write};

use serde::Serialize;
use tachograph::{Family, Snapshot};

use crate::cli::{Ls, Sort};
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::table::{Align, Table};
use crate::terminal::{Terminal, printable};
use crate::units;
use crate::views::{FamilyFacts, Labels, SourceView};

#[derive(Debug, Serialize)]
struct Listing {
    segment: SourceView,
    time_unix_nanos: u64,
    families: Vec<ListedFamily>,
}

#[derive(Debug, Serialize)]
struct ListedFamily {
    #[serde(flatten)]
    facts: FamilyFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<Vec<ListedSeries>>,
}

#[derive(Debug, Serialize)]
struct ListedSeries {
    labels: Labels,
    created_unix_nanos: u64,
}

pub(crate) fn run(arguments: &Ls, context: &Context) -> Result<(), Failure> {
    let snapshot = context.snapshot()?;
    let filter = Filter::new(arguments.glob.clone(), Vec::new());
    let listing = collect(&snapshot, &filter, arguments);
    if context.is_json() {
        context.write_json(&listing)?;
    } else if !listing.families.is_empty() {
        context.write(|out| {
            if arguments.series {
                write_series(&listing, out, &context.terminal)
            } else {
                families_table(listing.families.iter().map(|family| &family.facts))
                    .write(out, &context.terminal)
            }
        })?;
    }
    if listing.families.is_empty() {
        return context.nothing_found(&snapshot, &filter);
    }
    Ok(())
}

fn collect(snapshot: &Snapshot, filter: &Filter, arguments: &Ls) -> Listing {
    let mut families: Vec<ListedFamily> = snapshot
        .families()
        .filter(|view| filter.admits_family(&view.family.name))
        .map(|view| ListedFamily {
            facts: FamilyFacts::new(&view),
            series: arguments.series.then(|| series(view.family)),
        })
        .collect();
    match arguments.sort {
        Sort::Name => {}
        Sort::Series => families.sort_by_key(|family| Reverse(family.facts.series_count)),
        Sort::Bytes => families.sort_by_key(|family| Reverse(family.facts.bytes())),
    }
    Listing {
        segment: SourceView::new(&snapshot.segment),
        time_unix_nanos: snapshot.time_unix_nanos,
        families,
    }
}

fn series(family: &Family) -> Vec<ListedSeries> {
    let series = family.series.iter();
    series
        .map(|series| ListedSeries {
            labels: Labels::new(&series.labels),
            created_unix_nanos: series.created_unix_nanos,
        })
        .collect()
}

/// The families as `ls` and `dump` show them.
pub(crate) fn families_table<'a>(families: impl Iterator<Item = &'a FamilyFacts>) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("TYPE", Align::Left),
        ("UNIT", Align::Left),
        ("SERIES", Align::Right),
        ("EACH", Align::Right),
        ("HELP", Align::Left),
    ])
    .cut_last();
    for facts in families {
        table.row([
            printable(&facts.name).into(),
            type_name(facts).into(),
            unit_name(facts).into(),
            facts.series_count.to_string().into(),
            units::size(facts.series_bytes).into(),
            printable(&facts.help).into(),
        ]);
    }
    table
}

/// `gauge (sum)`: the type, and how values combine where that is a choice.
fn type_name(facts: &FamilyFacts) -> String {
    match facts.mode {
        Some(mode) => format!("{} ({mode})", facts.kind),
        None => facts.kind.to_owned(),
    }
}

fn unit_name(facts: &FamilyFacts) -> String {
    if facts.unit.is_empty() {
        "-".into()
    } else {
        printable(&facts.unit).into_owned()
    }
}

fn write_series(listing: &Listing, out: &mut dyn Write, terminal: &Terminal) -> io::Result<()> {
    let mut table = Table::new(&[
        ("TYPE", Align::Left),
        ("BYTES", Align::Right),
        ("AGE", Align::Right),
        ("SERIES", Align::Left),
    ]);
    for family in &listing.families {
        for series in family.series.iter().flatten() {
            table.row([
                type_name(&family.facts).into(),
                units::size(family.facts.series_bytes).into(),
                clock::age(series.created_unix_nanos, listing.time_unix_nanos).into(),
                series.labels.series_name(&family.facts.name, &[]).into(),
            ]);
        }
    }
    table.write(out, terminal)
}
