//! `diff`: what changed from one dump to another, or to the live segment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tachograph::Snapshot;

use crate::cli::Selection;
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::samples::{self, Sample};
use crate::selector::Selector;
use crate::source;
use crate::table::{Align, Cell, Table};
use crate::terminal::{Paint, printable};
use crate::units::{self, Units};
use crate::views::{self, Amount, FamilyView, Labels};

pub(crate) const EXAMPLES: &str = "\
Examples:
  tachograph-probe dump -o before.json.gz
  tachograph-probe diff before.json.gz                     to the live segment
  tachograph-probe diff before.json.gz 'http_*'
  tachograph-probe diff before.json.gz after.json.gz 'http_*'
  tachograph-probe diff --exit-code a.json b.json          1 where they differ";

/// What of a histogram is compared.
const OF_HISTOGRAM: [&str; 4] = ["count", "p50", "p99", "max"];

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The dump to start from, or a recording
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// Another dump, recording or segment [default: the segment]
    #[arg(value_name = "AFTER")]
    after: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// Exit 1 where anything differs
    #[arg(long)]
    exit_code: bool,
}

#[derive(Debug, Serialize)]
struct Difference {
    /// Whether both are of one creation of a segment: else counters began anew.
    same_segment: bool,
    before_unix_nanos: u64,
    after_unix_nanos: u64,
    changes: Vec<Change>,
}

/// A number that is not as it was; none where its series was not there, or is not any more.
#[derive(Debug, Serialize)]
struct Change {
    family: String,
    #[serde(rename = "type")]
    kind: String,
    unit: String,
    labels: Labels,
    field: String,
    before: Option<Amount>,
    after: Option<Amount>,
    change: Option<Amount>,
}

pub(crate) fn run(arguments: &Diff, context: &Context) -> Result<(), Failure> {
    let selection = &arguments.selection;
    let mut selectors = selection.selectors.clone();
    let selector = arguments.after.as_deref().and_then(selector);
    let before = source::snapshot(&arguments.before)?;
    let after = match &arguments.after {
        Some(after) if selector.is_none() => source::snapshot(after)?,
        _ => context.snapshot()?,
    };
    selectors.extend(selector);
    let filter = Filter::new(selectors, selection.labels.clone());
    let difference = compare(&before, &after, &filter);
    let is_same = difference.changes.is_empty();
    let units = context.units(selection.raw);
    let written = if context.is_json() {
        context.write_json(&difference)
    } else if context.is_csv() {
        let header = [
            "family", "type", "unit", "labels", "field", "before", "after", "change",
        ];
        context.write_csv(&header, difference.changes.iter().map(Change::row))
    } else {
        context.say(&heading(&difference));
        let table = table(&difference.changes, units);
        context.write(|out| match is_same {
            true => writeln!(out, "no difference"),
            false => table.write(out, &context.terminal),
        })
    };
    match written {
        Err(failure) if !failure.is_broken_pipe() => Err(failure),
        _ if arguments.exit_code && !is_same => Err(Failure::Told),
        _ => Ok(()),
    }
}

/// What stands in the place of a file, if it is none and can be a selector.
fn selector(after: &Path) -> Option<Selector> {
    let text = after
        .to_str()
        .filter(|text| !text.contains(['/', '.']) || text.contains('{'));
    text.filter(|_| !after.exists())?.parse().ok()
}

fn compare(before: &Snapshot, after: &Snapshot, filter: &Filter) -> Difference {
    let families = [before, after].map(|snapshot| views::families(snapshot, filter));
    let [old, new] = &families;
    let mut numbers: BTreeMap<_, [Option<Sample<'_>>; 2]> = BTreeMap::new();
    for (side, families) in [old, new].into_iter().enumerate() {
        for sample in compared(families) {
            let key = (sample.family, sample.labels.inner(), sample.field);
            numbers.entry(key).or_default()[side] = Some(sample);
        }
    }
    let changes = numbers
        .into_values()
        .filter_map(|[old, new]| Change::of(old, new));
    Difference {
        same_segment: before.segment.instance == after.segment.instance,
        before_unix_nanos: before.time_unix_nanos,
        after_unix_nanos: after.time_unix_nanos,
        changes: changes.collect(),
    }
}

fn compared(families: &[FamilyView]) -> impl Iterator<Item = Sample<'_>> {
    families
        .iter()
        .flat_map(samples::of)
        .filter(|sample| sample.kind != "histogram" || OF_HISTOGRAM.contains(&sample.field))
}

impl Change {
    fn of(old: Option<Sample<'_>>, new: Option<Sample<'_>>) -> Option<Change> {
        let value = |sample: &Option<Sample<'_>>| sample.as_ref().and_then(|sample| sample.value);
        let (before, after) = (value(&old), value(&new));
        if before == after && old.is_some() == new.is_some() {
            return None;
        }
        let sample = new.or(old)?;
        Some(Change {
            family: sample.family.to_owned(),
            kind: sample.kind.to_owned(),
            unit: if sample.field == "count" {
                ""
            } else {
                sample.unit
            }
            .to_owned(),
            labels: sample.labels.into_owned(),
            field: sample.field.to_owned(),
            before,
            after,
            change: before.zip(after).map(|(before, after)| after.minus(before)),
        })
    }

    fn row(&self) -> [String; 8] {
        let plain = |amount: Option<Amount>| amount.map_or_else(String::new, units::plain);
        [
            self.family.clone(),
            self.kind.clone(),
            self.unit.clone(),
            self.labels.inner(),
            self.field.clone(),
            plain(self.before),
            plain(self.after),
            plain(self.change),
        ]
    }
}

fn heading(difference: &Difference) -> String {
    let (before, after) = (difference.before_unix_nanos, difference.after_unix_nanos);
    let gap = match before <= after {
        true => format!("{} later", clock::age(before, after)),
        false => format!("{} earlier", clock::age(after, before)),
    };
    let same = match difference.same_segment {
        true => "",
        false => "; another segment, whose counters began anew",
    };
    format!(
        "from {} to {}, {gap}{same}",
        clock::utc(before),
        clock::utc(after)
    )
}

fn table(changes: &[Change], units: Units) -> Table {
    let mut table = Table::new(&[
        ("BEFORE", Align::Right),
        ("AFTER", Align::Right),
        ("CHANGE", Align::Right),
        ("SERIES", Align::Left),
    ]);
    for change in changes {
        let show = |amount: Option<Amount>| {
            amount.map_or("-".into(), |amount| units.amount(amount, &change.unit))
        };
        let (paint, difference) = match (change.before, change.after, change.change) {
            (None, Some(_), _) => (Paint::Good, "new".into()),
            (Some(_), None, _) => (Paint::Bad, "gone".into()),
            (_, _, Some(amount)) if amount.as_f64() > 0.0 => (
                Paint::Plain,
                format!("+{}", units.amount(amount, &change.unit)),
            ),
            (.., amount) => (Paint::Plain, show(amount)),
        };
        let mut name = change.labels.series_name(&change.family, &[]);
        if change.field != "value" {
            name = format!("{name} {}", printable(&change.field));
        }
        table.row([
            show(change.before).into(),
            show(change.after).into(),
            Cell::painted(difference, paint),
            name.into(),
        ]);
    }
    table
}
