//! Charts of histograms as pictures, for tickets and reports: laid out once, written in two formats.

mod png;
mod svg;

use crate::chart::{self, Row};
use crate::units::{self, Units};

pub(crate) use png::encoded as png;
pub(crate) use svg::write as write_svg;

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

/// Charts one below the other, in pixels from the upper left corner.
pub(crate) struct Picture {
    width: usize,
    height: usize,
    texts: Vec<Text>,
    bars: Vec<Bar>,
}

struct Text {
    x: usize,
    /// Of the line that the letters stand on.
    y: usize,
    is_to_the_left: bool,
    weight: Weight,
    content: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Bold,
    Plain,
    Dim,
}

struct Bar {
    x: usize,
    y: usize,
    width: f64,
    height: usize,
}

impl Picture {
    pub(crate) fn new(charts: &[Chart], units: Units) -> Picture {
        let mut picture = Picture {
            width: WIDTH,
            height: 0,
            texts: Vec::new(),
            bars: Vec::new(),
        };
        for chart in charts {
            picture.add(chart, units);
        }
        picture
    }

    fn add(&mut self, chart: &Chart, units: Units) {
        let top = self.height;
        self.text(12, top + LINE + 2, Weight::Bold, &chart.heading);
        self.text(12, top + 2 * LINE + 2, Weight::Dim, &chart.facts);
        let highest = chart.rows.iter().map(|row| row.count).max();
        let highest = chart::as_f64(highest.unwrap_or(1).max(1));
        let total: u64 = chart.rows.iter().map(|row| row.count).sum();
        for (index, row) in chart.rows.iter().enumerate() {
            let y = top + (index + 3) * LINE + 2;
            let [lower, upper] =
                [row.lower, row.upper].map(|bound| chart::label(bound, &chart.unit, units));
            self.text_to_the_left(LABELS, y, format!("{lower} – {upper}"));
            let share = units::percent(chart::as_f64(row.count) / chart::as_f64(total.max(1)));
            self.text_to_the_left(WIDTH - 12, y, format!("{}  {share}", row.count));
            let room = chart::as_f64((WIDTH - LABELS - COUNTS) as u64);
            self.bars.push(Bar {
                x: LABELS + 8,
                y: y + 6 - LINE,
                width: room * chart::as_f64(row.count) / highest,
                height: LINE - 4,
            });
        }
        self.height = top + (chart.rows.len() + 4) * LINE;
    }

    fn text(&mut self, x: usize, y: usize, weight: Weight, content: &str) {
        self.texts.push(Text {
            x,
            y,
            is_to_the_left: false,
            weight,
            content: content.to_owned(),
        });
    }

    fn text_to_the_left(&mut self, x: usize, y: usize, content: String) {
        self.texts.push(Text {
            x,
            y,
            is_to_the_left: true,
            weight: Weight::Plain,
            content,
        });
    }
}
