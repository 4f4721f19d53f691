//! `watch`: values and rates between two snapshots, again and again.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use tachograph::Snapshot;

use super::get;
use crate::cli::Watch;
use crate::clock;
use crate::condition::Condition;
use crate::context::Context;
use crate::csv;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::follow::Follower;
use crate::screen::Screen;
use crate::table::{Align, Table, cut};
use crate::terminal::{Paint, Terminal, printable};
use crate::units::{self, Units};
use crate::views::{Amount, TickView, ValueView, WatchedFamily, WatchedSeries};

pub(crate) fn run(arguments: &Watch, context: &Context) -> Result<(), Failure> {
    let filter = filter(arguments);
    let mut follower = Follower::attach(context)?;
    let (first, _) = follower.look();
    if let Some(trouble) = follower.trouble() {
        return Err(Failure::Message(trouble.to_owned()));
    }
    let mut display = Display::new(context, arguments, follower.is_live())?;
    let recorded = follower.earlier(arguments.interval);
    display.before_first(recorded.as_ref(), first.as_ref(), &filter)?;
    if is_met(&arguments.until, recorded.as_ref(), first.as_ref()) {
        return Ok(());
    }
    if !follower.is_live() {
        return unmet(arguments, first.as_ref());
    }
    let stop = stop_signal()?;
    let begun = Instant::now();
    let end = arguments.timeout.map(|timeout| begun + timeout);
    let mut older = first;
    let mut due = begun;
    let mut left = arguments.count;
    while left != Some(0) && end.is_none_or(|end| Instant::now() < end) {
        // A look that came late does not make the next window so short that its rates say nothing.
        due = (due + arguments.interval).max(Instant::now() + arguments.interval / 2);
        due = end.map_or(due, |end| end.min(due));
        if is_stopped(&stop, due) {
            return unmet(arguments, older.as_ref());
        }
        let (newer, message) = follower.look();
        if let Some(message) = message {
            display.say(message)?;
        }
        if let Some(newer) = newer {
            display.show(older.as_ref(), &newer, &filter)?;
            if is_met(&arguments.until, older.as_ref(), Some(&newer)) {
                return Ok(());
            }
            older = Some(newer);
        }
        left = left.map(|left| left - 1);
    }
    match follower.trouble() {
        Some(trouble) => Err(Failure::Message(trouble.to_owned())),
        None => unmet(arguments, older.as_ref()),
    }
}

/// What is shown: what was asked for, else what is waited for.
fn filter(arguments: &Watch) -> Filter {
    let selection = &arguments.selection;
    let mut selectors = selection.selectors.clone();
    if selectors.is_empty() && selection.labels.is_empty() {
        let waited = arguments.until.iter().filter_map(Condition::selector);
        selectors.extend(waited.cloned());
    }
    Filter::new(selectors, selection.labels.clone())
}

/// Whether all that is waited for holds.
fn is_met(until: &[Condition], older: Option<&Snapshot>, newer: Option<&Snapshot>) -> bool {
    let Some(newer) = newer else {
        return false;
    };
    !until.is_empty() && until.iter().all(|condition| condition.holds(older, newer))
}

/// The end without what was waited for, if anything was.
fn unmet(arguments: &Watch, last: Option<&Snapshot>) -> Result<(), Failure> {
    let holds = |condition: &&Condition| last.is_some_and(|last| condition.holds(None, last));
    let not_held = arguments.until.iter().find(|condition| !holds(condition));
    let Some(condition) = not_held.or(arguments.until.first()) else {
        return Ok(());
    };
    let measured = last.and_then(|last| condition.measure(None, last));
    let measured = measured.map(|measured| format!("; it is {}", units::digits(measured, 6)));
    Err(Failure::Unmet(format!(
        "not met: {}{}",
        condition.text(),
        measured.unwrap_or_default()
    )))
}

/// Gets a message at Ctrl-C, and when the process is told to end.
pub(super) fn stop_signal() -> Result<Receiver<()>, Failure> {
    let (sender, receiver) = mpsc::channel();
    let stop = move || {
        // The receiver is gone only when the command is ending anyway.
        let _ = sender.send(());
    };
    ctrlc::set_handler(stop)
        .map_err(|error| Failure::Message(format!("cannot handle signals: {error}")))?;
    Ok(receiver)
}

pub(super) fn is_stopped(stop: &Receiver<()>, due: Instant) -> bool {
    let wait = due.saturating_duration_since(Instant::now());
    stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
}

