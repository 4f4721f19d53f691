//! What `top` shows and how keys change it; nothing of drawing.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rows::{self, Order, Query};
use super::split::Split;
use super::track::{TREND_POINTS, Track};
use crate::filter::Filter;
use crate::frame::{Frame, Series};
use crate::tape::Tape;

const INTERVALS_MS: [u64; 7] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000];
const MINUTE_NANOS: u64 = 60_000_000_000;

/// One of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Series,
    Processes,
    Families,
    Health,
}

impl Page {
    pub(crate) const ALL: [Page; 4] = [Page::Series, Page::Processes, Page::Families, Page::Health];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Page::Series => "series",
            Page::Processes => "processes",
            Page::Families => "families",
            Page::Health => "losses",
        }
    }
}

/// What the loop does after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Go,
    Quit,
    Suspend,
}

/// Where a list stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The chosen line.
    pub(crate) chosen: usize,
    /// The first line that is seen.
    pub(crate) top: usize,
}

impl Place {
    /// Moves the choice within `count` lines, and what is seen with it.
    fn go(&mut self, chosen: usize, count: usize, height: usize) {
        self.chosen = chosen.min(count.saturating_sub(1));
        let height = height.max(1);
        self.top = self
            .top
            .clamp((self.chosen + 1).saturating_sub(height), self.chosen)
            .min(count.saturating_sub(height));
    }
}

/// Where the frames come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Live,
    Recording,
}

/// Everything that `top` shows.
pub(crate) struct Model {
    pub(crate) origin: Origin,
    pub(crate) tape: Tape,
    pub(crate) track: Track,
    /// The frame that is shown.
    pub(crate) at: u64,
    /// Whether the shown frame stays.
    pub(crate) is_held: bool,
    pub(crate) interval: Duration,
    pub(crate) page: Page,
    pub(crate) places: [Place; 4],
    /// The series that is shown alone: family and labels.
    pub(crate) opened: Option<(String, Series)>,
    pub(crate) split: Option<Split>,
    /// Whether an opened histogram shows all its values rather than those of the window.
    pub(crate) shows_total: bool,
    /// How far an opened series or the help is scrolled.
    pub(crate) scroll: usize,
    pub(crate) is_help: bool,
    pub(crate) filter: String,
    /// The filter as it is typed.
    pub(crate) typed: Option<String>,
    pub(crate) order: Order,
    pub(crate) hides_idle: bool,
    pub(crate) is_raw: bool,
    /// Why there is nothing new.
    pub(crate) trouble: Option<String>,
    /// What happened and is told until the next key.
    pub(crate) news: Option<String>,
    /// The series of the table, in its order.
    pub(crate) shown: Vec<usize>,
    /// Lines of the list that are seen.
    pub(crate) height: usize,
    /// What was asked for on the command line.
    selection: Filter,
    /// What the filters admit, for the directory it was made of.
    matching: Option<(std::sync::Arc<crate::frame::Directory>, Vec<usize>)>,
}

impl Model {
    pub(crate) fn new(origin: Origin, tape: Tape, selection: Filter, interval: Duration) -> Model {
        Model {
            origin,
            at: tape.first(),
            tape,
            track: Track::default(),
            is_held: origin == Origin::Recording,
            interval,
            page: Page::Series,
            places: [Place::default(); 4],
            opened: None,
            split: None,
            shows_total: false,
            scroll: 0,
            is_help: false,
            filter: String::new(),
            typed: None,
            order: Order {
                column: rows::Column::Series,
                reversed: false,
            },
            hides_idle: false,
            is_raw: false,
            trouble: None,
            news: None,
            shown: Vec::new(),
            height: 1,
            selection,
            matching: None,
        }
    }

    /// A new look at the segment.
    pub(crate) fn take(&mut self, frame: Frame) {
        self.tape.push(&frame);
        let last = self.tape.end() - 1;
        if self.is_held {
            // What is shown stays, unless the tape has dropped it.
            if self.at < self.tape.first() {
                self.seek(self.tape.first());
            }
            return;
        }
        if self.at + 1 == last || last == self.tape.first() {
            self.track.feed(frame);
            self.at = last;
            self.arrange();
        } else {
            self.seek(last);
        }
    }

