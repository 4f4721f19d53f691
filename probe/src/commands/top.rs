//! `top` and `replay`: the full screen.

use std::time::Duration;

use tachograph::Snapshot;

use crate::cli::{Replay, Selection, Top};
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::follow::Follower;
use crate::frame::Eye;
use crate::source;
use crate::tape::{self, Tape};
use crate::top::{self, Feed, Live, Model, Origin};

/// What is kept to go back to.
const HISTORY_BYTES: usize = 64 << 20;

pub(crate) fn run(arguments: Top, context: &Context) -> Result<(), Failure> {
    needs_terminal(context)?;
    if let Some(file) = &arguments.replay {
        let tape = tape::read(file).map_err(Failure::Message)?;
        return show(tape, arguments.selection, arguments.interval, context);
    }
    let path = source::locate(context.segment.as_deref())?;
    let mut follower = Follower::attach(path)?;
    let tape = Tape::new(HISTORY_BYTES);
    if !follower.is_live() {
        let (dumped, _) = follower.look();
        return show(
            dump(dumped, tape),
            arguments.selection,
            arguments.interval,
            context,
        );
    }
    let model = model(Origin::Live, tape, arguments.selection, arguments.interval);
    let feed = Feed::Live(Box::new(Live::new(follower)));
    top::run(feed, model, &context.terminal)
}

/// A dump as a recording of one look.
fn dump(dumped: Option<Snapshot>, mut tape: Tape) -> Tape {
    if let Some(snapshot) = dumped {
        tape.push(&Eye::default().see(&snapshot));
    }
    tape
}

pub(crate) fn replay(arguments: Replay, context: &Context) -> Result<(), Failure> {
    needs_terminal(context)?;
    let second = Duration::from_secs(1);
    let tape = tape::read(&arguments.file).map_err(Failure::Message)?;
    show(tape, arguments.selection, second, context)
}

fn show(
    tape: Tape,
    selection: Selection,
    interval: Duration,
    context: &Context,
) -> Result<(), Failure> {
    let mut model = model(Origin::Recording, tape, selection, interval);
    model.seek(u64::MAX);
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
