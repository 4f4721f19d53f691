//! How things look: colours or none, block characters or none, text cut and filled to a width.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::table::{Align, cut};
use crate::terminal::{Paint, Terminal};
use crate::units::{self, Units};
use crate::views::Amount;

const BLOCKS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const ASCII_BLOCKS: [&str; 8] = ["_", ".", "-", "=", "+", "*", "%", "#"];

/// What the terminal can show, and how numbers are written on it.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) terminal: Terminal,
    pub(crate) units: Units,
}

/// Names narrower than this are cut at their end only.
const TWO_ENDS_MIN: usize = 24;

impl Look {
    pub(crate) fn new(terminal: Terminal, raw: bool) -> Look {
        let units = Units {
            raw,
            ascii: !terminal.utf8,
        };
        Look { terminal, units }
    }

    pub(crate) fn style(&self, paint: Paint) -> Style {
        let plain = Style::new();
        let coloured = |colour: Color| {
            if self.terminal.colour {
                plain.fg(colour)
            } else {
                plain
            }
        };
        match paint {
            Paint::Plain => plain,
            Paint::Header => plain.add_modifier(Modifier::BOLD),
            Paint::Dim => plain.add_modifier(Modifier::DIM),
            Paint::Good => coloured(Color::Green),
            Paint::Warning => coloured(Color::Yellow),
            Paint::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    pub(crate) fn span(&self, paint: Paint, text: impl AsRef<str>) -> Span<'static> {
        Span::styled(self.text(text.as_ref()), self.style(paint))
    }

    pub(crate) fn line(&self, paint: Paint, text: impl AsRef<str>) -> Line<'static> {
        Line::from(self.span(paint, text))
    }

    /// The chosen line of a list, over its whole width.
    pub(crate) fn chosen(&self, line: &Line<'_>, width: usize) -> Line<'static> {
        let gap = width.saturating_sub(line.width());
        let text = line.to_string() + &" ".repeat(gap);
        Line::styled(text, Style::new().add_modifier(Modifier::REVERSED))
    }

    /// `text` as the terminal can show it.
    pub(crate) fn text(&self, text: &str) -> String {
        if self.terminal.utf8 || text.is_ascii() {
            return text.to_owned();
        }
        let mut shown = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '·' | '–' => shown.push('-'),
                '…' => shown.push_str("..."),
                'µ' => shown.push('u'),
                ascii if ascii.is_ascii() => shown.push(ascii),
                other => shown.extend(other.escape_unicode()),
            }
        }
        shown
    }

    /// `text` in exactly `width` columns.
    pub(crate) fn fit(&self, text: &str, width: usize, align: Align) -> String {
        let text = cut(&self.text(text), width, &self.terminal);
        let gap = " ".repeat(width.saturating_sub(text.width()));
        match align {
            Align::Left => text + &gap,
            Align::Right => gap + &text,
        }
    }

    /// A name in exactly `width` columns. A long one loses its middle, if that leaves enough of both ends: the labels tell
    /// it from others.
    pub(crate) fn fit_name(&self, name: &str, width: usize) -> String {
        let name = self.text(name);
        let labels = name.find('{').map(|at| name[at..].width());
        let start = labels.map(|labels| width.saturating_sub(labels).max(width * 2 / 5));
        let Some(start) = start.filter(|_| name.width() > width && width >= TWO_ENDS_MIN) else {
            return self.fit(&name, width, Align::Left);
        };
        let start = cut(&name, start, &self.terminal);
        let mut room = width - start.width();
        let fits = |character: &char| {
            let left = room.checked_sub(character.width().unwrap_or(0));
            room = left.unwrap_or(room);
            left.is_some()
        };
        let end: Vec<char> = name.chars().rev().take_while(fits).collect();
        let whole = start + &end.into_iter().rev().collect::<String>();
        self.fit(&whole, width, Align::Left)
    }

    fn blocks(&self) -> [&'static str; 8] {
        if self.terminal.utf8 {
            BLOCKS
        } else {
            ASCII_BLOCKS
        }
    }

    /// The last `width` points as a line of bars from zero, or from the least one.
    pub(crate) fn spark(&self, points: &[f32], width: usize, from_zero: bool) -> String {
        let points = &points[points.len().saturating_sub(width)..];
        let (least, most) = range(points, from_zero);
        let blocks = self.blocks();
        let bars = points
            .iter()
            .map(|&point| match level(point, least, most, 8) {
                Some(level) => blocks[level.saturating_sub(1).min(7)],
                None => " ",
            });
        bars.collect()
    }

    /// The last `width` points as a chart of `height` lines, the highest first.
    pub(crate) fn chart(
        &self,
        points: &[f32],
        width: usize,
        height: usize,
        from_zero: bool,
    ) -> Vec<String> {
        let points = &points[points.len().saturating_sub(width)..];
        let (least, most) = range(points, from_zero);
        let blocks = self.blocks();
        let row = |row: usize| {
            let below = (height - 1 - row) * 8;
            let bar = |&point: &f32| match level(point, least, most, height * 8) {
                Some(level) if level > below => blocks[(level - below - 1).min(7)],
                _ => " ",
            };
            points.iter().map(bar).collect()
        };
        (0..height).map(row).collect()
    }

    /// A number in at most some ten columns.
    pub(crate) fn short(&self, amount: Amount, unit: &str) -> String {
        let text = self.units.amount(amount, unit);
        if text.width() <= 10 || self.units.raw {
            return text;
        }
        magnitude(amount.as_f64())
    }

    /// So much a second.
    pub(crate) fn rate(&self, rate: f64, unit: &str) -> String {
        match unit {
            "seconds" | "bytes" => self.units.rate(rate, unit),
            // As long as the column, but no longer.
            _ if self.units.raw && rate >= 1e3 => format!("{rate:.1}"),
            _ if self.units.raw || rate < 1e6 => self.units.rate(rate, unit),
            _ => format!("{}/s", magnitude(rate)),
        }
    }
}

