//! The screen as lines: a pure function of what is shown and of the terminal.

mod detail;
mod frame;
mod look;
mod pages;
mod table;

use ratatui::text::Line;

use super::model::{Model, Page};

pub(crate) use look::Look;

/// The whole screen, no more than `height` lines. Tells the model how many lines of its list are seen.
pub(crate) fn screen(
    model: &mut Model,
    look: &Look,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let mut lines = frame::head(model, look, width, height);
    let room = height.saturating_sub(lines.len() + 1);
    lines.extend(body(model, look, width, room));
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(frame::foot(model, look, width));
    lines
}

fn body(model: &mut Model, look: &Look, width: usize, room: usize) -> Vec<Line<'static>> {
    if model.is_help {
        model.height = room;
        return scrolled(pages::help(look), &mut model.scroll, room);
    }
    if model.opened.is_some() {
        model.height = room;
        return scrolled(detail::lines(model, look, width), &mut model.scroll, room);
    }
    match model.page {
        Page::Health => {
            model.height = room;
            let place = &mut model.places[Page::Health as usize];
            let lines = scrolled(
                pages::health(&model.track, look, width),
                &mut place.top,
                room,
            );
            place.chosen = place.top;
            lines
        }
        Page::Series => {
            model.fit(room.saturating_sub(1));
            table::lines(model, look, width, room)
        }
        Page::Processes => {
            model.fit(room.saturating_sub(1));
            pages::processes(model, look, width, room)
        }
        Page::Families => {
            model.fit(room.saturating_sub(1));
            pages::families(model, look, width, room)
        }
    }
}

/// `room` of the lines from `scroll` on, which is brought back into them.
fn scrolled(lines: Vec<Line<'static>>, scroll: &mut usize, room: usize) -> Vec<Line<'static>> {
    *scroll = (*scroll).min(lines.len().saturating_sub(room));
    lines.into_iter().skip(*scroll).take(room).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use crate::tape::Tape;
    use crate::tape::tests::sample;
    use crate::terminal::Terminal;
    use crate::top::model::Origin;
    use ratatui::crossterm::event::KeyCode;
    use std::time::Duration;

    fn model() -> Model {
        let (tape, second) = (Tape::new(usize::MAX), Duration::from_secs(1));
        let mut model = Model::new(Origin::Live, tape, Filter::default(), second);
        sample(6).into_iter().for_each(|frame| model.take(frame));
        model
    }

    /// Every page, an opened series of every type, and the help.
    fn keys() -> Vec<Vec<KeyCode>> {
        let mut all: Vec<Vec<KeyCode>> = "1234?/"
            .chars()
            .map(|key| vec![KeyCode::Char(key)])
            .collect();
        all.extend((0..7).map(|down| {
            let mut keys = vec![KeyCode::Down; down];
            keys.push(KeyCode::Enter);
            keys
        }));
        all
    }

    #[test]
    fn every_page_fits_every_size() {
        for (width, height) in [(80, 24), (40, 10), (200, 60), (20, 5), (3, 2), (1, 1)] {
            for utf8 in [true, false] {
                for keys in keys() {
                    let look = Look::new(Terminal::plain(width, utf8), false);
                    let mut model = model();
                    screen(&mut model, &look, width, height);
                    for key in &keys {
                        model.key((*key).into());
                    }
                    let lines = screen(&mut model, &look, width, height);
                    assert_eq!(lines.len(), height, "{keys:?}");
                    let text: String = lines.iter().map(Line::to_string).collect();
                    assert!(utf8 || text.is_ascii(), "{keys:?} {text}");
                }
            }
        }
    }

    fn shown(keys: &[KeyCode], width: usize, height: usize) -> String {
        let look = Look::new(Terminal::plain(width, true), false);
        let mut model = model();
        screen(&mut model, &look, width, height);
        for key in keys {
            model.key((*key).into());
        }
        let lines = screen(&mut model, &look, width, height);
        let lines = lines.iter().map(|line| line.to_string() + "\n");
        lines.collect()
    }

    #[test]
    fn the_table_has_values_rates_and_percentiles() {
        let text = shown(&[], 180, 24);
        let line = |start: &str| {
            let found = text.lines().find(|line| line.contains(start));
            found
                .unwrap_or_else(|| panic!("{start} in {text}"))
                .to_owned()
        };
        assert!(line("SERIES").contains("P99.9"), "{text}");
        assert!(
            line("requests_total{method=\"put\"}").contains("35/s"),
            "{text}"
        );
        assert!(
            line("request_duration_seconds").contains("32.26 µs"),
            "{text}"
        );
        assert!(line("cpu_seconds_total").contains("750 ms"), "{text}");
        assert!(text.contains("1 alive"), "{text}");
    }

    #[test]
    fn a_small_screen_has_what_matters() {
        let text = shown(&[], 40, 10);
        for wanted in ["SERIES", "VALUE", "RATE", "requests_total", "1 alive"] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn an_opened_histogram_shows_its_percentiles_and_its_shape() {
        let text = shown(&[KeyCode::Down, KeyCode::Down, KeyCode::Enter], 80, 60);
        for wanted in ["Time", "seconds", "p99.9", "window", "total", "100%"] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn the_help_is_whole_on_the_narrowest_screen() {
        let look = Look::new(Terminal::plain(40, true), false);
        for line in pages::help(&look) {
            assert!(line.width() <= 40, "{line}");
        }
    }

    #[test]
    fn the_pages_show_processes_families_and_losses() {
        let page = |key| shown(&[KeyCode::Char(key)], 80, 24);
        assert!(page('2').contains("rseq") || page('2').contains("fallback"));
        assert!(page('3').contains("requests_total"));
        assert!(page('4').contains("series_limit"));
        assert!(page('?').contains("pause"));
    }
}