    /// Shows the next frame of a recording that plays; false at its end.
    pub(crate) fn play(&mut self) -> bool {
        let has_next = self.at + 1 < self.tape.end();
        if has_next {
            self.step(self.at + 1);
        } else {
            self.is_held = true;
        }
        has_next
    }

    /// Shows frame `at`, with as many before it as its history takes.
    pub(crate) fn seek(&mut self, at: u64) {
        let at = at.clamp(self.tape.first(), self.tape.end().saturating_sub(1));
        let from = at
            .saturating_sub(TREND_POINTS as u64)
            .max(self.tape.first());
        let count = usize::try_from(at - from + 1).unwrap_or(usize::MAX);
        self.track = Track::default();
        for frame in self.tape.frames(from).take(count) {
            self.track.feed(frame);
        }
        self.at = at;
        self.arrange();
    }

    fn step(&mut self, at: u64) {
        if at != self.at + 1 {
            return self.seek(at);
        }
        let next = self.tape.frames(at).next();
        if let Some(frame) = next {
            self.track.feed(frame);
            self.at = at;
            self.arrange();
        }
    }

    /// Puts the series in order again.
    pub(crate) fn arrange(&mut self) {
        let Some(frame) = self.track.frame() else {
            return;
        };
        let is_known =
            |(directory, _): &(_, _)| std::sync::Arc::ptr_eq(directory, &frame.directory);
        let known = self.matching.take().filter(is_known);
        let (directory, matching) = known.unwrap_or_else(|| {
            let directory = std::sync::Arc::clone(&frame.directory);
            let query = Query::new(self.typed.as_deref().unwrap_or(&self.filter));
            let matching = rows::matching(&directory, &self.selection, &query);
            (directory, matching)
        });
        let mut seen = matching.clone();
        if self.hides_idle {
            seen.retain(|&index| !rows::is_idle(&self.track, index));
        }
        self.shown = rows::arranged(&self.track, seen, self.order);
        self.matching = Some((directory, matching));
        self.keep_places();
    }

