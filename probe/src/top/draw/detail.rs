//! One series: what it is, its course, its distribution, and what its value is made of.

use ratatui::text::Line;
use tachograph::{Distribution, Exemplar};
use unicode_width::UnicodeWidthStr;

use super::Look;
use super::look::range;
use super::table;
use crate::chart;
use crate::clock;
use crate::frame::{Family, Frame, Histogram, Kind, Series, Value};
use crate::table::Align;
use crate::terminal::{Paint, printable};
use crate::top::model::{Model, Origin};
use crate::top::split::Split;
use crate::top::track::TREND_POINTS;
use crate::units;
use crate::views::Amount;

const CHART_HEIGHT: usize = 4;
const QUANTILES: [(&str, f64); 7] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

pub(super) fn lines(model: &Model, look: &Look, width: usize) -> Vec<Line<'static>> {
    let name = model.opened.as_ref().map(|(family, series)| {
        let family = printable(family);
        format!("{family}{}", series.braces())
    });
    let mut lines = vec![look.line(Paint::Header, name.unwrap_or_default())];
    let found = model.track.frame().and_then(|frame| {
        let index = model.opened_index()?;
        let (family, series) = frame.directory.locate(index)?;
        Some((frame, index, family, series))
    });
    let Some((frame, index, family, series)) = found else {
        lines.push(look.line(Paint::Warning, "not in the segment at this moment"));
        return lines;
    };
    lines.extend(facts(frame, family, series, look));
    lines.push(now(model, frame, index, family, look));
    lines.extend(course(model, index, family, look, width));
    if family.kind == Kind::Histogram {
        lines.extend(percentiles(model, index, family, look));
        lines.extend(shape(model, frame, index, look, width));
    }
    if let Some(Value::Each(values)) = frame.values.get(index) {
        lines.push(Line::default());
        lines.push(look.line(Paint::Header, "by process"));
        lines.extend(values.iter().map(|(slot, pid, number)| {
            let value = table::each(family, *number, look);
            look.line(Paint::Plain, format!("  pid {pid} slot {slot}  {value}"))
        }));
    } else if let Some(split) = &model.split {
        lines.extend(parts(split, family, look, width));
        lines.extend(exemplars(&split.exemplars, frame, family, look));
    } else if let Some(reason) = without_parts(model) {
        lines.push(Line::default());
        lines.push(look.line(Paint::Dim, reason));
    }
    lines
}

/// Why the parts of a value are not shown, where that is for good.
fn without_parts(model: &Model) -> Option<&'static str> {
    match (model.origin, model.is_held) {
        (Origin::Recording, _) => Some("shards, processes, exemplars: not in a recording"),
        (Origin::Live, true) => Some("shards, processes, exemplars: of now only (l)"),
        (Origin::Live, false) => None,
    }
}

fn facts(frame: &Frame, family: &Family, series: &Series, look: &Look) -> Vec<Line<'static>> {
    let mut facts = vec![family.kind.name().to_owned()];
    facts.extend(family.mode.clone());
    if !family.unit.is_empty() {
        facts.push(printable(&family.unit).into_owned());
    }
    let age = clock::age(series.created_unix_nanos, frame.time_unix_nanos);
    facts.push(format!("created {age} ago"));
    facts.push(format!(
        "series {} of {}",
        family.series.len(),
        family.series_limit
    ));
    facts.push(format!("{} each", units::size(family.series_bytes)));
    let mut lines = vec![
        look.line(Paint::Plain, printable(&family.help)),
        look.line(Paint::Dim, facts.join(" · ")),
    ];
    let widest = series.labels.iter().map(|(name, _)| name.width()).max();
    for (name, value) in &series.labels {
        let name = look.fit(&printable(name), widest.unwrap_or(0), Align::Right);
        lines.push(look.line(Paint::Plain, format!("  {name} = {}", printable(value))));
    }
    lines
}

