//! A screen as a picture.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

const COLUMN: f32 = 8.4;
const ROW: u16 = 18;
const MARGIN: u16 = 12;
const PAPER: &str = "#16181d";
const INK: &str = "#d8dee9";

/// How a run of cells looks.
#[derive(Clone, PartialEq)]
struct Dress {
    ink: &'static str,
    paper: Option<&'static str>,
    bold: bool,
    dim: bool,
}

/// The screen, cell by cell, in a rounded frame.
pub(crate) fn svg(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let width = COLUMN * f32::from(columns) + f32::from(2 * MARGIN);
    let height = rows * ROW + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for row in 0..rows {
        for (column, text, dress) in runs(screen, row, columns) {
            draw(&mut svg, row, column, &text, &dress);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Neighbouring cells that look the same: first column, text, look.
fn runs(screen: &Screen, row: u16, columns: u16) -> Vec<(u16, String, Dress)> {
    let mut runs: Vec<(u16, String, Dress)> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else {
            continue;
        };
        let (dress, text) = (dress(cell), cell.contents());
        let text = if text.is_empty() { " " } else { text };
        match runs.last_mut() {
            Some((_, run, last)) if *last == dress => run.push_str(text),
            _ => runs.push((column, text.to_owned(), dress)),
        }
    }
    runs.retain(|(_, text, dress)| dress.paper.is_some() || !text.trim().is_empty());
    runs
}

fn dress(cell: &Cell) -> Dress {
    let ink = match cell.fgcolor() {
        Color::Idx(1 | 9) => "#e06c75",
        Color::Idx(2 | 10) => "#98c379",
        Color::Idx(3 | 11) => "#e5c07b",
        _ => INK,
    };
    let (ink, paper) = match cell.inverse() {
        true => (PAPER, Some(ink)),
        false => (ink, None),
    };
    Dress {
        ink,
        paper,
        bold: cell.bold(),
        dim: cell.dim(),
    }
}

fn draw(svg: &mut String, row: u16, column: u16, text: &str, dress: &Dress) {
    let x = COLUMN * f32::from(column) + f32::from(MARGIN);
    let y = row * ROW + MARGIN;
    let count = u16::try_from(text.chars().count()).unwrap_or(0);
    let width = COLUMN * f32::from(count);
    if let Some(paper) = dress.paper {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{ROW}\" fill=\"{paper}\"/>"
        );
    }
    let bold = if dress.bold {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let dim = if dress.dim { " opacity=\"0.6\"" } else { "" };
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{}\" fill=\"{}\" textLength=\"{width:.1}\" xml:space=\"preserve\"{bold}{dim}>{text}</text>",
        y + 14,
        dress.ink
    );
}

#[test]
fn a_screen_becomes_a_picture() {
    let mut parser = vt100::Parser::new(2, 10, 0);
    parser.process(b"a<b \x1b[32mgreen\x1b[0m\r\n\x1b[7mrow\x1b[0m");
    let svg = svg(parser.screen());
    assert!(svg.contains("a&lt;b"), "{svg}");
    assert!(
        svg.contains("fill=\"#98c379\"") && svg.contains(">green<"),
        "{svg}"
    );
    assert!(
        svg.contains(&format!("height=\"18\" fill=\"{INK}\"")),
        "{svg}"
    );
}