/// Where ticks go: JSON lines, blocks of text, or a screen that is drawn over.
struct Display<'a> {
    context: &'a Context,
    terminal: Terminal,
    units: Units,
    screen: Option<Screen>,
    /// What was shown last on the screen.
    shown: Vec<String>,
    /// What the screen hid, to be told when it is gone.
    messages: Vec<String>,
    is_first: bool,
    is_quiet: bool,
    is_live: bool,
    changes: bool,
}

impl<'a> Display<'a> {
    fn new(context: &'a Context, arguments: &Watch, is_live: bool) -> Result<Display<'a>, Failure> {
        let is_text = !context.is_json() && !context.is_csv();
        let redraws = is_live && is_text && context.terminal.redraws && !arguments.quiet;
        Ok(Display {
            context,
            terminal: context.terminal.clone(),
            units: context.units(arguments.selection.raw),
            screen: redraws.then(Screen::enter).transpose()?,
            shown: Vec::new(),
            messages: Vec::new(),
            is_first: true,
            is_quiet: arguments.quiet,
            is_live,
            changes: arguments.changes,
        })
    }

    /// A screen is not left empty for the first interval, and a dump or a recording has no other; elsewhere nothing is
    /// shown without rates.
    fn before_first(
        &mut self,
        recorded: Option<&Snapshot>,
        first: Option<&Snapshot>,
        filter: &Filter,
    ) -> Result<(), Failure> {
        match first {
            Some(first) if self.screen.is_some() || !self.is_live => {
                self.show(recorded, first, filter)
            }
            _ => Ok(()),
        }
    }

    /// Tells that the segment went or came. A screen shows it at once, for its values are old now.
    fn say(&mut self, message: String) -> Result<(), Failure> {
        if self.screen.is_none() {
            self.context.say(&message);
            return Ok(());
        }
        let time = clock::utc(clock::now_unix_nanos());
        self.messages.push(format!("{time}  {message}"));
        self.draw()
    }

    fn show(
        &mut self,
        older: Option<&Snapshot>,
        newer: &Snapshot,
        filter: &Filter,
    ) -> Result<(), Failure> {
        if self.is_quiet {
            return Ok(());
        }
        let tick = &match older {
            Some(older) if self.changes => TickView::changes(older, newer, filter),
            older => TickView::new(older, newer, filter),
        };
        if self.context.is_json() {
            return self.context.write_json_line(tick);
        }
        if self.context.is_csv() {
            let with_header = std::mem::take(&mut self.is_first);
            return self.context.write(|out| write_csv(tick, with_header, out));
        }
        if self.screen.is_some() {
            self.terminal.remeasure();
            self.shown = lines(tick, self.units, &self.terminal);
            return self.draw();
        }
        if self.changes && tick.families.is_empty() {
            return Ok(());
        }
        let gap = if self.is_first { "" } else { "\n" };
        self.is_first = false;
        let text = lines(tick, self.units, &self.terminal).join("\n");
        self.context.write(|out| writeln!(out, "{gap}{text}"))
    }

    /// Draws what was shown last, under the last message.
    fn draw(&mut self) -> Result<(), Failure> {
        let Some(screen) = &mut self.screen else {
            return Ok(());
        };
        let message = self.messages.last().map(|message| {
            let message = cut(&printable(message), self.terminal.width, &self.terminal);
            self.terminal.paint(Paint::Warning, &message)
        });
        let lines = message.into_iter().chain(self.shown.iter().cloned());
        Ok(screen.draw(lines.collect(), &self.terminal)?)
    }
}

impl Drop for Display<'_> {
    fn drop(&mut self) {
        self.screen = None;
        for message in &self.messages {
            self.context.say(message);
        }
    }
}

/// A row for each number; the header once.
fn write_csv(tick: &TickView, with_header: bool, out: &mut dyn Write) -> io::Result<()> {
    if with_header {
        let header = "time_unix_nanos,seconds,family,type,unit,labels,field,value";
        writeln!(out, "{header}")?;
    }
    let time = tick.time_unix_nanos.to_string();
    let seconds = tick
        .seconds
        .map_or_else(String::new, |seconds| seconds.to_string());
    for (family, series) in all_series(tick) {
        let labels = series.series.labels.inner();
        for (field, value) in numbers(series) {
            let value = value.map_or_else(String::new, units::plain);
            let facts = [&family.name, family.kind, &family.unit];
            let row = [time.as_str(), &seconds].into_iter().chain(facts);
            csv::row(out, row.chain([&*labels, &*field, &*value]))?;
        }
    }
    Ok(())
}

