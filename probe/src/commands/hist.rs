//! `hist`: distributions in full, as a table, a chart, or a file for other tools.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tachograph::{Distribution, Family, Snapshot};

use crate::chart::{self, Row};
use crate::cli::Selection;
use crate::context::Context;
use crate::distributions::{self, Taken};
use crate::failure::Failure;
use crate::file;
use crate::filter::Filter;
use crate::hlog::{self, Interval};
use crate::picture::{self, Picture};
use crate::progress::Progress;
use crate::rates::Change;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::terminal::{Paint, Terminal};
use crate::units::{self, Units};
use crate::views::{Amount, BucketView, Labels, SourceView};

pub(crate) const EXAMPLES: &str = "\
Examples:
  tachograph-probe hist request_duration_seconds --merge
  tachograph-probe hist request_duration_seconds --window 10s
  tachograph-probe hist 'request*{path=\"/pay\"}' --svg pay.svg
  tachograph-probe hist --segment night.tape --back 5m --window 30s
  tachograph-probe hist request_duration_seconds --hlog day.hlog";

/// The quantiles of the table.
const QUANTILES: [f64; 11] = [
    0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999, 1.0,
];

#[derive(Debug, Args)]
pub(crate) struct Hist {
    #[command(flatten)]
    selection: Selection,
    /// All series of a family together
    #[arg(long)]
    merge: bool,
    /// Only the values of this time: from now on, or up to a recording's look
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    window: Option<Duration>,
    /// Write an HdrHistogram interval log, in recorded units
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,
    /// Write the charts as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The same as a PNG
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Distributions {
    segment: SourceView,
    time_unix_nanos: u64,
    /// How long the window is; none for all values since the series was registered.
    seconds: Option<f64>,
    histograms: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    unit: String,
    labels: Labels,
    count: u64,
    sum: Amount,
    mean: Option<Amount>,
    quantiles: Vec<QuantileView>,
    buckets: Vec<BucketView>,
    #[serde(skip)]
    rows: Vec<Row>,
    #[serde(skip)]
    distribution: Distribution,
    #[serde(skip)]
    begin_unix_nanos: u64,
    /// The recorded unit, for a log.
    #[serde(skip)]
    recorded: String,
}

/// The value that a fraction of the values does not exceed, and how many do not.
#[derive(Debug, Serialize)]
struct QuantileView {
    quantile: f64,
    value: Amount,
    count: u64,
}

pub(crate) fn run(arguments: &Hist, context: &Context) -> Result<(), Failure> {
    let selection = &arguments.selection;
    let filter = Filter::new(selection.selectors.clone(), selection.labels.clone());
    let (older, newer) = looks(context.source()?, arguments.window)?;
    let shown = collect(older.as_ref(), &newer, &filter, arguments.merge)?;
    if shown.histograms.is_empty() {
        let families = newer.directory.families.iter();
        let histograms = families.filter(|family| family.buckets.is_some());
        return Err(Failure::Message(match filter.is_open() {
            true => "the segment has no histograms".into(),
            false => filter.nothing_found(histograms),
        }));
    }
    show(&shown, arguments, context)
}

/// The look, and the one before it where a window is asked for.
fn looks(
    mut source: Source,
    window: Option<Duration>,
) -> Result<(Option<Snapshot>, Snapshot), Failure> {
    let look = source.snapshot()?;
    let Some(window) = window else {
        return Ok((None, look));
    };
    if let Some(older) = source.earlier(window)? {
        return Ok((Some(older), look));
    }
    if !source.is_live() {
        let message = "a dump does not change: no --window";
        return Err(Failure::Message(message.into()));
    }
    let _progress = Progress::new(&format!("collecting for {} s", window.as_secs_f64()));
    std::thread::sleep(window);
    Ok((Some(look), source.snapshot()?))
}

fn show(shown: &Distributions, arguments: &Hist, context: &Context) -> Result<(), Failure> {
    let units = context.units(arguments.selection.raw);
    if let Some(path) = &arguments.hlog {
        write_file(path, |out| write_log(shown, out))?;
    }
    let pictures = || {
        let histograms = shown.histograms.iter();
        let charts: Vec<picture::Chart> = histograms.map(|one| drawn(one, units)).collect();
        Picture::new(&charts, units)
    };
    if let Some(path) = &arguments.svg {
        write_file(path, |out| picture::write_svg(&pictures(), out))?;
    }
    if let Some(path) = &arguments.png {
        let bytes = picture::png(&pictures()).map_err(Failure::Message)?;
        write_file(path, |out| out.write_all(&bytes))?;
    }
    let files = [&arguments.hlog, &arguments.svg, &arguments.png];
    if context.is_json() {
        context.write_json(shown)
    } else if context.is_csv() {
        write_csv(shown, context)
    } else if files.iter().any(|file| file.is_some()) {
        Ok(())
    } else {
        context.write(|out| write_text(shown, units, out, &context.terminal))
    }
}

fn collect(
    older: Option<&Snapshot>,
    newer: &Snapshot,
    filter: &Filter,
    merge: bool,
) -> Result<Distributions, Failure> {
    let change = match older {
        Some(older) => Some(Change::between(older, newer).ok_or_else(|| {
            Failure::Message("the segment was replaced meanwhile; look again".into())
        })?),
        None => None,
    };
    let mut histograms = Vec::new();
    for view in newer
        .families()
        .filter(|view| view.family.buckets.is_some())
    {
        let Some(admission) = filter.admit(view.family) else {
            continue;
        };
        let mut taken = distributions::of_series(&view, &admission, change.as_ref());
        if merge {
            taken = distributions::merged(&taken).into_iter().collect();
        }
        let created = view
            .family
            .series
            .iter()
            .map(|series| series.created_unix_nanos);
        let begin = older.map_or(created.min().unwrap_or(0), |older| older.time_unix_nanos);
        let shown = taken
            .iter()
            .filter_map(|taken| Shown::new(view.family, taken, begin));
        histograms.extend(shown);
    }
    Ok(Distributions {
        segment: SourceView::new(&newer.segment),
        time_unix_nanos: newer.time_unix_nanos,
        seconds: change.as_ref().map(Change::seconds),
        histograms,
    })
}

impl Shown {
    fn new(family: &Family, taken: &Taken, begin_unix_nanos: u64) -> Option<Shown> {
        let distribution = taken.distribution(family)?;
        let buckets: Vec<BucketView> = BucketView::filled(&taken.counts, &distribution).collect();
        Some(Shown {
            name: family.name.clone(),
            unit: family.unit.base().to_owned(),
            labels: taken.labels.clone(),
            count: distribution.count(),
            sum: Amount::Float(distribution.sum()),
            mean: distribution.mean().map(Amount::Float),
            quantiles: quantiles(&distribution, &buckets),
            buckets,
            rows: chart::rows(family, &taken.counts),
            distribution,
            begin_unix_nanos,
            recorded: format!("{} of {}", family.unit.scale(), family.unit.base()),
        })
    }

