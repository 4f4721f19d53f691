//! The exporter beside the supervisor: a thread of its own that serves the segment and hears signals.

use std::path::PathBuf;
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::Failure;
use super::crew::Event;
use crate::config::Config;
use crate::server::Server;

/// The server's thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Where it serves.
    pub urls: Vec<String>,
    stopped: Arc<OnceLock<()>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread needs.
struct Start {
    config: Config,
    events: Sender<Event>,
    stopped: Arc<OnceLock<()>>,
    stop: oneshot::Receiver<()>,
    up: SyncSender<Result<Vec<String>, String>>,
}

impl Serving {
    /// Serves `segment` as `config` says; a signal that asks for the end becomes [`Event::Stop`].
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub(crate) fn start(
        config: &Config,
        segment: PathBuf,
        events: Sender<Event>,
    ) -> Result<Serving, Failure> {
        let stopped = Arc::new(OnceLock::new());
        let (stop_sender, stop) = oneshot::channel();
        let (up, came_up) = sync_channel(1);
        let mut config = config.clone();
        config.segments.paths = vec![segment];
        let start = Start {
            config,
            events,
            stopped: Arc::clone(&stopped),
            stop,
            up,
        };
        let thread = thread::spawn(move || start.run());
        Ok(Serving {
            urls: came_up.recv()??,
            stopped,
            stop: Some(stop_sender),
            thread: Some(thread),
        })
    }

    /// Whether a signal has asked for the end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The thread may have ended by itself, and then has nobody to tell.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Start {
    fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        // Whoever waits for these words has gone when they cannot be sent.
        let _ = match runtime {
            Ok(runtime) => runtime.block_on(self.serve()),
            Err(error) => self
                .up
                .send(Err(format!("cannot start a runtime: {error}"))),
        };
    }

    async fn serve(self) -> Result<(), std::sync::mpsc::SendError<Result<Vec<String>, String>>> {
        let signals = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        for kind in signals {
            let mut signal = match signal(kind) {
                Ok(signal) => signal,
                Err(error) => return self.up.send(Err(format!("cannot hear signals: {error}"))),
            };
            let (events, stopped) = (self.events.clone(), Arc::clone(&self.stopped));
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    stopped.get_or_init(|| ());
                    // The supervisor has gone already when it cannot be told.
                    let _ = events.send(Event::Stop);
                }
            });
        }
        let config = self.config;
        let server = match Server::bind(move || Ok(config.clone())).await {
            Ok(server) => server,
            Err(error) => return self.up.send(Err(error.to_string())),
        };
        self.up.send(Ok(server.addresses().collect()))?;
        let stop = self.stop;
        server.run(async { stop.await.unwrap_or(()) }).await;
        Ok(())
    }
}
