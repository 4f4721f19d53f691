//! Accepts connections, within limits, until it is told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::config::{Config, Limits};
use crate::connection;
use crate::error::Error;
use crate::listen::{Listener, Stream};
use crate::log;
use crate::routes::Routes;
use crate::source::Sources;

/// How long requests in flight may take once the server stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait when connections cannot be accepted, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: text/plain; charset=utf-8\r\nretry-after: 1\r\nconnection: close\r\n\
content-length: 21\r\n\r\ntoo many connections\n";

/// A server that is bound and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    shared: Shared,
}

/// What every listener needs.
#[derive(Debug, Clone)]
struct Shared {
    routes: Arc<Routes>,
    limits: Limits,
    permits: Arc<Semaphore>,
}

impl Server {
    /// Binds every address of `config`.
    ///
    /// # Errors
    /// [`Error::Listen`] for the first address that cannot be bound.
    pub async fn bind(config: &Config) -> Result<Server, Error> {
        let mut listeners = Vec::new();
        for address in &config.listen.addresses {
            listeners.push(Listener::bind(address).await?);
        }
        let limits = config.limits;
        let sources = Sources::new(config.segments.to_serve());
        Ok(Server {
            listeners,
            shared: Shared {
                routes: Arc::new(Routes::new(sources, config)),
                limits,
                permits: Arc::new(Semaphore::new(limits.max_connections as usize)),
            },
        })
    }

    /// Where it listens, as in `http://127.0.0.1:9464/metrics` or `unix:/run/metrics.sock`.
    pub fn addresses(&self) -> impl Iterator<Item = String> + '_ {
        self.listeners.iter().map(Listener::to_string)
    }

    /// Serves until `stop` is done; then finishes the requests in flight, within five seconds.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        // Says at once what there is to serve, and attaches it before the first scrape.
        self.shared.routes.look().await;
        let (stopper, stopped) = watch::channel(false);
        let accepting: Vec<_> = self
            .listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(listener, self.shared.clone(), stopped.clone())))
            .collect();
        stop.await;
        stopper.send_replace(true);
        for task in accepting {
            // A listener that panicked has nothing left to close.
            let _ = task.await;
        }
        // A connection gives its permit back when it ends.
        let all = self
            .shared
            .permits
            .acquire_many(self.shared.limits.max_connections);
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            log("some requests did not finish in time; their connections are closed");
        }
    }
}

async fn accept(listener: Listener, shared: Shared, mut stop: watch::Receiver<bool>) {
    let stopping = stop.clone();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|&stop| stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                failing = false;
                admit(stream, &shared, &stopping);
            }
            Err(error) => {
                if !failing {
                    log(&format!(
                        "cannot accept connections on {listener}: {error}; trying on"
                    ));
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(stream: Stream, shared: &Shared, stop: &watch::Receiver<bool>) {
    let Ok(permit) = Arc::clone(&shared.permits).try_acquire_owned() else {
        // Whom we cannot even refuse has gone.
        let _ = stream.refuse(REFUSAL);
        return;
    };
    let (routes, limits, stop) = (Arc::clone(&shared.routes), shared.limits, stop.clone());
    tokio::spawn(async move {
        match stream {
            Stream::Tcp(stream) => connection::serve(stream, routes, limits, stop).await,
            Stream::Unix(stream) => connection::serve(stream, routes, limits, stop).await,
        }
        drop(permit);
    });
}
