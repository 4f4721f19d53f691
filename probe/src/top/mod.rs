//! `top`: the segment, or a recording of it, on a full screen.
//!
//! Frames go one way: feed → tape → track → model → lines → terminal. Keys change the model only.

mod draw;
mod inputs;
mod model;
mod rows;
mod split;
mod track;
mod tty;
mod warnings;

use std::time::Instant;

use signal_hook::low_level::emulate_default_handler;

use tachograph::Snapshot;

use crate::failure::Failure;
use crate::follow::Follower;
use crate::frame::Eye;
use crate::terminal::Terminal;

use draw::Look;
use inputs::{Input, Inputs};
use split::Split;
use tty::Tty;

pub(crate) use model::{Model, Origin, Then};

/// Where new frames come from.
pub(crate) enum Feed {
    Live(Box<Live>),
    /// The tape has them all.
    Recording,
}

/// A segment, and what was seen of it last.
pub(crate) struct Live {
    follower: Follower,
    eye: Eye,
    last: Option<Snapshot>,
}

impl Live {
    pub(crate) fn new(follower: Follower) -> Live {
        Live {
            follower,
            eye: Eye::default(),
            last: None,
        }
    }
}

/// Why the loop ended.
enum End {
    Quit,
    Signal(i32),
}

/// Shows `model` until somebody quits. A signal that ends it ends the process, as if it had not been caught.
pub(crate) fn run(mut feed: Feed, mut model: Model, terminal: &Terminal) -> Result<(), Failure> {
    let inputs = Inputs::listen()?;
    look(&mut feed, &mut model);
    let mut tty = Tty::enter()?;
    let end = follow(&mut feed, &mut model, terminal, &inputs, &mut tty);
    drop(tty);
    if let End::Signal(signal) = end? {
        emulate_default_handler(signal)?;
    }
    Ok(())
}

fn follow(
    feed: &mut Feed,
    model: &mut Model,
    terminal: &Terminal,
    inputs: &Inputs,
    tty: &mut Tty,
) -> Result<End, Failure> {
    let mut due = Instant::now() + model.interval;
    loop {
        let shown = Look::new(terminal.clone(), model.is_raw);
        tty.draw(|width, height| draw::screen(model, &shown, width, height))?;
        let Some(input) = inputs.until(due) else {
            look(feed, model);
            due = (due + model.interval).max(Instant::now());
            continue;
        };
        for input in inputs.and_waiting(input) {
            match input {
                Input::Key(key) => match model.key(key) {
                    Then::Go => {}
                    Then::Quit => return Ok(End::Quit),
                    Then::Suspend => tty.suspend()?,
                },
                Input::Suspend => tty.suspend()?,
                Input::Continue => tty.resume()?,
                Input::Resize => tty.redraw()?,
                Input::End(signal) => return Ok(End::Signal(signal)),
                Input::Gone => return Ok(End::Quit),
            }
        }
        due = due.min(Instant::now() + model.interval);
        ask_split(feed, model);
    }
}

/// Takes the next frame, if it is there.
fn look(feed: &mut Feed, model: &mut Model) {
    match feed {
        Feed::Live(live) => {
            let (snapshot, message) = live.follower.look();
            let trouble = live
                .follower
                .trouble()
                .and_then(|trouble| trouble.lines().next());
            model.trouble = trouble.map(|trouble| format!("waiting: {trouble}"));
            if snapshot.is_some() && message.is_some() {
                model.news = message;
            }
            if let Some(snapshot) = snapshot {
                model.take(live.eye.see(&snapshot));
                live.last = Some(snapshot);
            }
            ask_split(feed, model);
        }
        Feed::Recording if !model.is_held => {
            model.play();
        }
        Feed::Recording => {}
    }
}

fn ask_split(feed: &mut Feed, model: &mut Model) {
    let Feed::Live(live) = feed else {
        return;
    };
    model.split = model.wants_split().and_then(|(name, series)| {
        let labels = split::labels(series);
        let split = live.follower.split(name, &labels)?;
        let seen = live.last.as_ref();
        let exemplars = seen.map(|seen| split::exemplars(seen, name, &labels));
        Some(Split::new(&split, exemplars.unwrap_or_default()))
    });
}
