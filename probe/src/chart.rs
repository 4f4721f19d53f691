//! The bar chart of a histogram: neighbouring buckets merged to a few rows, one bar each.

use std::io::{self, Write};

use tachograph::{Buckets, Family, Scale};
use unicode_width::UnicodeWidthStr;

use crate::terminal::{Paint, Terminal};
use crate::units::{self, Units};
use crate::views::Amount;

const ROWS_MAX: usize = 20;
const BAR_MAX: usize = 50;

/// Values from `lower` to `upper`, both among them, in base units, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    pub(crate) lower: f64,
    /// Infinite for what lies above the highest bound.
    pub(crate) upper: f64,
    pub(crate) count: u64,
}

/// The buckets from the first to the last that is not empty, merged to at most 20 rows.
///
/// A power of two of them makes a row, and rows begin at multiples of it: in a log-linear layout a row is
/// then a fraction of an octave or some octaves, and the same from one look to the next. What lies above
/// the highest bound has a row of its own.
pub(crate) fn rows(family: &Family, counts: &[u64]) -> Vec<Row> {
    match &family.buckets {
        Some(buckets) => merged(buckets, family.unit.scale(), counts),
        None => Vec::new(),
    }
}

/// The same of buckets whose values become base units by `scale`.
pub(crate) fn merged(buckets: &Buckets, scale: Scale, counts: &[u64]) -> Vec<Row> {
    merge(buckets, counts)
        .into_iter()
        .map(|(first, end, count)| Row {
            lower: scale.apply(as_f64(buckets.lower_bound(first))),
            upper: if end > buckets.overflow_index() {
                f64::INFINITY
            } else {
                scale.apply(as_f64(buckets.upper_bound(end - 1)))
            },
            count,
        })
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a chart's bounds are rounded anyway"
)]
pub(crate) fn as_f64(value: u64) -> f64 {
    value as f64
}

/// `(first bucket, bucket after the last, values)` of each row.
fn merge(buckets: &Buckets, counts: &[u64]) -> Vec<(usize, usize, u64)> {
    let overflow = buckets.overflow_index();
    let (regular, above) = counts.split_at(overflow.min(counts.len()));
    let above: u64 = above.iter().sum();
    let mut rows = Vec::new();
    let first = regular.iter().position(|&count| count > 0);
    let last = regular.iter().rposition(|&count| count > 0);
    if let (Some(first), Some(last)) = (first, last) {
        let room = ROWS_MAX - usize::from(above > 0);
        let mut width = 1;
        while last / width - first / width + 1 > room {
            width *= 2;
        }
        for group in first / width..=last / width {
            let (start, end) = (group * width, ((group + 1) * width).min(overflow));
            rows.push((start, end, regular[start..end].iter().sum()));
        }
    }
    if above > 0 {
        rows.push((overflow, overflow + 1, above));
    }
    rows
}

/// Draws `rows` within the terminal's width: range, bar, count, share.
pub(crate) fn write(
    rows: &[Row],
    unit: &str,
    units: Units,
    out: &mut dyn Write,
    terminal: &Terminal,
) -> io::Result<()> {
    for line in lines(rows, unit, units, terminal.width, terminal.utf8) {
        let bar = terminal.paint(Paint::Good, &line.bar);
        writeln!(out, "{}{bar}{}", line.range, line.count)?;
    }
    Ok(())
}

/// One line of a chart, in the parts that differ in colour.
pub(crate) struct BarLine {
    pub(crate) range: String,
    pub(crate) bar: String,
    pub(crate) count: String,
}

/// `rows` within `width` columns.
pub(crate) fn lines(
    rows: &[Row],
    unit: &str,
    units: Units,
    width: usize,
    utf8: bool,
) -> Vec<BarLine> {
    let highest = rows.iter().map(|row| row.count).max().unwrap_or(0);
    let total: u64 = rows.iter().map(|row| row.count).sum();
    let labels: Vec<[String; 2]> = rows
        .iter()
        .map(|row| [row.lower, row.upper].map(|bound| label(bound, unit, units)))
        .collect();
    let widest = |side: usize| labels.iter().map(|label| label[side].width()).max();
    let (lower_width, upper_width) = (widest(0).unwrap_or(0), widest(1).unwrap_or(0));
    let count_width = highest.to_string().len();
    let dash = if utf8 { "–" } else { "-" };
    // Two spaces before, one on each side of the dash, two between columns, six for the share.
    let taken = 2 + lower_width + 3 + upper_width + 2 + 2 + count_width + 2 + 6;
    let room = width.saturating_sub(taken).clamp(8, BAR_MAX);
    let rows = rows.iter().zip(&labels);
    rows.map(|(row, [lower, upper])| {
        let lower_gap = " ".repeat(lower_width - lower.width());
        let upper_gap = " ".repeat(upper_width - upper.width());
        let bar = bar(row.count, highest, room, utf8);
        let gap = " ".repeat(room.saturating_sub(bar.width()));
        let share = units::percent(as_f64(row.count) / as_f64(total.max(1)));
        BarLine {
            range: format!("  {lower_gap}{lower} {dash} {upper_gap}{upper}  "),
            bar,
            count: format!("{gap}  {:>count_width$}  {share:>6}", row.count),
        }
    })
    .collect()
}

