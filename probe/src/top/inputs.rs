//! Keys and signals, in one queue.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// What a person or the system wants.
#[derive(Debug)]
pub(super) enum Input {
    Key(KeyEvent),
    Resize,
    Suspend,
    Continue,
    /// A signal that ends the program.
    End(i32),
    /// The terminal cannot be read any more.
    Gone,
}

pub(super) struct Inputs(Receiver<Input>);

impl Inputs {
    /// Starts to listen. The threads end with the process: nothing else wakes one that waits for a key.
    pub(super) fn listen() -> Result<Inputs, Failure> {
        let (sender, receiver) = mpsc::channel();
        let signals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT];
        let signals = Signals::new(signals)
            .map_err(|error| Failure::Message(format!("cannot handle signals: {error}")))?;
        let to_signals = sender.clone();
        thread::spawn(move || forward_signals(signals, &to_signals));
        thread::spawn(move || forward_keys(&sender));
        Ok(Inputs(receiver))
    }

    /// The next input before `due`.
    pub(super) fn until(&self, due: Instant) -> Option<Input> {
        let wait = due.saturating_duration_since(Instant::now());
        self.0.recv_timeout(wait).ok()
    }

    /// `first` and whatever waits behind it: a slow terminal is not drawn for each.
    pub(super) fn and_waiting(&self, first: Input) -> impl Iterator<Item = Input> + '_ {
        std::iter::once(first).chain(self.0.try_iter())
    }
}

fn forward_signals(mut signals: Signals, to: &Sender<Input>) {
    for signal in signals.forever() {
        let input = match signal {
            SIGTSTP => Input::Suspend,
            SIGCONT => Input::Continue,
            signal => Input::End(signal),
        };
        if to.send(input).is_err() {
            return;
        }
    }
}

fn forward_keys(to: &Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Input::Key(key),
            Ok(Event::Resize(..)) => Input::Resize,
            Ok(_) => continue,
            Err(_) => Input::Gone,
        };
        let is_last = matches!(input, Input::Gone);
        if to.send(input).is_err() || is_last {
            return;
        }
    }
}
