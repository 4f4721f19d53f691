//! `ls`: what there is.

use std::cmp::Reverse;
use std::io::{self, Write};

use serde::Serialize;
use tachograph::{Family, Snapshot};

use crate::cli::{Ls, Sort};
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::{Admission, Filter};
use crate::table::{Align, Cell, Table};
use crate::terminal::{Paint, Terminal, printable};
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
    let filter = Filter::new(arguments.selectors.clone(), Vec::new());
    let listing = collect(&snapshot, &filter, arguments);
    if context.is_json() {
        context.write_json(&listing)?;
    } else if context.is_csv() {
        write_csv(&listing, arguments.series, context)?;
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
        .filter_map(|view| {
            let admission = filter.admit(view.family)?;
            Some(ListedFamily {
                facts: FamilyFacts::new(&view),
                series: arguments.series.then(|| series(view.family, &admission)),
            })
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

fn series(family: &Family, admission: &Admission<'_>) -> Vec<ListedSeries> {
    let series = family.series.iter();
    series
        .filter(|series| admission.admits_series(series))
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
        ("LIMIT", Align::Right),
        ("FOLDED", Align::Right),
        ("EACH", Align::Right),
        ("HELP", Align::Left),
    ])
    .cut_last();
    for facts in families {
        let folded = if facts.overflowed > 0 {
            Paint::Warning
        } else {
            Paint::Plain
        };
        table.row([
            printable(&facts.name).into(),
            type_name(facts).into(),
            unit_name(facts).into(),
            facts.series_count.to_string().into(),
            facts.series_limit.to_string().into(),
            Cell::painted(facts.overflowed.to_string(), folded),
            units::size(facts.series_bytes).into(),
            printable(&facts.help).into(),
        ]);
    }
    table
}

fn write_csv(listing: &Listing, series: bool, context: &Context) -> Result<(), Failure> {
    if series {
        let header = [
            "family",
            "type",
            "labels",
            "series_bytes",
            "created_unix_nanos",
        ];
        let rows = listing.families.iter().flat_map(|family| {
            family.series.iter().flatten().map(|series| {
                [
                    family.facts.name.clone(),
                    family.facts.kind.to_owned(),
                    series.labels.inner(),
                    family.facts.series_bytes.to_string(),
                    series.created_unix_nanos.to_string(),
                ]
            })
        });
        return context.write_csv(&header, rows);
    }
    let header = [
        "family",
        "type",
        "mode",
        "unit",
        "series_count",
        "series_limit",
        "overflowed",
        "series_bytes",
        "help",
    ];
    let rows = listing.families.iter().map(|ListedFamily { facts, .. }| {
        [
            facts.name.clone(),
            facts.kind.to_owned(),
            facts.mode.unwrap_or_default().to_owned(),
            facts.unit.clone(),
            facts.series_count.to_string(),
            facts.series_limit.to_string(),
            facts.overflowed.to_string(),
            facts.series_bytes.to_string(),
            facts.help.clone(),
        ]
    });
    context.write_csv(&header, rows)
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
