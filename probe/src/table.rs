//! Aligned columns, measured as a terminal shows them.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::terminal::{Paint, Terminal};

/// On which side a column is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a header. The last column is not filled up.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<(String, Align)>,
    rows: Vec<Vec<Cell>>,
    cuts_last: bool,
}

/// One entry of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    pub(crate) fn painted(text: impl Into<String>, paint: Paint) -> Cell {
        Cell {
            text: text.into(),
            paint,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::painted(text, Paint::Plain)
    }
}

impl Table {
    pub(crate) fn new(header: &[(&str, Align)]) -> Table {
        Table {
            header: header
                .iter()
                .map(|&(name, align)| (name.to_owned(), align))
                .collect(),
            rows: Vec::new(),
            cuts_last: false,
        }
    }

    /// Cuts the last column at the width of a terminal, rather than let the terminal wrap it.
    pub(crate) fn cut_last(mut self) -> Table {
        self.cuts_last = true;
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.header.len(), "{row:?}");
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, the header first.
    pub(crate) fn lines(&self, terminal: &Terminal) -> Vec<String> {
        let widths = self.widths();
        let header: Vec<Cell> = self
            .header
            .iter()
            .map(|(name, _)| Cell::painted(name.as_str(), Paint::Header))
            .collect();
        std::iter::once(&header)
            .chain(&self.rows)
            .map(|row| self.line(row, &widths, terminal))
            .collect()
    }

    pub(crate) fn write(&self, out: &mut dyn Write, terminal: &Terminal) -> io::Result<()> {
        for line in self.lines(terminal) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|(name, _)| name.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        widths
    }

    fn line(&self, row: &[Cell], widths: &[usize], terminal: &Terminal) -> String {
        let mut line = String::new();
        let mut column_start = 0;
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let is_last = index + 1 == row.len();
            let text = match terminal.cut_at {
                Some(cut_at) if is_last && self.cuts_last => {
                    &cut(&cell.text, cut_at.saturating_sub(column_start), terminal)
                }
                _ => &cell.text,
            };
            let gap = " ".repeat(width.saturating_sub(text.width()));
            let painted = terminal.paint(cell.paint, text);
            match self.header[index].1 {
                Align::Right => line.extend([gap.as_str(), &painted]),
                Align::Left if is_last => line.push_str(&painted),
                Align::Left => line.extend([painted.as_str(), &gap]),
            }
            if !is_last {
                line.push_str("  ");
            }
            column_start += width + 2;
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

/// `text` cut to `width` columns, with a mark where something was left out.
pub(crate) fn cut(text: &str, width: usize, terminal: &Terminal) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if terminal.utf8 { "…" } else { "..." };
    let room = width.saturating_sub(mark.width());
    let mut used = 0;
    let mut kept: String = text
        .chars()
        .take_while(|character| {
            used += character.width().unwrap_or(0);
            used <= room
        })
        .collect();
    kept.push_str(mark);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Terminal {
        Terminal::plain(80, true)
    }

    fn sample() -> Table {
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("N", Align::Right),
            ("HELP", Align::Left),
        ]);
        table.row(["a".into(), "1".into(), "first".into()]);
        table.row(["表示".into(), "1000".into(), "".into()]);
        table
    }

    #[test]
    fn columns_align_by_their_shown_width() {
        assert_eq!(
            sample().lines(&plain()),
            ["NAME     N  HELP", "a        1  first", "表示  1000"]
        );
    }

    #[test]
    fn only_the_last_column_is_cut_and_only_when_asked() {
        let narrow = Terminal {
            cut_at: Some(15),
            ..plain()
        };
        assert_eq!(sample().lines(&narrow)[1], "a        1  first");
        assert_eq!(sample().cut_last().lines(&narrow)[1], "a        1  fi…");
    }

    #[test]
    fn colours_do_not_disturb_the_columns() {
        let colourful = Terminal {
            colour: true,
            ..plain()
        };
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Left)]);
        table.row([Cell::painted("x", Paint::Bad), "y".into()]);
        assert_eq!(
            table.lines(&colourful),
            ["\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m", "\x1b[31mx\x1b[0m  y"]
        );
    }

    #[test]
    fn a_cut_never_exceeds_its_width() {
        for width in 0..8 {
            let text = cut("表示です", width, &plain());
            assert!(text.width() <= width.max(1), "{text}");
        }
        assert_eq!(cut("abc", 3, &plain()), "abc");
    }
}
