//! The table of series.

use ratatui::text::{Line, Span};

use super::Look;
use crate::clock;
use crate::frame::{Family, Frame, Kind, Number, Value};
use crate::table::Align;
use crate::terminal::{Paint, printable};
use crate::top::model::Model;
use crate::top::rows::{self, Column};
use crate::top::track::{Note, Track};

/// The columns beside the name, in their order, with their widths.
const COLUMNS: [(Column, usize); 10] = [
    (Column::Value, 10),
    (Column::Rate, 11),
    (Column::P50, 9),
    (Column::P90, 9),
    (Column::P99, 9),
    (Column::P999, 9),
    (Column::Max, 9),
    (Column::Trend, 12),
    (Column::Changed, 7),
    (Column::Note, 5),
];
/// Which of them a narrow screen keeps longest.
const BY_WEIGHT: [Column; 10] = [
    Column::Value,
    Column::Rate,
    Column::P99,
    Column::Trend,
    Column::Note,
    Column::P50,
    Column::Changed,
    Column::P90,
    Column::Max,
    Column::P999,
];
/// The name keeps so much of the width, or a third of it.
const NAME_WIDTH_MIN: usize = 16;

pub(super) fn lines(model: &Model, look: &Look, width: usize, room: usize) -> Vec<Line<'static>> {
    let Some(frame) = model.track.frame() else {
        return vec![look.line(Paint::Dim, "nothing seen yet")];
    };
    let place = model.place();
    let seen = model.shown.iter().copied().skip(place.top);
    let seen: Vec<usize> = seen.take(room.saturating_sub(1)).collect();
    let columns = columns(width, rows::has_histogram(&model.track, &model.shown));
    let mut lines = vec![header(model, look, &columns, width)];
    if seen.is_empty() {
        lines.push(look.line(Paint::Dim, "no series to show"));
    }
    for (at, index) in (place.top..).zip(seen) {
        let line = row(&model.track, frame, index, look, &columns, width);
        lines.push(if at == place.chosen {
            look.chosen(&line, width)
        } else {
            line
        });
    }
    lines
}

/// The columns that fit beside the name.
fn columns(width: usize, has_histograms: bool) -> Vec<(Column, usize)> {
    let mut rest = width.saturating_sub(NAME_WIDTH_MIN.max(width / 3));
    let mut kept = Vec::new();
    for column in BY_WEIGHT {
        let known = COLUMNS.iter().find(|known| known.0 == column);
        let is_wanted = has_histograms || column.quantile().is_none();
        if let Some(&(column, width)) = known.filter(|_| is_wanted)
            && width < rest
        {
            rest -= width + 1;
            kept.push(column);
        }
    }
    let shown = COLUMNS.into_iter();
    shown.filter(|(column, _)| kept.contains(column)).collect()
}

fn name_width(columns: &[(Column, usize)], width: usize) -> usize {
    let taken: usize = columns.iter().map(|(_, width)| width + 1).sum();
    width.saturating_sub(taken)
}

fn align(column: Column) -> Align {
    match column {
        Column::Series | Column::Trend | Column::Note => Align::Left,
        _ => Align::Right,
    }
}

fn header(model: &Model, look: &Look, columns: &[(Column, usize)], width: usize) -> Line<'static> {
    let title = |column: Column| {
        if model.order.column != column {
            return column.title().to_owned();
        }
        let is_up = (column == Column::Series) != model.order.reversed;
        let mark = match (look.terminal.utf8, is_up) {
            (true, true) => "▲",
            (true, false) => "▼",
            (false, true) => "^",
            (false, false) => "v",
        };
        format!("{}{mark}", column.title())
    };
    let name_width = name_width(columns, width);
    let mut spans = vec![look.span(
        Paint::Header,
        format!(
            "{} ",
            look.fit(
                &title(Column::Series),
                name_width.saturating_sub(1),
                Align::Left
            )
        ),
    )];
    for &(column, width) in columns {
        let text = look.fit(&title(column), width, align(column));
        spans.push(look.span(Paint::Header, format!("{text} ")));
    }
    Line::from(spans)
}