/// Value, rate and last change, exact where there is room.
fn now(model: &Model, frame: &Frame, index: usize, family: &Family, look: &Look) -> Line<'static> {
    let value = frame.values.get(index);
    let exact = value.and_then(|value| family.number(value));
    let unit = match family.kind {
        Kind::Histogram => "",
        _ => family.unit.as_str(),
    };
    let shown = exact.map(|amount| look.units.amount(amount, unit));
    let shown = shown.unwrap_or_else(|| table::value(family, value, look));
    let title = match family.kind {
        Kind::Histogram => "count",
        _ => "value",
    };
    let mut text = format!("{title} {shown}");
    let rate = table::rate(&model.track, index, family, look);
    if !rate.is_empty() {
        text.push_str(&format!("  rate {rate}"));
    }
    let changed = table::changed(&model.track, index);
    match changed.strip_prefix('>') {
        Some(since) => text.push_str(&format!("  unchanged for {since}")),
        None => text.push_str(&format!("  changed {changed} ago")),
    }
    look.line(Paint::Header, text)
}

/// A chart of the last looks.
fn course(
    model: &Model,
    index: usize,
    family: &Family,
    look: &Look,
    width: usize,
) -> Vec<Line<'static>> {
    let Some(life) = model.track.life(index) else {
        return Vec::new();
    };
    let from_zero = matches!(family.kind, Kind::Counter | Kind::Histogram);
    let (least, most) = range(&life.trend, from_zero);
    if !most.is_finite() {
        return Vec::new();
    }
    let say = |value: f32| match family.kind {
        Kind::Counter => look.rate(value.into(), &family.unit),
        Kind::Histogram => look.rate(value.into(), ""),
        _ => look.units.float(value.into(), &family.unit),
    };
    let labels = [say(most), say(least)].map(|label| look.text(&label));
    let label_width = labels.iter().map(|label| label.width()).max().unwrap_or(0);
    let room = width.saturating_sub(label_width + 2).min(TREND_POINTS);
    let chart = look.chart(&life.trend, room, CHART_HEIGHT, from_zero);
    let mut lines = vec![Line::default()];
    for (row, bars) in chart.into_iter().enumerate() {
        let label = match row {
            0 => labels[0].as_str(),
            row if row + 1 == CHART_HEIGHT => labels[1].as_str(),
            _ => "",
        };
        lines.push(Line::from(vec![
            look.span(
                Paint::Dim,
                look.fit(label, label_width, Align::Right) + "  ",
            ),
            look.span(Paint::Good, bars),
        ]));
    }
    lines
}

/// Percentiles of the last window beside those of all values.
fn percentiles(model: &Model, index: usize, family: &Family, look: &Look) -> Vec<Line<'static>> {
    let both = [model.track.window(index), model.track.total(index)];
    let float = |value: Option<f64>| {
        value.map_or_else(|| "-".into(), |value| look.units.float(value, &family.unit))
    };
    let row = |title: &str, say: &dyn Fn(&Distribution) -> String| {
        let [window, total] = both
            .each_ref()
            .map(|distribution| distribution.as_ref().map_or_else(|| "-".into(), say));
        let columns = [window, total].map(|text| look.fit(&text, 13, Align::Right));
        look.line(
            Paint::Plain,
            format!(
                "{} {} {}",
                look.fit(title, 7, Align::Left),
                columns[0],
                columns[1]
            ),
        )
    };
    let window = match model.track.seconds() {
        Some(seconds) => format!("window {} s", units::digits(seconds, 2)),
        None => "window".into(),
    };
    let titles = [window.as_str(), "total"].map(|text| look.fit(text, 13, Align::Right));
    let mut lines = vec![
        Line::default(),
        look.line(
            Paint::Header,
            format!("        {} {}", titles[0], titles[1]),
        ),
        row("count", &|distribution| distribution.count().to_string()),
        row("mean", &|distribution| float(distribution.mean())),
        row("min", &|distribution| float(distribution.min())),
    ];
    lines.extend(QUANTILES.map(|(title, quantile)| {
        row(title, &|distribution| {
            float(distribution.quantile(quantile))
        })
    }));
    lines.push(row("max", &|distribution| float(distribution.max())));
    lines
}

