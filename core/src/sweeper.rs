//! A thread that sweeps.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::Error;
use crate::expiry::Swept;
use crate::writer::Writer;

/// A thread that sweeps from time to time; dropping it ends it.
#[derive(Debug)]
pub struct Sweeper {
    /// Dropped to end the thread.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Removes the series that have been idle for as long as their families keep such
    /// ([`crate::Registration::keep_for`]), and frees the memory of removed series that no process can write to.
    ///
    /// Each registration does a little of that. A process that registers rarely calls this now and then, or starts
    /// a [`Sweeper`]. A series is idle once the same process has seen its cells unchanged for long enough: so
    /// sweeps of different processes do not add up.
    ///
    /// # Errors
    /// [`Error::NotASegment`] where the segment is damaged.
    pub fn sweep(&self) -> Result<Swept, Error> {
        let attached = self.attached();
        attached.idle.sweep(&attached.segment, attached.asker())
    }

    /// Sweeps from time to time, in a thread of its own. A forked child has no such thread.
    ///
    /// # Errors
    /// The system's, where there can be no thread.
    pub fn spawn_sweeper(&self, interval: Duration) -> io::Result<Sweeper> {
        let writer = *self;
        let (alive, ended) = mpsc::channel();
        let sweep = move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                // A damaged segment is the readers' to report.
                let _ = writer.sweep();
            }
        };
        let name = "tachograph-sweep".to_owned();
        let thread = thread::Builder::new().name(name).spawn(sweep)?;
        Ok(Sweeper {
            alive: Some(alive),
            thread: Some(thread),
        })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
