//! `top` and `replay`: the full screen.

use std::path::Path;
use std::time::Duration;

use tachograph::Snapshot;

use crate::cli::{Replay, Selection, Top};
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::follow::Follower;
use crate::frame::Eye;
use crate::source::{Look, Source};
use crate::tape::{self, Tape};
use crate::top::{self, Feed, Live, Model, Origin};

/// What is kept to go back to.
const HISTORY_BYTES: usize = 64 << 20;

pub(crate) fn run(arguments: Top, context: &Context) -> Result<(), Failure> {
    needs_terminal(context)?;
    if let Some(file) = &arguments.replay {
        return play(file, arguments.selection, arguments.interval, context);
    }
    let (selection, interval) = (arguments.selection, arguments.interval);
    let tape = Tape::new(HISTORY_BYTES);
    match context.source()? {
        Source::Recording(look) => {
            let (tape, at) = look.into_tape();
            return show(tape, at, selection, interval, context);
        }
        Source::Dump(snapshot) => {
            return show(dump(&snapshot, tape), 0, selection, interval, context);
        }
        Source::Segment(_) => {}
    }
    let follower = Follower::attach(context)?;
    let model = model(Origin::Live, tape, selection, interval);
    let feed = Feed::Live(Box::new(Live::new(follower)));
    top::run(feed, model, &context.terminal)
}

/// A dump as a recording of one look.
fn dump(snapshot: &Snapshot, mut tape: Tape) -> Tape {
    tape.push(&Eye::default().see(snapshot));
    tape
}

pub(crate) fn replay(arguments: Replay, context: &Context) -> Result<(), Failure> {
    needs_terminal(context)?;
    let second = Duration::from_secs(1);
    play(&arguments.file, arguments.selection, second, context)
}

fn play(
    file: &Path,
    selection: Selection,
    interval: Duration,
    context: &Context,
) -> Result<(), Failure> {
    let tape = tape::read(file).map_err(Failure::Message)?;
    let look = Look::last(tape).back(context.back.unwrap_or_default())?;
    let (tape, at) = look.into_tape();
    show(tape, at, selection, interval, context)
}

fn show(
    tape: Tape,
    at: u64,
    selection: Selection,
    interval: Duration,
    context: &Context,
) -> Result<(), Failure> {
    let mut model = model(Origin::Recording, tape, selection, interval);
    model.seek(at);
    top::run(Feed::Recording, model, &context.terminal)
}

fn model(origin: Origin, tape: Tape, selection: Selection, interval: Duration) -> Model {
    let filter = Filter::new(selection.selectors, selection.labels);
    let mut model = Model::new(origin, tape, filter, interval);
    model.is_raw = selection.raw;
    model
}

fn needs_terminal(context: &Context) -> Result<(), Failure> {
    if context.terminal.redraws {
        return Ok(());
    }
    let reason = "a full screen needs a terminal; `watch` and `get` write anywhere";
    Err(Failure::Message(reason.into()))
}
