//! The pages of processes, families and losses, and the help.

use ratatui::text::Line;

use super::Look;
use crate::clock;
use crate::frame::{Frame, Process};
use crate::table::Align;
use crate::terminal::{Paint, printable};
use crate::top::model::Model;
use crate::top::rows;
use crate::top::track::Track;
use crate::top::warnings::warnings;
use crate::units;

/// A column: title, width, side.
type Column = (&'static str, usize, Align);

/// Cells in their columns; the last column takes what is left of the width.
fn row(cells: &[String], columns: &[Column], look: &Look, width: usize) -> String {
    let taken: usize = columns[..columns.len() - 1]
        .iter()
        .map(|column| column.1 + 1)
        .sum();
    let mut text = String::new();
    for (at, (cell, column)) in cells.iter().zip(columns).enumerate() {
        let room = if at + 1 == columns.len() {
            width.saturating_sub(taken)
        } else {
            column.1
        };
        text.push_str(&look.fit(cell, room, column.2));
        text.push(' ');
    }
    text
}

fn header(columns: &[Column], look: &Look, width: usize) -> Line<'static> {
    let titles: Vec<String> = columns.iter().map(|column| column.0.to_owned()).collect();
    look.line(Paint::Header, row(&titles, columns, look, width))
}

/// The lines of a list that are seen, the chosen one marked.
fn list(
    model: &Model,
    look: &Look,
    (width, room): (usize, usize),
    columns: &[Column],
    line: impl Fn(usize) -> Option<(Paint, Vec<String>)>,
) -> Vec<Line<'static>> {
    let place = model.place();
    let mut lines = vec![header(columns, look, width)];
    let seen = (place.top..).take(room.saturating_sub(1));
    lines.extend(seen.map_while(|at| {
        let (paint, cells) = line(at)?;
        let line = look.line(paint, row(&cells, columns, look, width));
        Some(if at == place.chosen {
            look.chosen(&line, width)
        } else {
            line
        })
    }));
    lines
}

pub(super) fn processes(
    model: &Model,
    look: &Look,
    width: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let Some(frame) = model.track.frame() else {
        return Vec::new();
    };
    let columns: &[Column] = if width < 60 {
        &[
            ("PID", 8, Align::Right),
            ("STATE", 5, Align::Left),
            ("BY", 8, Align::Left),
            ("NAME", 0, Align::Left),
        ]
    } else {
        &[
            ("PID", 8, Align::Right),
            ("STATE", 5, Align::Left),
            ("BY", 8, Align::Left),
            ("SLOT", 5, Align::Right),
            ("GEN", 5, Align::Right),
            ("ATTACHED", 8, Align::Right),
            ("HOLDS", 6, Align::Right),
            ("NAME", 0, Align::Left),
        ]
    };
    list(model, look, (width, room), columns, |at| {
        let process = frame.health.processes.get(at)?;
        let cells = columns.iter().map(|column| cell(column.0, process, frame));
        let paint = match (process.alive, process.is_slow()) {
            (false, _) => Paint::Dim,
            (true, true) => Paint::Warning,
            (true, false) => Paint::Plain,
        };
        Some((paint, cells.collect()))
    })
}

fn cell(column: &str, process: &Process, frame: &Frame) -> String {
    match column {
        "PID" => process.pid.to_string(),
        "STATE" => if process.alive { "alive" } else { "dead" }.into(),
        "BY" => process.recording.clone(),
        "SLOT" => process.slot.to_string(),
        "GEN" => process.generation.to_string(),
        "ATTACHED" => clock::age(process.attached_unix_nanos, frame.time_unix_nanos),
        "HOLDS" => process.holds_removed.to_string(),
        _ if process.is_slow() => format!("{}: {}", printable(&process.name), process.reason),
        _ => printable(&process.name).into_owned(),
    }
}

pub(super) fn families(
    model: &Model,
    look: &Look,
    width: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let Some(frame) = model.track.frame() else {
        return Vec::new();
    };
    let columns: [Column; 6] = [
        ("SERIES", 7, Align::Right),
        ("LIMIT", 7, Align::Right),
        ("FOLDED", 7, Align::Right),
        ("MEMORY", 9, Align::Right),
        ("TYPE", 9, Align::Left),
        ("FAMILY", 0, Align::Left),
    ];
    let columns: Vec<Column> = if width < 60 {
        [0, 1, 2, 5].map(|at| columns[at]).to_vec()
    } else {
        columns.to_vec()
    };
    let order = rows::by_cardinality(&frame.directory);
    list(model, look, (width, room), &columns, |at| {
        let index = *order.get(at)?;
        let family = frame.directory.families.get(index)?;
        let overflowed = frame.health.overflowed.get(index).copied().unwrap_or(0);
        let count = family.series.len() as u64;
        let cells = columns.iter().map(|column| match column.0 {
            "SERIES" => count.to_string(),
            "LIMIT" => family.series_limit.to_string(),
            "FOLDED" => overflowed.to_string(),
            "MEMORY" => units::size(count.saturating_mul(family.series_bytes)),
            "TYPE" => family.kind.name().to_owned(),
            _ => printable(&family.name).into_owned(),
        });
        let paint = match (overflowed, count >= family.series_limit) {
            (1.., _) => Paint::Bad,
            (0, true) => Paint::Warning,
            (0, false) => Paint::Plain,
        };
        Some((paint, cells.collect()))
    })
}

