//! The worker processes: starting them, handing them documents, hearing from them, ending them.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Failure;
use super::protocol::{Answer, Order, Outcome};
use super::walk::Document;

/// How many workers there are.
pub(crate) const WORKERS: usize = 4;
/// How many documents a worker holds at most, the one it works on included.
const HELD_MAX: usize = 4;
/// How long workers have to finish what they hold before they are killed.
const PATIENCE: Duration = Duration::from_secs(1);
/// A worker that dies so often without having finished a document in between has no future.
const BARREN_DEATHS_MAX: u32 = 10;

/// What the supervisor waits for.
#[derive(Debug)]
pub(crate) enum Event {
    /// A worker wrote a line.
    Line {
        /// Its place in the crew.
        worker: usize,
        /// What it wrote.
        line: String,
    },
    /// A worker's output ended, all its lines are through.
    Ended {
        /// Its place in the crew.
        worker: usize,
    },
    /// A signal asks for the end.
    Stop,
}

/// How to start a worker.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The segment to record in.
    pub segment: PathBuf,
    /// Whether to rest between documents.
    pub paced: bool,
    /// Where to send what it says.
    pub events: Sender<Event>,
}

/// A document that a worker has been given and has not finished.
#[derive(Debug, Clone, Copy)]
struct Held {
    ticket: u64,
    document: usize,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    /// In the order given, which is the order in which it works.
    held: VecDeque<Held>,
    /// Whether it works on the first of them.
    begun: bool,
    barren_deaths: u32,
}

/// What a dead worker leaves.
#[derive(Debug)]
pub(crate) struct Death {
    /// Its process id.
    pub pid: u32,
    /// What killed it, in words.
    pub cause: String,
    /// The document it was working on.
    pub in_doubt: Option<usize>,
    /// Documents that it had been given and had not begun.
    pub untouched: Vec<usize>,
}

/// The workers.
#[derive(Debug)]
pub(crate) struct Crew {
    start: Start,
    workers: Vec<Worker>,
    next_ticket: u64,
}

impl Crew {
    /// Starts all workers.
    pub(crate) fn start(start: Start) -> Result<Crew, Failure> {
        let mut crew = Crew {
            start,
            workers: Vec::new(),
            next_ticket: 0,
        };
        for at in 0..WORKERS {
            let worker = spawn(&crew.start, at)?;
            crew.workers.push(worker);
        }
        Ok(crew)
    }