/// The distribution as bars.
fn shape(
    model: &Model,
    frame: &Frame,
    index: usize,
    look: &Look,
    width: usize,
) -> Vec<Line<'static>> {
    let found = frame.directory.locate(index).and_then(|(family, _)| {
        let buckets = family.buckets()?;
        Some((family, buckets))
    });
    let Some((family, buckets)) = found else {
        return Vec::new();
    };
    let histogram = match frame.values.get(index) {
        Some(Value::Histogram(histogram)) if model.shows_total => histogram.clone(),
        Some(Value::Histogram(_)) => model.track.recorded(index).unwrap_or_default(),
        _ => Histogram::default(),
    };
    let title = if model.shows_total {
        "values since the beginning (w: of the window)"
    } else {
        "values of the window (w: since the beginning)"
    };
    let mut lines = vec![Line::default(), look.line(Paint::Header, title)];
    let rows = chart::merged(&buckets, family.scale(), &histogram.dense(&buckets));
    if rows.is_empty() {
        lines.push(look.line(Paint::Dim, "  none"));
    }
    let bars = chart::lines(&rows, &family.unit, look.units, width, look.terminal.utf8);
    lines.extend(bars.into_iter().map(|bar| {
        Line::from(vec![
            look.span(Paint::Plain, bar.range),
            look.span(Paint::Good, bar.bar),
            look.span(Paint::Plain, bar.count),
        ])
    }));
    lines
}

/// What the value is made of, as bars.
fn parts(split: &Split, family: &Family, look: &Look, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), look.line(Paint::Header, split.title)];
    let amount = |number| match family.kind {
        Kind::Histogram => Amount::new(number, tachograph::Scale::ONE),
        _ => Amount::new(number, family.scale()),
    };
    let unit = match family.kind {
        Kind::Histogram => "",
        _ => family.unit.as_str(),
    };
    let most = split.parts.iter().map(|(_, number)| number.as_f64());
    let most = most.fold(0.0, f64::max);
    let room = width.saturating_sub(40).min(40);
    for (name, number) in &split.parts {
        let name = look.fit(name, 20, Align::Left);
        let value = look.fit(&look.short(amount(*number), unit), 12, Align::Right);
        let bar = chart::share(number.as_f64(), most, room, look.terminal.utf8);
        lines.push(Line::from(vec![
            look.span(Paint::Plain, format!("  {name} {value}  ")),
            look.span(Paint::Good, bar),
        ]));
    }
    lines
}

/// The trace, the value and the age of what was recorded in traces.
fn exemplars(
    exemplars: &[Exemplar],
    frame: &Frame,
    family: &Family,
    look: &Look,
) -> Vec<Line<'static>> {
    if exemplars.is_empty() {
        return Vec::new();
    }
    let values = exemplars.iter().map(|exemplar| {
        let value = Amount::new(exemplar.value, family.scale());
        look.text(&look.units.amount(value, &family.unit))
    });
    let values: Vec<String> = values.collect();
    let widest = values.iter().map(|value| value.width()).max().unwrap_or(0);
    let mut lines = vec![Line::default(), look.line(Paint::Header, "exemplars")];
    lines.extend(exemplars.iter().zip(&values).map(|(exemplar, value)| {
        // One that came while the look was taken is of now.
        let then = exemplar.time_unix_nanos.min(frame.time_unix_nanos);
        let age = clock::age(then, frame.time_unix_nanos);
        let value = look.fit(value, widest, Align::Right);
        let text = format!("  {}  {value}  {age} ago", exemplar.trace_id);
        look.line(Paint::Plain, text)
    }));
    lines
}