/// Warnings, losses, tables, removed series and damage.
pub(super) fn health(track: &Track, look: &Look, width: usize) -> Vec<Line<'static>> {
    let Some(frame) = track.frame() else {
        return Vec::new();
    };
    let health = &frame.health;
    let mut lines = Vec::new();
    for warning in warnings(track) {
        lines.push(look.line(Paint::Warning, format!("! {}", printable(&warning))));
    }
    let columns: [Column; 3] = [
        ("LOST", 12, Align::Right),
        ("WHAT", 16, Align::Left),
        ("REASON", 0, Align::Left),
    ];
    lines.push(header(&columns, look, width));
    // What was lost comes first, for a low screen.
    let (lost, others): (Vec<_>, Vec<_>) = health.losses.iter().partition(|lost| lost.count > 0);
    for lost in lost.into_iter().chain(others) {
        let paint = if lost.count > 0 {
            Paint::Bad
        } else {
            Paint::Dim
        };
        let cells = [
            lost.count.to_string(),
            lost.what.clone(),
            lost.reason.clone(),
        ];
        lines.push(look.line(paint, row(&cells, &columns, look, width)));
    }
    lines.push(Line::default());
    lines.extend(tables(frame, look, width));
    let [removed, freed, waiting, _] = health.removed;
    lines.push(Line::default());
    lines.push(look.line(
        Paint::Plain,
        format!("removed series {removed}, freed {freed}, waiting {waiting}"),
    ));
    for damage in &health.damage {
        lines.push(look.line(Paint::Bad, format!("damage: {}", printable(damage))));
    }
    lines
}

fn tables(frame: &Frame, look: &Look, width: usize) -> Vec<Line<'static>> {
    let columns: [Column; 4] = [
        ("FULL", 6, Align::Right),
        ("USED", 10, Align::Right),
        ("CAPACITY", 10, Align::Right),
        ("TABLE", 0, Align::Left),
    ];
    let mut lines = vec![header(&columns, look, width)];
    lines.extend(frame.health.tables.iter().map(|table| {
        let cells = [
            units::percent(table.share()),
            table.used.to_string(),
            table.capacity.to_string(),
            format!(
                "{}  {} of {}",
                table.name,
                units::size(table.committed_bytes),
                units::size(table.capacity_bytes)
            ),
        ];
        let paint = if table.share() > 0.8 {
            Paint::Warning
        } else {
            Paint::Plain
        };
        look.line(paint, row(&cells, &columns, look, width))
    }));
    lines
}

/// Narrow enough for the narrowest screen.
const HELP: [(&str, &str); 23] = [
    ("q, Ctrl-C", "quit"),
    ("Ctrl-Z", "suspend; fg comes back"),
    ("1 2 3 4, Tab", "series, processes,"),
    ("", "families, losses"),
    ("arrows, j k", "move; PgUp PgDn, g G: far"),
    ("Enter", "open a series, a family"),
    ("Esc", "back; gives up the filter"),
    ("/", "filter: words, !unwanted"),
    ("s S", "sort by the next, previous"),
    ("r", "reverse the order"),
    ("z", "hide what does not rise"),
    ("u", "plain base units"),
    ("w", "values of window, or all"),
    ("space, p", "pause, go on; play"),
    ("[ ] or arrows", "a look back, on"),
    ("< >", "a minute back, on"),
    ("b l", "the first look, the last"),
    ("+ -", "look more, less often"),
    ("", ""),
    ("stale", "gauge still for a minute"),
    ("full", "family has all it may"),
    ("other", "for series without room"),
    (">12s", "no change since first look"),
];

pub(super) fn help(look: &Look) -> Vec<Line<'static>> {
    let lines = HELP.iter().map(|(key, words)| {
        Line::from(vec![
            look.span(Paint::Header, look.fit(key, 14, Align::Left)),
            look.span(Paint::Plain, *words),
        ])
    });
    lines.collect()
}
