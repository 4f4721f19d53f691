//! Charts of histograms as SVG: for tickets and reports.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::chart::{self, Row};
use crate::units::{self, Units};

const WIDTH: usize = 720;
const LINE: usize = 18;
const LABELS: usize = 190;
const COUNTS: usize = 150;

/// One chart: a heading, a line of facts, and bars.
pub(crate) struct Chart {
    pub(crate) heading: String,
    pub(crate) facts: String,
    pub(crate) unit: String,
    pub(crate) rows: Vec<Row>,
}

/// Writes the charts one below the other.
pub(crate) fn write(charts: &[Chart], units: Units, out: &mut dyn Write) -> io::Result<()> {
    let height: usize = charts
        .iter()
        .map(|chart| (chart.rows.len() + 4) * LINE)
        .sum();
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
    )?;
    let mut top = 0;
    for chart in charts {
        out.write_all(drawn(chart, units, top).as_bytes())?;
        top += (chart.rows.len() + 4) * LINE;
    }
    writeln!(out, "</svg>")
}

fn drawn(chart: &Chart, units: Units, top: usize) -> String {
    let mut text = String::new();
    let mut line = |x: usize, y: usize, anchor: &str, style: &str, content: &str| {
        let content = escaped(content);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\"{style}>{content}</text>",
            top + y
        );
    };
    line(
        12,
        LINE + 2,
        "start",
        " font-weight=\"bold\"",
        &chart.heading,
    );
    line(12, 2 * LINE + 2, "start", " fill=\"#555555\"", &chart.facts);
    let highest = chart
        .rows
        .iter()
        .map(|row| row.count)
        .max()
        .unwrap_or(1)
        .max(1);
    let total: u64 = chart.rows.iter().map(|row| row.count).sum();
    let mut bars = String::new();
    for (index, row) in chart.rows.iter().enumerate() {
        let y = (index + 3) * LINE + 2;
        let [lower, upper] =
            [row.lower, row.upper].map(|bound| chart::label(bound, &chart.unit, units));
        line(LABELS, y, "end", "", &format!("{lower} – {upper}"));
        let share = units::percent(chart::as_f64(row.count) / chart::as_f64(total.max(1)));
        line(WIDTH - 12, y, "end", "", &format!("{}  {share}", row.count));
        let room = chart::as_f64((WIDTH - LABELS - COUNTS) as u64);
        let width = room * chart::as_f64(row.count) / chart::as_f64(highest);
        let _ = writeln!(
            bars,
            "<rect x=\"{}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\" fill=\"#2f7ed8\"/>",
            LABELS + 8,
            top + y - LINE + 6,
            LINE - 4
        );
    }
    text + &bars
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // Not allowed in XML, escaped or not.
            control if control.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}