/// A bar as long, in at most `room` columns, as `value` is of `most`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and a million"
)]
pub(crate) fn share(value: f64, most: f64, room: usize, utf8: bool) -> String {
    const PARTS: u64 = 1_000_000;
    let share = (value / most).clamp(0.0, 1.0);
    bar((share * as_f64(PARTS)) as u64, PARTS, room, utf8)
}

pub(crate) fn label(bound: f64, unit: &str, units: Units) -> String {
    if bound.is_infinite() {
        "+Inf".into()
    } else if units.raw {
        units::plain(Amount::Float(bound))
    } else {
        units.float(bound, unit)
    }
}

/// A bar of at most `room` columns, in eighths of a column where blocks can be shown. What is not zero is seen.
fn bar(count: u64, highest: u64, room: usize, utf8: bool) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if count == 0 || highest == 0 {
        return String::new();
    }
    let steps_per_column: u128 = if utf8 { 8 } else { 1 };
    let all = room as u128 * steps_per_column;
    let steps = (u128::from(count) * all)
        .div_ceil(u128::from(highest))
        .min(all);
    let steps = usize::try_from(steps).unwrap_or(0);
    if utf8 {
        "█".repeat(steps / 8) + PARTS[steps % 8]
    } else {
        "#".repeat(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(buckets: &Buckets, values: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; buckets.count()];
        for &value in values {
            counts[buckets.index(value)] += 1;
        }
        counts
    }

    #[test]
    fn rows_are_few_and_lose_nothing() {
        let layouts = [
            Buckets::default(),
            Buckets::hdr(3, u64::MAX).unwrap(),
            Buckets::explicit([1, 5, 10]).unwrap(),
            Buckets::explicit((1..=512).collect::<Vec<u64>>()).unwrap(),
        ];
        for buckets in layouts {
            for values in [
                vec![0],
                vec![0, u64::MAX],
                (0..64).map(|bits| 1 << bits).collect(),
                (1_000_000..1_000_500).collect(),
            ] {
                let rows = merge(&buckets, &counted(&buckets, &values));
                assert!(rows.len() <= ROWS_MAX, "{buckets:?} {rows:?}");
                let total: u64 = rows.iter().map(|row| row.2).sum();
                assert_eq!(total, values.len() as u64, "{buckets:?}");
                assert!(rows.first().unwrap().2 > 0 && rows.last().unwrap().2 > 0);
                assert!(rows.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            }
        }
        assert!(merge(&Buckets::default(), &vec![0; Buckets::default().count()]).is_empty());
    }

    #[test]
    fn few_buckets_are_not_merged() {
        let buckets = Buckets::explicit([1, 5, 10]).unwrap();
        let rows = merge(&buckets, &[0, 2, 3, 4]);
        assert_eq!(rows, [(1, 2, 2), (2, 3, 3), (3, 4, 4)]);
    }

    #[test]
    fn bars_are_in_proportion_and_never_vanish() {
        assert_eq!(bar(4, 4, 10, true), "██████████");
        assert_eq!(bar(2, 4, 5, true), "██▌");
        assert_eq!(bar(1, 1_000_000, 10, true), "▏");
        assert_eq!(bar(0, 4, 10, true), "");
        assert_eq!(bar(u64::MAX, u64::MAX, 10, false), "##########");
        assert_eq!(bar(1, 1_000_000, 10, false), "#");
    }

    fn drawn(utf8: bool) -> String {
        let rows = [
            Row {
                lower: 0.001,
                upper: 0.002,
                count: 30,
            },
            Row {
                lower: 0.002,
                upper: 0.004,
                count: 10,
            },
            Row {
                lower: 0.004,
                upper: f64::INFINITY,
                count: 1,
            },
        ];
        let units = Units {
            raw: false,
            ascii: !utf8,
        };
        let mut out = Vec::new();
        write(
            &rows,
            "seconds",
            units,
            &mut out,
            &Terminal::plain(60, utf8),
        )
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_chart_fills_the_width() {
        assert_eq!(
            drawn(false),
            "  1 ms - 2 ms  #################################  30   73.2%
  2 ms - 4 ms  ###########                        10   24.4%
  4 ms - +Inf  ##                                  1    2.4%
"
        );
        assert!(drawn(true).lines().all(|line| line.width() == 60));
    }
}
