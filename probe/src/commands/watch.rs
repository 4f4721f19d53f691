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
use crate::views::{Amount, TickView, ValueView, WatchedSeries};

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
            display.say(message);
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
fn stop_signal() -> Result<Receiver<()>, Failure> {
    let (sender, receiver) = mpsc::channel();
    let stop = move || {
        // The receiver is gone only when the command is ending anyway.
        let _ = sender.send(());
    };
    ctrlc::set_handler(stop)
        .map_err(|error| Failure::Message(format!("cannot handle signals: {error}")))?;
    Ok(receiver)
}

fn is_stopped(stop: &Receiver<()>, due: Instant) -> bool {
    let wait = due.saturating_duration_since(Instant::now());
    stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
}

/// Where ticks go: JSON lines, blocks of text, or a screen that is drawn over.
struct Display<'a> {
    context: &'a Context,
    terminal: Terminal,
    units: Units,
    screen: Option<Screen>,
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

    fn say(&mut self, message: String) {
        if self.screen.is_some() {
            self.messages.push(message);
        } else {
            self.context.say(&message);
        }
    }

    fn show(&mut self, tick: &TickView) -> Result<(), Failure> {
        if self.context.is_json() {
            return self.context.write_json_line(tick);
        }
        let Some(screen) = &mut self.screen else {
            let gap = if self.is_first { "" } else { "\n" };
            self.is_first = false;
            let text = lines(tick, self.units, &self.terminal).join("\n");
            return self.context.write(|out| writeln!(out, "{gap}{text}"));
        };
        self.terminal.remeasure();
        let mut lines = lines(tick, self.units, &self.terminal);
        if let Some(message) = self.messages.last() {
            let message = cut(message, self.terminal.width, &self.terminal);
            lines.insert(1, self.terminal.paint(Paint::Warning, &message));
        }
        Ok(screen.draw(lines, &self.terminal)?)
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

/// A line with the time, then a table.
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
    let table = table(tick, units);
    if table.is_empty() {
        lines.push("no series to show yet".into());
    } else {
        lines.extend(table.lines(terminal));
    }
    lines
}

fn table(tick: &TickView, units: Units) -> Table {
    let series = || {
        let families = tick.families.iter();
        families.flat_map(|family| family.series.iter().map(move |series| (family, series)))
    };
    let has_histograms =
        series().any(|(_, watched)| matches!(watched.series.value, ValueView::Watched(_)));
    let columns = [
        ("VALUE", Align::Right),
        ("RATE", Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("SERIES", Align::Left),
    ];
    let is_shown = |index: usize| has_histograms || !(2..4).contains(&index);
    let shown: Vec<_> = columns
        .into_iter()
        .enumerate()
        .filter_map(|(index, column)| is_shown(index).then_some(column))
        .collect();
    let mut table = Table::new(&shown).cut_last();
    for (family, watched) in series() {
        for row in rows(&family.name, family.kind, &family.unit, watched, units) {
            let row = row.into_iter().enumerate();
            table.row(row.filter_map(|(index, cell)| is_shown(index).then(|| cell.into())));
        }
    }
    table
}

/// Value, rate, p50, p99 and name for each line of a series.
fn rows(
    family: &str,
    kind: &str,
    unit: &str,
    watched: &WatchedSeries,
    units: Units,
) -> Vec<[String; 5]> {
    let rate = |unit| match watched.rate {
        Some(rate) => units.rate(rate.as_f64(), unit),
        None if kind == "counter" || kind == "histogram" => "-".into(),
        None => String::new(),
    };
    if let ValueView::Watched(histogram) = &watched.series.value {
        let show = |amount: Option<Amount>| match amount {
            Some(amount) => units.float(amount.as_f64(), unit),
            None => "-".into(),
        };
        let window = histogram.window;
        return vec![[
            histogram.count.to_string(),
            rate(""),
            show(window.and_then(|window| window.p50)),
            show(window.and_then(|window| window.p99)),
            watched.series.labels.series_name(family, &[]),
        ]];
    }
    get::scalars(family, unit, &watched.series, units)
        .into_iter()
        .map(|(value, name)| [value, rate(unit), String::new(), String::new(), name])
        .collect()
}
