//! Hands out documents, hears of their end, replaces workers that die.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Failure;
use super::account::Account;
use super::crew::{Crew, Death, Event};
use super::metrics::SupervisorMetrics;
use super::report::say;
use super::walk::Document;

/// Why a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// There is nothing left to do.
    Done,
    /// A signal came.
    Stopped,
}

/// The main loop's state.
#[derive(Debug)]
pub(crate) struct Supervisor<'a> {
    crew: Crew,
    events: Receiver<Event>,
    metrics: &'a SupervisorMetrics,
    /// Documents of this pass that nobody holds.
    queue: VecDeque<usize>,
    /// Where every document's end is noted, when the run is to be checked.
    account: Option<Account<'a>>,
}

impl<'a> Supervisor<'a> {
    /// Supervises `crew`, which speaks through `events`.
    pub(crate) fn new(
        crew: Crew,
        events: Receiver<Event>,
        metrics: &'a SupervisorMetrics,
        account: Option<Account<'a>>,
    ) -> Supervisor<'a> {
        Supervisor {
            crew,
            events,
            metrics,
            queue: VecDeque::new(),
            account,
        }
    }

    /// Has every document worked on once.
    ///
    /// # Errors
    /// When a worker cannot be replaced or says what it cannot say.
    pub(crate) fn pass(&mut self, documents: &[Document]) -> Result<End, Failure> {
        self.queue = (0..documents.len()).collect();
        loop {
            self.hand_out(documents);
            if self.queue.is_empty() && self.crew.is_idle() {
                self.metrics.passes.inc();
                return Ok(End::Done);
            }
            let event = self.events.recv()?;
            if self.handle(event, documents)? == End::Stopped {
                return Ok(End::Stopped);
            }
        }
    }

    /// Waits between two passes, and still replaces workers that die.
    ///
    /// # Errors
    /// As for [`Supervisor::pass`].
    pub(crate) fn rest(&mut self, time: Duration) -> Result<End, Failure> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    if self.handle(event, &[])? == End::Stopped {
                        return Ok(End::Stopped);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(End::Done),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the workers and gives the account.
    pub(crate) fn finish(mut self) -> Option<Account<'a>> {
        self.crew.end();
        self.account
    }

    fn hand_out(&mut self, documents: &[Document]) {
        while let Some(&index) = self.queue.front() {
            let Some(worker) = self.crew.least_loaded() else {
                break;
            };
            self.queue.pop_front();
            self.crew.give(worker, index, &documents[index]);
        }
        self.metrics
            .queue
            .set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
    }

    fn handle(&mut self, event: Event, documents: &[Document]) -> Result<End, Failure> {
        match event {
            Event::Line { worker, line } => {
                let finished = self.crew.heard(worker, &line)?;
                if let (Some((document, outcome)), Some(account)) = (finished, &mut self.account) {
                    account.done(document, outcome);
                }
            }
            Event::Ended { worker } => self.replace(worker, documents)?,
            Event::Stop => return Ok(End::Stopped),
        }
        Ok(End::Done)
    }

    fn replace(&mut self, worker: usize, documents: &[Document]) -> Result<(), Failure> {
        let death = self.crew.bury(worker)?;
        for &document in death.untouched.iter().rev() {
            self.queue.push_front(document);
        }
        if let (Some(document), Some(account)) = (death.in_doubt, &mut self.account) {
            account.in_doubt(document, death.pid);
        }
        let replaced = self.crew.replace(worker);
        self.metrics.restarts.inc();
        say(&obituary(worker, &death, documents, replaced.as_ref().ok()));
        replaced.map(|_| ())
    }
}

fn obituary(worker: usize, death: &Death, documents: &[Document], pid: Option<&u32>) -> String {
    let in_flight = match death.in_doubt.and_then(|index| documents.get(index)) {
        Some(document) => format!("in flight: {}", document.path.display()),
        None => "nothing in flight".to_owned(),
    };
    let next = match pid {
        Some(pid) => format!("restarted as pid {pid}"),
        None => "not restarted".to_owned(),
    };
    let (number, old, cause) = (worker + 1, death.pid, &death.cause);
    format!("worker {number} (pid {old}) {cause}; {in_flight}; {next}")
}