    fn series(&self) -> String {
        self.labels.series_name(&self.name, &[])
    }
}

fn quantiles(distribution: &Distribution, buckets: &[BucketView]) -> Vec<QuantileView> {
    let up_to = |value: f64| {
        let below = buckets
            .iter()
            .filter(|bucket| bucket.upper.as_f64() <= value);
        below.fold(0u64, |sum, bucket| sum.wrapping_add(bucket.count))
    };
    QUANTILES
        .into_iter()
        .filter_map(|quantile| {
            let value = distribution.quantile(quantile)?;
            Some(QuantileView {
                quantile,
                value: Amount::Float(value),
                count: up_to(value),
            })
        })
        .collect()
}

fn write_text(
    shown: &Distributions,
    units: Units,
    out: &mut dyn Write,
    terminal: &Terminal,
) -> io::Result<()> {
    for (index, one) in shown.histograms.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", terminal.paint(Paint::Header, &one.series()))?;
        writeln!(out, "  {}", facts(one, units))?;
        if one.count == 0 {
            continue;
        }
        table(one, units).write(out, terminal)?;
        writeln!(out)?;
        chart::write(&one.rows, &one.unit, units, out, terminal)?;
    }
    Ok(())
}

fn facts(one: &Shown, units: Units) -> String {
    let mean = one
        .mean
        .map_or("-".into(), |mean| units.float(mean.as_f64(), &one.unit));
    let sum = units.float(one.sum.as_f64(), &one.unit);
    format!("count {}  sum {sum}  mean {mean}", one.count)
}

fn table(one: &Shown, units: Units) -> Table {
    let mut table = Table::new(&[
        ("  PERCENTILE", Align::Right),
        ("AT MOST", Align::Right),
        ("VALUES", Align::Right),
    ]);
    for quantile in &one.quantiles {
        table.row([
            format!("p{}", units::digits(quantile.quantile * 100.0, 7)).into(),
            units.float(quantile.value.as_f64(), &one.unit).into(),
            quantile.count.to_string().into(),
        ]);
    }
    table
}

fn write_csv(shown: &Distributions, context: &Context) -> Result<(), Failure> {
    let header = [
        "family",
        "unit",
        "labels",
        "lower",
        "upper",
        "count",
        "cumulative",
    ];
    let rows = shown.histograms.iter().flat_map(|one| {
        let mut seen = 0u64;
        one.buckets.iter().map(move |bucket| {
            seen = seen.wrapping_add(bucket.count);
            [
                one.name.clone(),
                one.unit.clone(),
                one.labels.inner(),
                units::plain(bucket.lower),
                units::plain(bucket.upper),
                bucket.count.to_string(),
                seen.to_string(),
            ]
        })
    });
    context.write_csv(&header, rows)
}

fn write_log(shown: &Distributions, out: &mut dyn Write) -> io::Result<()> {
    let intervals: Vec<Interval> = shown
        .histograms
        .iter()
        .map(|one| Interval {
            series: one.series(),
            begin_unix_nanos: one.begin_unix_nanos,
            end_unix_nanos: shown.time_unix_nanos,
            distribution: one.distribution.clone(),
        })
        .collect();
    let mut recorded: Vec<&str> = shown.histograms.iter().map(|one| &*one.recorded).collect();
    recorded.dedup();
    hlog::write(&intervals, &recorded.join(", "), out).map_err(io::Error::other)
}

fn drawn(one: &Shown, units: Units) -> picture::Chart {
    let quantile = |wanted: f64| {
        let found = one.quantiles.iter().find(|view| view.quantile == wanted);
        found.map_or("-".into(), |view| {
            units.float(view.value.as_f64(), &one.unit)
        })
    };
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(quantile);
    picture::Chart {
        heading: one.series(),
        facts: format!("{}  p50 {p50}  p99 {p99}  max {max}", facts(one, units)),
        unit: one.unit.clone(),
        rows: one.rows.clone(),
    }
}

fn write_file(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let write = || {
        file::refuse_segment(path)?;
        let mut out = BufWriter::new(File::create(path)?);
        content(&mut out)?;
        out.flush()
    };
    write().map_err(|error| Failure::Message(format!("cannot write {}: {error}", path.display())))
}