    /// How many lines the list of this page has.
    pub(crate) fn count(&self) -> usize {
        let Some(frame) = self.track.frame() else {
            return 0;
        };
        match self.page {
            Page::Series => self.shown.len(),
            Page::Processes => frame.health.processes.len(),
            Page::Families => frame.directory.families.len(),
            Page::Health => usize::MAX,
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.places[self.page as usize]
    }

    fn keep_places(&mut self) {
        self.move_to(self.place().chosen);
    }

    /// Tells how many lines of the list are seen.
    pub(crate) fn fit(&mut self, height: usize) {
        self.height = height;
        self.keep_places();
    }

    fn move_to(&mut self, chosen: usize) {
        let (count, height) = (self.count(), self.height);
        if self.page == Page::Health {
            // Only scrolled; its lines are counted when they are drawn.
            self.places[self.page as usize].top = chosen;
            self.places[self.page as usize].chosen = chosen;
        } else {
            self.places[self.page as usize].go(chosen, count, height);
        }
    }

    /// The place of the opened series in the frame that is shown.
    pub(crate) fn opened_index(&self) -> Option<usize> {
        let (name, wanted) = self.opened.as_ref()?;
        let directory = &self.track.frame()?.directory;
        let mut all = directory.series();
        all.position(|(family, series)| family.name == *name && series.labels == wanted.labels)
    }

    /// The family and labels to ask a live segment about, where the newest moment of it is shown.
    pub(crate) fn wants_split(&self) -> Option<&(String, Series)> {
        let is_now = self.origin == Origin::Live && !self.is_held;
        self.opened.as_ref().filter(|_| is_now)
    }

    /// Does what a key asks for.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Then {
        self.news = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Then::Quit,
                KeyCode::Char('z') => Then::Suspend,
                _ => Then::Go,
            };
        }
        if self.typed.is_some() {
            self.type_key(key.code);
            return Then::Go;
        }
        if self.is_help {
            return self.help_key(key.code);
        }
        match key.code {
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Char('?' | 'h') => (self.is_help, self.scroll) = (true, 0),
            code if self.time_key(code, key.modifiers) => {}
            code if self.opened.is_some() => self.series_key(code),
            code => self.list_key(code),
        }
        Then::Go
    }

    fn help_key(&mut self, code: KeyCode) -> Then {
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(self.height),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(self.height),
            _ => (self.is_help, self.scroll) = (false, 0),
        }
        Then::Go
    }

    fn type_key(&mut self, code: KeyCode) {
        let Some(typed) = &mut self.typed else {
            return;
        };
        match code {
            KeyCode::Enter => self.filter = self.typed.take().unwrap_or_default(),
            KeyCode::Esc => self.typed = None,
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Char(character) => typed.push(character),
            _ => return,
        }
        self.matching = None;
        self.arrange();
    }

    /// Keys that move through time; false for others.
    fn time_key(&mut self, code: KeyCode, modifiers: KeyModifiers) -> bool {
        let far = modifiers.contains(KeyModifiers::SHIFT);
        match code {
            KeyCode::Char(' ' | 'p') => self.toggle_held(),
            KeyCode::Left if far => self.jump(-1),
            KeyCode::Right if far => self.jump(1),
            KeyCode::Char('<') => self.jump(-1),
            KeyCode::Char('>') => self.jump(1),
            KeyCode::Left | KeyCode::Char('[') => self.hold_at(self.at.saturating_sub(1)),
            KeyCode::Right | KeyCode::Char(']') => self.hold_at(self.at + 1),
            KeyCode::Char('b') => self.hold_at(self.tape.first()),
            KeyCode::Char('l') => self.go_to_end(),
            KeyCode::Char('+') => self.change_interval(-1),
            KeyCode::Char('-') => self.change_interval(1),
            _ => return false,
        }
        true
    }

    fn toggle_held(&mut self) {
        match (self.is_held, self.origin) {
            (true, Origin::Live) => self.go_to_end(),
            (true, Origin::Recording) if self.at + 1 == self.tape.end() => {
                self.hold_at(self.tape.first());
                self.is_held = false;
            }
            (is_held, _) => self.is_held = !is_held,
        }
    }

    fn go_to_end(&mut self) {
        self.is_held = self.origin == Origin::Recording;
        if self.tape.end() > self.tape.first() {
            self.seek(self.tape.end() - 1);
        }
    }

    fn hold_at(&mut self, at: u64) {
        self.is_held = true;
        if self.tape.end() > self.tape.first() {
            let at = at.clamp(self.tape.first(), self.tape.end() - 1);
            self.step(at);
        }
    }

    /// A minute back or on.
    fn jump(&mut self, minutes: i64) {
        let Some(now) = self.tape.time(self.at) else {
            return;
        };
        let target = now.saturating_add_signed(minutes * MINUTE_NANOS.cast_signed());
        self.hold_at(self.tape.at(target));
    }

    fn change_interval(&mut self, by: isize) {
        let now = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        let next = if by > 0 {
            INTERVALS_MS.into_iter().find(|&interval| interval > now)
        } else {
            INTERVALS_MS.into_iter().rfind(|&interval| interval < now)
        };
        if let Some(next) = next {
            self.interval = Duration::from_millis(next);
        }
    }

    fn series_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Enter => {
                (self.opened, self.split, self.scroll) = (None, None, 0);
            }
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(self.height),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(self.height),
            KeyCode::Home | KeyCode::Char('g') => self.scroll = 0,
            // Brought back to the last line when it is drawn.
            KeyCode::End | KeyCode::Char('G') => self.scroll = usize::MAX,
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Char('1'..='4') => {
                (self.opened, self.split, self.scroll) = (None, None, 0);
                self.list_key(code);
            }
            KeyCode::Char('w') => self.shows_total = !self.shows_total,
            KeyCode::Char('u') => self.is_raw = !self.is_raw,
            _ => {}
        }
    }

    fn list_key(&mut self, code: KeyCode) {
        let chosen = self.place().chosen;
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.move_to(chosen.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.move_to(chosen.saturating_sub(1)),
            KeyCode::PageDown => self.move_to(chosen.saturating_add(self.height)),
            KeyCode::PageUp => self.move_to(chosen.saturating_sub(self.height)),
            KeyCode::Home | KeyCode::Char('g') => self.move_to(0),
            KeyCode::End | KeyCode::Char('G') => self.move_to(self.count().saturating_sub(1)),
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(3),
            KeyCode::Char(digit @ '1'..='4') => {
                self.page = Page::ALL[digit as usize - '1' as usize];
            }
            KeyCode::Enter => self.open(),
            KeyCode::Char('/') => {
                (self.page, self.typed) = (Page::Series, Some(self.filter.clone()));
            }
            KeyCode::Esc => {
                self.filter.clear();
                self.matching = None;
            }
            KeyCode::Char('s') => self.order = self.order.step(1),
            KeyCode::Char('S') => self.order = self.order.step(-1),
            KeyCode::Char('r') => self.order.reversed = !self.order.reversed,
            KeyCode::Char('z') => self.hides_idle = !self.hides_idle,
            KeyCode::Char('u') => self.is_raw = !self.is_raw,
            _ => return,
        }
        self.arrange();
    }

    fn turn(&mut self, by: usize) {
        self.page = Page::ALL[(self.page as usize + by) % Page::ALL.len()];
    }

    /// Opens the chosen series, or shows the series of the chosen family.
    fn open(&mut self) {
        let Some(frame) = self.track.frame() else {
            return;
        };
        let chosen = self.place().chosen;
        match self.page {
            Page::Series => {
                let index = self.shown.get(chosen);
                let found = index.and_then(|&index| frame.directory.locate(index));
                let found = found.map(|(family, series)| (family.name.clone(), series.clone()));
                (self.opened, self.split, self.scroll) = (found, None, 0);
            }
            Page::Families => {
                let families = rows::by_cardinality(&frame.directory);
                let family = families.get(chosen);
                let family = family.and_then(|&index| frame.directory.families.get(index));
                if let Some(family) = family {
                    self.filter.clone_from(&family.name);
                    self.page = Page::Series;
                    self.matching = None;
                }
            }
            Page::Processes | Page::Health => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::tests::sample;

    fn live(count: u64) -> Model {
        let mut model = Model::new(
            Origin::Live,
            Tape::new(usize::MAX),
            Filter::default(),
            Duration::from_secs(1),
        );
        for frame in sample(count) {
            model.take(frame);
        }
        model.fit(3);
        model
    }

    fn press(model: &mut Model, keys: &str) {
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '\t' => KeyCode::Tab,
                '\u{7f}' => KeyCode::Backspace,
                '←' => KeyCode::Left,
                '→' => KeyCode::Right,
                '↓' => KeyCode::Down,
                '↑' => KeyCode::Up,
                '⇟' => KeyCode::PageDown,
                '⇞' => KeyCode::PageUp,
                '⇱' => KeyCode::Home,
                '⇲' => KeyCode::End,
                other => KeyCode::Char(other),
            };
            assert_eq!(model.key(code.into()), Then::Go, "{key}");
        }
    }

    fn seconds(model: &Model) -> u64 {
        model.track.frame().unwrap().time_unix_nanos / 1_000_000_000
    }

    #[test]
    fn it_follows_until_it_is_held() {
        let mut model = live(10);
        assert_eq!((seconds(&model), model.at), (10, 9));
        press(&mut model, " ");
        let mut late = sample(10).remove(9);
        late.health.instance = model.track.frame().unwrap().health.instance;
        late.directory = model.track.frame().unwrap().directory.clone();
        late.time_unix_nanos = 20_000_000_000;
        model.take(late);
        assert_eq!((seconds(&model), model.tape.end()), (10, 11));
        press(&mut model, " ");
        assert_eq!((seconds(&model), model.is_held), (20, false));
    }

    #[test]
    fn time_goes_back_and_on_and_shows_what_was() {
        let mut model = live(150);
        let life = *model.track.life(0).unwrap();
        press(&mut model, "←");
        assert_eq!((seconds(&model), model.is_held), (149, true));
        press(&mut model, "→");
        let again = model.track.life(0).unwrap();
        assert_eq!(seconds(&model), 150);
        assert_eq!((again.rate, again.trend), (life.rate, life.trend));
        press(&mut model, "<");
        assert_eq!(seconds(&model), 90);
        press(&mut model, "<<<");
        assert_eq!(seconds(&model), 1);
        press(&mut model, ">");
        assert_eq!(seconds(&model), 61);
        press(&mut model, "b←");
        assert_eq!(seconds(&model), 1);
        press(&mut model, "l");
        assert_eq!((seconds(&model), model.is_held), (150, false));
    }

    #[test]
    fn a_recording_plays_from_its_start_to_its_end() {
        let mut tape = Tape::new(usize::MAX);
        sample(4).iter().for_each(|frame| tape.push(frame));
        let mut model = Model::new(
            Origin::Recording,
            tape,
            Filter::default(),
            Duration::from_secs(1),
        );
        model.seek(u64::MAX);
        assert_eq!((seconds(&model), model.is_held), (4, true));
        press(&mut model, " ");
        assert_eq!((seconds(&model), model.is_held), (1, false));
        assert!(model.play() && model.play() && model.play());
        assert_eq!(seconds(&model), 4);
        assert!(!model.play());
        assert!(model.is_held);
    }

    #[test]
    fn a_filter_shows_as_it_is_typed_and_can_be_given_up() {
        let mut model = live(6);
        assert_eq!(model.shown.len(), 7);
        press(&mut model, "/requests");
        assert_eq!(model.shown.len(), 2);
        press(&mut model, " !put\n");
        assert_eq!(
            (model.shown.len(), model.filter.as_str()),
            (1, "requests !put")
        );
        press(&mut model, "/ x");
        assert_eq!(model.shown.len(), 0);
        press(&mut model, "\u{1b}");
        assert_eq!(model.shown.len(), 1);
        press(&mut model, "/\u{7f}\u{7f}\u{7f}\u{7f}\n");
        assert_eq!(model.shown.len(), 2);
        press(&mut model, "\u{1b}");
        assert_eq!(model.shown.len(), 7);
    }

    #[test]
    fn the_choice_stays_in_the_list_and_in_sight() {
        let mut model = live(6);
        press(&mut model, "↓↓↓");
        assert_eq!(model.place(), Place { chosen: 3, top: 1 });
        press(&mut model, "⇲↓");
        assert_eq!(model.place(), Place { chosen: 6, top: 4 });
        press(&mut model, "⇞");
        assert_eq!(model.place(), Place { chosen: 3, top: 3 });
        press(&mut model, "⇟");
        assert_eq!(model.place(), Place { chosen: 6, top: 4 });
        press(&mut model, "/queue\n");
        assert_eq!(model.place(), Place { chosen: 0, top: 0 });
        press(&mut model, "⇱↑");
        assert_eq!(model.place(), Place::default());
    }

    #[test]
    fn a_series_opens_and_closes() {
        let mut model = live(6);
        press(&mut model, "/request_dur\n\n");
        assert_eq!(model.opened.as_ref().unwrap().0, "request_duration_seconds");
        let index = model.opened_index().unwrap();
        assert!(model.track.window(index).is_some());
        assert!(model.wants_split().is_some());
        press(&mut model, "w↓");
        assert_eq!((model.shows_total, model.scroll), (true, 1));
        press(&mut model, "G↓⇟");
        assert_eq!(model.scroll, usize::MAX);
        press(&mut model, "2");
        assert_eq!(
            (model.opened.is_none(), model.page),
            (true, Page::Processes)
        );
        press(&mut model, "1\n");
        assert!(model.opened.is_some());
        press(&mut model, "\u{1b}");
        assert_eq!(
            (model.opened.is_none(), model.filter.as_str()),
            (true, "request_dur")
        );
    }

    #[test]
    fn a_family_leads_to_its_series() {
        let mut model = live(6);
        press(&mut model, "3\n");
        assert_eq!(
            (model.page, model.filter.as_str()),
            (Page::Series, "requests_total")
        );
        assert_eq!(model.shown.len(), 2);
    }

    #[test]
    fn pages_turn_and_the_interval_has_ends() {
        let mut model = live(2);
        press(&mut model, "\t\t");
        assert_eq!(model.page, Page::Families);
        press(&mut model, "2");
        assert_eq!(model.page, Page::Processes);
        press(&mut model, "++++++++");
        assert_eq!(model.interval, Duration::from_millis(100));
        press(&mut model, "---------");
        assert_eq!(model.interval, Duration::from_secs(10));
        press(&mut model, "?↓x");
        assert!(!model.is_help);
    }

    #[test]
    fn idle_series_hide() {
        let mut model = live(6);
        press(&mut model, "z");
        assert_eq!(model.shown.len(), 6);
        press(&mut model, "zsr");
        assert_eq!(model.order.column, rows::Column::Rate);
        assert!(model.order.reversed);
    }

    #[test]
    fn keys_end_and_suspend() {
        let mut model = live(1);
        let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
        assert_eq!(model.key(control('c')), Then::Quit);
        assert_eq!(model.key(control('z')), Then::Suspend);
        assert_eq!(model.key(KeyCode::Char('q').into()), Then::Quit);
    }
}
