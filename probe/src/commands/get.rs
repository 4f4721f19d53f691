//! `get`: values now.

use std::io::{self, Write};

use serde::Serialize;

use crate::chart;
use crate::cli::{Get, When};
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::samples;
use crate::selector::Part;
use crate::table::{Align, Table};
use crate::terminal::{Paint, Terminal, printable};
use crate::units::Units;
use crate::views::{self, Amount, FamilyView, HistogramView, SeriesView, SourceView, ValueView};

const CHARTS_UNASKED_MAX: usize = 3;

#[derive(Debug, Serialize)]
struct Values {
    segment: SourceView,
    time_unix_nanos: u64,
    families: Vec<FamilyView>,
}

pub(crate) fn run(arguments: Get, context: &Context) -> Result<(), Failure> {
    let units = context.units(arguments.selection.raw);
    let filter = Filter::new(arguments.selection.selectors, arguments.selection.labels);
    let snapshot = context.snapshot()?;
    let values = Values {
        segment: SourceView::new(&snapshot.segment),
        time_unix_nanos: snapshot.time_unix_nanos,
        families: views::families(&snapshot, &filter),
    };
    let is_empty = values
        .families
        .iter()
        .all(|family| family.series.is_empty());
    if context.is_json() {
        context.write_json(&values)?;
    } else if context.is_csv() {
        let rows: Vec<_> = values.families.iter().flat_map(samples::of).collect();
        context.write_csv(&samples::COLUMNS, rows.iter().map(|sample| sample.row()))?;
    } else if !is_empty {
        let charts = has_charts(arguments.chart, &values.families, context);
        context
            .write(|out| write_families(&values.families, units, charts, out, &context.terminal))?;
    }
    if is_empty {
        return context.nothing_found(&snapshot, &filter);
    }
    Ok(())
}

fn has_charts(when: When, families: &[FamilyView], context: &Context) -> bool {
    let count = histograms(families).count();
    let few = count <= CHARTS_UNASKED_MAX;
    if when == When::Auto && !few {
        context.say(&format!(
            "{count} histograms: no charts; name fewer, or say --chart always"
        ));
    }
    when == When::Always || (when == When::Auto && few)
}

fn histograms(
    families: &[FamilyView],
) -> impl Iterator<Item = (&FamilyView, &SeriesView, &HistogramView)> {
    families
        .iter()
        .filter(|family| family.part == Part::Whole)
        .flat_map(|family| family.series.iter().map(move |series| (family, series)))
        .filter_map(|(family, series)| match &series.value {
            ValueView::Histogram(histogram) => Some((family, series, &**histogram)),
            _ => None,
        })
}

/// Counters, gauges, infos and states as one table, then a block for each histogram, then the exemplars.
pub(crate) fn write_families(
    families: &[FamilyView],
    units: Units,
    charts: bool,
    out: &mut dyn Write,
    terminal: &Terminal,
) -> io::Result<()> {
    let mut table = Table::new(&[("VALUE", Align::Right), ("SERIES", Align::Left)]);
    for family in families {
        for series in &family.series {
            for (value, name) in scalars(&family.facts.name, &family.facts.unit, series, units) {
                table.row([value.into(), name.into()]);
            }
            if let ValueView::Histogram(histogram) = &series.value {
                let (name, unit) = (&family.facts.name, &family.facts.unit);
                for sample in samples::exposed(name, histogram, family.part) {
                    let is_sum = family.part == Part::Sum;
                    let value = units.amount(sample.value, if is_sum { unit } else { "" });
                    let name = series.labels.series_name(&sample.name, &sample.more);
                    table.row([value.into(), name.into()]);
                }
            }
        }
    }
    let mut is_first = table.is_empty();
    if !is_first {
        table.write(out, terminal)?;
    }
    for (family, series, histogram) in histograms(families) {
        if !is_first {
            writeln!(out)?;
        }
        is_first = false;
        let name = series.labels.series_name(&family.facts.name, &[]);
        writeln!(out, "{}", terminal.paint(Paint::Header, &name))?;
        write_histogram(histogram, &family.facts.unit, units, out)?;
        if charts {
            chart::write(&histogram.rows, &family.facts.unit, units, out, terminal)?;
        }
    }
    let exemplars = exemplars(families, units);
    if !exemplars.is_empty() {
        if !is_first {
            writeln!(out)?;
        }
        exemplars.write(out, terminal)?;
    }
    Ok(())
}

/// The exemplars of all series, with the traces they lead to.
fn exemplars(families: &[FamilyView], units: Units) -> Table {
    let mut table = Table::new(&[
        ("EXEMPLAR", Align::Right),
        ("TIME", Align::Left),
        ("TRACE", Align::Left),
        ("SPAN", Align::Left),
        ("SERIES", Align::Left),
    ]);
    for family in families {
        for series in &family.series {
            for exemplar in &series.exemplars {
                table.row([
                    units.amount(exemplar.value, &family.facts.unit).into(),
                    clock::utc(exemplar.time_unix_nanos).into(),
                    exemplar.trace_id.as_str().into(),
                    exemplar.span_id.as_str().into(),
                    series.labels.series_name(&family.facts.name, &[]).into(),
                ]);
            }
        }
    }
    table
}

/// `(value, name)` for each line of a series that is not a histogram.
pub(crate) fn scalars(
    family: &str,
    unit: &str,
    series: &SeriesView,
    units: Units,
) -> Vec<(String, String)> {
    let name = |more: &[(&str, String)]| series.labels.series_name(family, more);
    match &series.value {
        ValueView::Histogram(_) | ValueView::Watched(_) => Vec::new(),
        ValueView::Value(Some(amount)) => vec![(units.amount(*amount, unit), name(&[]))],
        ValueView::Value(None) => vec![("-".into(), name(&[]))],
        ValueView::Each(values) if values.is_empty() => vec![("-".into(), name(&[]))],
        ValueView::Each(values) => values
            .iter()
            .map(|each| {
                let value = match &each.state {
                    Some(state) => printable(state).into_owned(),
                    None => units.amount(each.value, unit),
                };
                let labels = [
                    ("pid", each.pid.to_string()),
                    ("slot", each.slot.to_string()),
                ];
                (value, name(&labels))
            })
            .collect(),
        ValueView::States(states) => {
            let holding = states.0.iter().filter(|(_, holds)| *holds);
            let holding: Vec<_> = holding.map(|(state, _)| printable(state)).collect();
            let value = if holding.is_empty() {
                "-".into()
            } else {
                holding.join(",")
            };
            vec![(value, name(&[]))]
        }
    }
}

fn write_histogram(
    histogram: &HistogramView,
    unit: &str,
    units: Units,
    out: &mut dyn Write,
) -> io::Result<()> {
    let show = |amount: Option<Amount>| match amount {
        Some(amount) => units.float(amount.as_f64(), unit),
        None => "-".into(),
    };
    writeln!(
        out,
        "  count {}  sum {}  mean {}  min {}  max {}",
        histogram.count,
        units.amount(histogram.sum, unit),
        show(histogram.mean),
        show(histogram.min),
        show(histogram.max),
    )?;
    let quantiles = [
        ("p50", histogram.p50),
        ("p90", histogram.p90),
        ("p99", histogram.p99),
        ("p99.9", histogram.p999),
    ];
    let shown = quantiles.map(|(name, value)| format!("{name} {}", show(value)));
    writeln!(out, "  {}", shown.join("  "))
}