fn row(
    track: &Track,
    frame: &Frame,
    index: usize,
    look: &Look,
    columns: &[(Column, usize)],
    width: usize,
) -> Line<'static> {
    let Some((family, series)) = frame.directory.locate(index) else {
        return Line::default();
    };
    let name_width = name_width(columns, width).saturating_sub(1);
    let name = look.fit_name(&series.name(family), name_width);
    let mut spans = vec![Span::raw(format!("{name} "))];
    let window = track.window(index);
    for &(column, width) in columns {
        let (paint, text) = match column {
            Column::Value => (Paint::Plain, value(family, frame.values.get(index), look)),
            Column::Rate => (Paint::Plain, rate(track, index, family, look)),
            Column::Trend => (Paint::Good, trend(track, index, family, look, width)),
            Column::Changed => (Paint::Dim, changed(track, index)),
            Column::Note => note(track.note(index)),
            column => {
                let quantile = column.quantile().zip(window.as_ref());
                let value = quantile.and_then(|(quantile, window)| window.quantile(quantile));
                let text = value.map(|value| look.units.float(value, &family.unit));
                (Paint::Plain, text.unwrap_or_default())
            }
        };
        let text = look.fit(&text, width, align(column));
        spans.push(look.span(paint, format!("{text} ")));
    }
    Line::from(spans)
}

/// A value in a few columns.
pub(super) fn value(family: &Family, value: Option<&Value>, look: &Look) -> String {
    match value {
        None | Some(Value::Absent) => "-".into(),
        Some(Value::Each(values)) => match values.as_slice() {
            [one] => each(family, one.2, look),
            several => format!("{} values", several.len()),
        },
        Some(Value::Info) => "1".into(),
        Some(Value::States(states)) => {
            let names = family.states.iter().zip(states);
            let held: Vec<String> = names
                .filter(|(_, holds)| **holds)
                .map(|(name, _)| printable(name).into_owned())
                .collect();
            held.join(",")
        }
        Some(Value::Histogram(histogram)) => {
            look.short(crate::views::Amount::Unsigned(histogram.count().into()), "")
        }
        Some(value) => family
            .number(value)
            .map_or_else(|| "-".into(), |amount| look.short(amount, &family.unit)),
    }
}

/// What one process has set: a number, or a state by its name.
pub(super) fn each(family: &Family, number: Number, look: &Look) -> String {
    if let (Kind::StateSet, Number::Level(level)) = (family.kind, number) {
        let state = usize::try_from(level).ok();
        let state = state.and_then(|state| family.states.get(state));
        return state.map_or_else(|| "-".into(), |state| printable(state).into_owned());
    }
    look.short(family.amount(number), &family.unit)
}

pub(super) fn rate(track: &Track, index: usize, family: &Family, look: &Look) -> String {
    let rate = track.life(index).and_then(|life| life.rate);
    let unit = match family.kind {
        Kind::Counter => family.unit.as_str(),
        _ => "",
    };
    match (rate, family.kind) {
        (Some(rate), _) => look.rate(rate, unit),
        (None, Kind::Counter | Kind::Histogram) => "-".into(),
        (None, _) => String::new(),
    }
}

fn trend(track: &Track, index: usize, family: &Family, look: &Look, width: usize) -> String {
    let from_zero = matches!(family.kind, Kind::Counter | Kind::Histogram);
    track.life(index).map_or_else(String::new, |life| {
        look.spark(&life.trend, width, from_zero)
    })
}

/// How long ago its value changed; at least since the first look, where it never did.
pub(super) fn changed(track: &Track, index: usize) -> String {
    let Some(frame) = track.frame() else {
        return String::new();
    };
    let now = frame.time_unix_nanos;
    match track.life(index).and_then(|life| life.changed) {
        Some(changed) => clock::age(changed, now),
        None => format!(">{}", clock::age(track.since(), now)),
    }
}

fn note(note: Note) -> (Paint, String) {
    match note {
        Note::None => (Paint::Plain, String::new()),
        Note::Stale => (Paint::Warning, "stale".into()),
        Note::Full => (Paint::Warning, "full".into()),
        Note::Other => (Paint::Bad, "other".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_table_keeps_what_matters() {
        let kept = |width, has_histograms| {
            let columns = columns(width, has_histograms);
            let titles: Vec<&str> = columns.iter().map(|(column, _)| column.title()).collect();
            titles.join(" ")
        };
        assert_eq!(kept(40, true), "VALUE RATE");
        assert_eq!(kept(80, true), "VALUE RATE P99 TREND NOTE");
        assert_eq!(kept(80, false), "VALUE RATE TREND CHANGED NOTE");
        assert_eq!(kept(200, true).split(' ').count(), 10);
        assert_eq!(kept(10, true), "");
    }
}