/// A large number with a decimal prefix.
fn magnitude(value: f64) -> String {
    const PREFIXES: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    let mut rest = value / 1e3;
    let mut prefix = 0;
    while rest.abs() >= 999.95 && prefix + 1 < PREFIXES.len() {
        rest /= 1e3;
        prefix += 1;
    }
    format!("{} {}", units::digits(rest, 4), PREFIXES[prefix])
}

/// The least and the greatest of the points.
pub(crate) fn range(points: &[f32], from_zero: bool) -> (f32, f32) {
    let finite = || points.iter().copied().filter(|point| point.is_finite());
    let least = if from_zero {
        0.0
    } else {
        finite().fold(f32::INFINITY, f32::min)
    };
    (least, finite().fold(f32::NEG_INFINITY, f32::max))
}

/// Where `point` stands among `levels`, 1 for the least; none where it is no number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a level is small and not negative"
)]
fn level(point: f32, least: f32, most: f32, levels: usize) -> Option<usize> {
    if !point.is_finite() {
        return None;
    }
    let share = if most > least {
        (point - least) / (most - least)
    } else {
        0.0
    };
    Some(((share * levels as f32).ceil() as usize).clamp(1, levels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(utf8: bool) -> Look {
        Look::new(Terminal::plain(80, utf8), false)
    }

    #[test]
    fn sparks_stand_between_their_least_and_greatest() {
        let points = [f32::NAN, 0.0, 4.0, 8.0];
        assert_eq!(look(true).spark(&points, 4, true), " ▁▄█");
        assert_eq!(look(false).spark(&points, 4, true), " _=#");
        assert_eq!(look(true).spark(&[5.0, 6.0], 9, false), "▁█");
        assert_eq!(look(true).spark(&[5.0, 5.0], 9, false), "▁▁");
    }

    #[test]
    fn a_chart_is_as_high_as_asked() {
        let chart = look(true).chart(&[0.0, 8.0, 16.0, f32::NAN], 4, 2, true);
        assert_eq!(chart, ["  █ ", "▁██ "]);
    }

    #[test]
    fn long_numbers_become_short() {
        let short = |value: u64| look(true).short(Amount::Unsigned(value.into()), "");
        assert_eq!(short(1_234_567_890), "1234567890");
        assert_eq!(short(12_345_678_901), "12.35 G");
        assert_eq!(short(u64::MAX), "18.45 E");
        assert_eq!(look(true).rate(2_500_000.0, ""), "2.5 M/s");
        assert_eq!(look(true).rate(2_500.0, ""), "2500/s");
        let raw = Look::new(Terminal::plain(80, true), true);
        assert_eq!(raw.rate(3_486.434_017, ""), "3486.4");
    }

    #[test]
    fn texts_fit_and_lose_what_cannot_be_shown() {
        assert_eq!(look(true).fit("abcdef", 4, Align::Left), "abc…");
        assert_eq!(look(true).fit("ab", 4, Align::Right), "  ab");
        assert_eq!(look(false).text("µ·表"), "u-\\u{8868}");
        for utf8 in [true, false] {
            assert_eq!(look(utf8).fit("表示表示", 5, Align::Left).width(), 5);
            assert_eq!(
                look(utf8)
                    .fit_name("表示表示表示表示{表示表示}", 25)
                    .width(),
                25
            );
        }
    }

    #[test]
    fn long_names_keep_their_last_labels() {
        let name = "shop_updates_total{cart=\"389\"}";
        assert_eq!(
            look(true).fit_name(name, 26),
            "shop_updates_…{cart=\"389\"}"
        );
        assert_eq!(
            look(false).fit_name(name, 26),
            "shop_update...{cart=\"389\"}"
        );
        assert_eq!(look(true).fit_name(name, 20), "shop_updates_total{…");
        let long = "shop_total{cart=\"a long one\",path=\"/pay\"}";
        assert_eq!(
            look(true).fit_name(long, 25),
            "shop_tota…e\",path=\"/pay\"}"
        );
        assert_eq!(look(true).fit_name("short", 8), "short   ");
        assert_eq!(look(true).fit_name("abcdefghij", 6), "abcde…");
    }
}