    /// The process ids, in order.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.workers
            .iter()
            .map(|worker| worker.child.id())
            .collect()
    }

    /// Whether no worker holds a document.
    pub(crate) fn is_idle(&self) -> bool {
        self.workers.iter().all(|worker| worker.held.is_empty())
    }

    /// The worker that holds least, if it can take one more.
    pub(crate) fn least_loaded(&self) -> Option<usize> {
        (0..self.workers.len())
            .filter(|&at| {
                self.workers[at].held.len() < HELD_MAX && self.workers[at].stdin.is_some()
            })
            .min_by_key(|&at| self.workers[at].held.len())
    }

    /// Gives a worker a document, which the supervisor calls `index`.
    pub(crate) fn give(&mut self, at: usize, index: usize, document: &Document) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let worker = &mut self.workers[at];
        worker.held.push_back(Held {
            ticket,
            document: index,
        });
        let order = Order::Work {
            ticket,
            document: document.clone(),
        };
        // A worker that cannot be written to has died: its end is on its way, and gives the document back.
        if tell(worker.stdin.as_mut(), &order).is_err() {
            worker.stdin = None;
        }
    }

    /// Takes note of what a worker said. Gives the document that it finished.
    ///
    /// # Errors
    /// When the worker says what it cannot say.
    pub(crate) fn heard(
        &mut self,
        at: usize,
        line: &str,
    ) -> Result<Option<(usize, Outcome)>, Failure> {
        let worker = &mut self.workers[at];
        let first = worker.held.front().copied();
        match (Answer::parse(line), first) {
            (Some(Answer::Begin(ticket)), Some(held)) if held.ticket == ticket && !worker.begun => {
                worker.begun = true;
                Ok(None)
            }
            (Some(Answer::Done(ticket, outcome)), Some(held))
                if held.ticket == ticket && worker.begun =>
            {
                worker.begun = false;
                worker.barren_deaths = 0;
                worker.held.pop_front();
                Ok(Some((held.document, outcome)))
            }
            _ => Err(format!("worker {} said {line:?}", worker.child.id()).into()),
        }
    }

    /// Takes note of the end of a worker.
    pub(crate) fn bury(&mut self, at: usize) -> Result<Death, Failure> {
        let worker = &mut self.workers[at];
        worker.stdin = None;
        let status = worker.child.wait()?;
        let in_doubt = if worker.begun {
            worker.held.pop_front().map(|held| held.document)
        } else {
            None
        };
        worker.begun = false;
        Ok(Death {
            pid: worker.child.id(),
            cause: cause(status),
            in_doubt,
            untouched: worker.held.drain(..).map(|held| held.document).collect(),
        })
    }

    /// Starts a worker in place of one that was buried; gives its process id.
    ///
    /// # Errors
    /// When it cannot be started, or its predecessors died too often for nothing.
    pub(crate) fn replace(&mut self, at: usize) -> Result<u32, Failure> {
        let barren_deaths = self.workers[at].barren_deaths + 1;
        if barren_deaths > BARREN_DEATHS_MAX {
            return Err(format!(
                "worker {} died {barren_deaths} times in a row without finishing a document",
                at + 1
            )
            .into());
        }
        self.workers[at] = spawn(&self.start, at)?;
        self.workers[at].barren_deaths = barren_deaths;
        Ok(self.workers[at].child.id())
    }

    /// Ends all workers: asks them, waits, kills those that do not listen.
    pub(crate) fn end(&mut self) {
        for worker in &mut self.workers {
            worker.stdin = None;
        }
        let deadline = Instant::now() + PATIENCE;
        for worker in &mut self.workers {
            while matches!(worker.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
            // Both fail for a worker that has ended, which is what is wanted.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the program's own executable as a worker, even when its file has been replaced since.
fn spawn(start: &Start, at: usize) -> Result<Worker, Failure> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("tachograph-exporter")
        .arg("--demo-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for the supervisor alone: it ends the workers in order.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start a worker: {error}"))?;
    if let Some(stdout) = child.stdout.take() {
        let events = start.events.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                if events.send(Event::Line { worker: at, line }).is_err() {
                    return;
                }
            }
            // Nobody listens any more when the supervisor is ending.
            let _ = events.send(Event::Ended { worker: at });
        });
    }
    let mut stdin = child.stdin.take();
    let attach = Order::Attach {
        name: format!("demo-worker-{}", at + 1),
        paced: start.paced,
        segment: start.segment.clone(),
    };
    // As in `give`: a worker that is dead already will be buried in its turn.
    if tell(stdin.as_mut(), &attach).is_err() {
        stdin = None;
    }
    Ok(Worker {
        child,
        stdin,
        held: VecDeque::new(),
        begun: false,
        barren_deaths: 0,
    })
}

/// Four lines fit into the pipe, however long their paths: this never waits.
fn tell(stdin: Option<&mut ChildStdin>, order: &Order) -> io::Result<()> {
    match stdin {
        Some(stdin) => stdin.write_all(order.to_string().as_bytes()),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

fn cause(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => match Signal::try_from(number) {
            Ok(signal) => format!("killed by {}", signal.as_str()),
            Err(_) => format!("killed by signal {number}"),
        },
        (None, Some(code)) => format!("ended with status {code}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_death_is_named() {
        assert_eq!(cause(ExitStatus::from_raw(9)), "killed by SIGKILL");
        assert_eq!(cause(ExitStatus::from_raw(1 << 8)), "ended with status 1");
        assert_eq!(cause(ExitStatus::from_raw(40)), "killed by signal 40");
    }
}