/// The numbers of a series, by field.
fn numbers(series: &WatchedSeries) -> Vec<(String, Option<Amount>)> {
    let mut numbers: Vec<(String, Option<Amount>)> = match &series.series.value {
        ValueView::Value(value) => vec![("value".into(), *value)],
        ValueView::Each(values) => values
            .iter()
            .map(|each| (format!("slot:{}", each.slot), Some(each.value)))
            .collect(),
        ValueView::States(states) => {
            let states = states.0.iter();
            let one = |holds: bool| Some(Amount::Unsigned(holds.into()));
            states
                .map(|(state, holds)| (state.clone(), one(*holds)))
                .collect()
        }
        ValueView::Watched(histogram) => {
            let window = histogram.window;
            vec![
                (
                    "count".into(),
                    Some(Amount::Unsigned(histogram.count.into())),
                ),
                ("mean".into(), window.and_then(|window| window.mean)),
                ("p50".into(), window.and_then(|window| window.p50)),
                ("p99".into(), window.and_then(|window| window.p99)),
            ]
        }
        ValueView::Histogram(_) => Vec::new(),
    };
    if series.rate.is_some() {
        numbers.push(("rate".into(), series.rate));
    }
    numbers
}

/// A line with the time, then the tables.
fn lines(tick: &TickView, units: Units, terminal: &Terminal) -> Vec<String> {
    let window = match tick.seconds {
        Some(seconds) => format!("{} s", units::digits(seconds, 3)),
        None => "first look".into(),
    };
    let title = format!(
        "{}  {window}  {}",
        clock::utc(tick.time_unix_nanos),
        printable(&tick.segment.path)
    );
    let title = match terminal.cut_at {
        Some(width) => cut(&title, width, terminal),
        None => title,
    };
    let mut lines = vec![terminal.paint(Paint::Dim, &title)];
    let tables = [scalar_table(tick, units), histogram_table(tick, units)];
    let mut is_empty = true;
    for table in tables.iter().filter(|table| !table.is_empty()) {
        lines.extend(table.lines(terminal));
        is_empty = false;
    }
    if is_empty {
        lines.push("no series to show yet".into());
    }
    lines
}

fn all_series(tick: &TickView) -> impl Iterator<Item = (&WatchedFamily, &WatchedSeries)> {
    let families = tick.families.iter();
    families.flat_map(|family| family.series.iter().map(move |series| (family, series)))
}

/// Everything that is not a histogram; rates of counters only.
fn scalar_table(tick: &TickView, units: Units) -> Table {
    let mut table = Table::new(&[
        ("VALUE", Align::Right),
        ("RATE", Align::Right),
        ("SERIES", Align::Left),
    ])
    .cut_last();
    for (family, watched) in all_series(tick) {
        let rate = match watched.rate {
            Some(rate) => units.rate(rate.as_f64(), &family.unit),
            None if family.kind == "counter" => "-".into(),
            None => String::new(),
        };
        for (value, name) in get::scalars(&family.name, &family.unit, &watched.series, units) {
            table.row([value.into(), rate.as_str().into(), name.into()]);
        }
    }
    table
}

/// The histograms, with percentiles of the values of the window.
fn histogram_table(tick: &TickView, units: Units) -> Table {
    let mut table = Table::new(&[
        ("COUNT", Align::Right),
        ("RATE", Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("SERIES", Align::Left),
    ])
    .cut_last();
    for (family, watched) in all_series(tick) {
        let ValueView::Watched(histogram) = &watched.series.value else {
            continue;
        };
        let show = |amount: Option<Amount>| match amount {
            Some(amount) => units.float(amount.as_f64(), &family.unit),
            None => "-".into(),
        };
        let rate = watched.rate.map(|rate| units.rate(rate.as_f64(), ""));
        table.row([
            histogram.count.to_string().into(),
            rate.unwrap_or_else(|| "-".into()).into(),
            show(histogram.window.and_then(|window| window.p50)).into(),
            show(histogram.window.and_then(|window| window.p99)).into(),
            watched.series.labels.series_name(&family.name, &[]).into(),
        ]);
    }
    table
}
