//! `watch`: values and rates between two snapshots, again and again.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use tachograph::Snapshot;

use super::get;
use crate::cli::Watch;
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::follow::Follower;
use crate::screen::Screen;
use crate::source;
use crate::table::{Align, Table, cut};
use crate::terminal::{Paint, Terminal, printable};
use crate::units::{self, Units};
use crate::views::{Amount, TickView, ValueView, WatchedFamily, WatchedSeries};

pub(crate) fn run(arguments: Watch, context: &Context) -> Result<(), Failure> {
    let units = context.units(arguments.selection.raw);
    let filter = Filter::new(arguments.selection.glob, arguments.selection.labels);
    let path = source::locate(context.segment.as_deref())?;
    let mut follower = Follower::attach(path)?;
    let (first, _) = follower.look();
    if let Some(trouble) = follower.trouble() {
        return Err(Failure::Message(trouble.to_owned()));
    }
    let stop = stop_signal()?;
    let mut display = Display::new(context, units)?;
    display.before_first(first.as_ref(), &filter)?;
    let mut older = first;
    let mut due = Instant::now();
    let mut left = arguments.count;
    while left != Some(0) {
        due = (due + arguments.interval).max(Instant::now());
        if is_stopped(&stop, due) {
            return Ok(());
        }
        let (newer, message) = follower.look();
        if let Some(message) = message {
            display.say(message)?;
        }
        if let Some(newer) = newer {
            display.show(&TickView::new(older.as_ref(), &newer, &filter))?;
            older = Some(newer);
        }
        left = left.map(|left| left - 1);
    }
    match follower.trouble() {
        Some(trouble) => Err(Failure::Message(trouble.to_owned())),
        None => Ok(()),
    }
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
}

impl<'a> Display<'a> {
    fn new(context: &'a Context, units: Units) -> Result<Display<'a>, Failure> {
        let redraws = context.terminal.redraws && !context.is_json();
        Ok(Display {
            context,
            terminal: context.terminal.clone(),
            units,
            screen: redraws.then(Screen::enter).transpose()?,
            shown: Vec::new(),
            messages: Vec::new(),
            is_first: true,
        })
    }

    /// A screen is not left empty for the first interval; elsewhere nothing is shown without rates.
    fn before_first(&mut self, first: Option<&Snapshot>, filter: &Filter) -> Result<(), Failure> {
        match first {
            Some(first) if self.screen.is_some() => self.show(&TickView::new(None, first, filter)),
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

    fn show(&mut self, tick: &TickView) -> Result<(), Failure> {
        if self.context.is_json() {
            return self.context.write_json_line(tick);
        }
        if self.screen.is_some() {
            self.terminal.remeasure();
            self.shown = lines(tick, self.units, &self.terminal);
            return self.draw();
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
