//! `top` and `replay`: the full screen.

use std::path::Path;
use std::time::Duration;

use crate::cli::{Replay, Selection, Top};
use crate::context::Context;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::follow::Follower;
use crate::frame::Eye;
use crate::source;
use crate::tape::{self, Tape};
use crate::top::{self, Feed, Model, Origin};

/// What is kept to go back to.
const HISTORY_BYTES: usize = 64 << 20;

pub(crate) fn run(arguments: Top, context: &Context) -> Result<(), Failure> {
    needs_terminal(context)?;
    if let Some(file) = &arguments.replay {
        return show(file, arguments.selection, arguments.interval, context);
    }
    let path = source::locate(context.segment.as_deref())?;
    let feed = Feed::Live(Follower::attach(path)?, Eye::default());
    let tape = Tape::new(HISTORY_BYTES);
    let model = model(Origin::Live, tape, arguments.selection, arguments.interval);
    top::run(feed, model, &context.terminal)
}

pub(crate) fn replay(arguments: Replay, context: &Context) -> Result<(), Failure> {
    needs_terminal(context)?;
    let second = Duration::from_secs(1);
    show(&arguments.file, arguments.selection, second, context)
}

fn show(
    file: &Path,
    selection: Selection,
    interval: Duration,
    context: &Context,
) -> Result<(), Failure> {
    let tape = tape::read(file).map_err(Failure::Message)?;
    let mut model = model(Origin::Recording, tape, selection, interval);
    model.seek(u64::MAX);
    top::run(Feed::Recording, model, &context.terminal)
}

fn model(origin: Origin, tape: Tape, selection: Selection, interval: Duration) -> Model {
    let filter = Filter::new(selection.glob, selection.labels);
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
