//! Accepts connections, within limits, until it is told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Config, ConfigError};
use crate::connection;
use crate::error::Error;
use crate::front::Front;
use crate::listen::{Listener, Stream};
use crate::log;
use crate::push;
use crate::status::Refusal;

/// How long requests in flight may take once the server stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait when connections cannot be accepted, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// More than the configuration can allow.
const CONNECTIONS_MAX: u32 = 1 << 17;

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: text/plain; charset=utf-8\r\nretry-after: 1\r\nconnection: close\r\n\
content-length: 21\r\n\r\ntoo many connections\n";

const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: text/plain; charset=utf-8\r\nconnection: close\r\n\
content-length: 23\r\n\r\nask this with https://\n";

/// The first byte of whoever begins a handshake.
const HANDSHAKE: u8 = 0x16;

/// A server that is bound and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    front: Arc<Front>,
}

/// What a listener needs, and what each connection keeps a copy of.
#[derive(Debug, Clone)]
struct Shared {
    front: Arc<Front>,
    stop: watch::Receiver<bool>,
    /// A connection has one until it ends.
    permits: Arc<Semaphore>,
}

impl Server {
    /// Binds every address of the configuration that `load` gives, now and at each reload.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration makes no sense, [`Error::Listen`] for the first address that cannot
    /// be bound.
    pub async fn bind(
        load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    ) -> Result<Server, Error> {
        let front = Arc::new(Front::new(Box::new(load))?);
        let live = front.live();
        let listeners = Listener::all(&live.config.listen).await?;
        if live.tls.is_none() && !live.logins.are_needless() {
            for listener in listeners.iter().filter(|it| it.is_open()) {
                let address = listener.address("http");
                log(&format!(
                    "passwords and tokens can be read on the way to {address}; use TLS"
                ));
            }
        }
        Ok(Server { listeners, front })
    }

    /// Where it listens, as in `http://127.0.0.1:9464/metrics` or `unix:/run/metrics.sock`.
    pub fn addresses(&self) -> impl Iterator<Item = String> + '_ {
        let scheme = match self.front.live().tls {
            Some(_) => "https",
            None => "http",
        };
        self.listeners.iter().map(move |it| it.address(scheme))
    }

    /// What answers, to be told of a new configuration.
    pub fn front(&self) -> Arc<Front> {
        Arc::clone(&self.front)
    }

    /// Serves until `stop` is done; then finishes the requests in flight, within five seconds.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let front = Arc::clone(&self.front);
        // Says at once what there is to serve, and attaches it before the first scrape.
        front.live().routes.look().await;
        front.manager.ready(&format!(
            "serves {}",
            self.addresses().collect::<Vec<_>>().join(", ")
        ));
        let (stopper, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        let shared = Shared {
            front: Arc::clone(&front),
            stop: stopped,
            permits: Arc::clone(&permits),
        };
        let accepting: Vec<_> = self
            .listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(listener, shared.clone())))
            .collect();
        let pushing = tokio::spawn(push::run(Arc::clone(&front), shared.stop));
        tokio::select! {
            () = stop => {}
            () = front.manager.watch() => {}
        }
        front.manager.stopping();
        stopper.send_replace(true);
        for task in accepting {
            // A listener that panicked has nothing left to close.
            let _ = task.await;
        }
        // A connection gives its permit back when it ends.
        let all = permits.acquire_many(CONNECTIONS_MAX);
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            log("some requests did not finish in time; their connections are closed");
        }
        // It has been at it all the while, and gives up by itself.
        let _ = pushing.await;
    }
}

async fn accept(listener: Listener, shared: Shared) {
    let mut stop = shared.stop.clone();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|&stop| stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                failing = false;
                admit(stream, &shared);
            }
            Err(error) => {
                if !failing {
                    let address = listener.address("http");
                    log(&format!(
                        "cannot accept connections on {address}: {error}; trying on"
                    ));
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(stream: Stream, shared: &Shared) {
    let live = shared.front.fresh();
    let limits = live.config.limits;
    let connections = CONNECTIONS_MAX as usize - shared.permits.available_permits();
    let permit = Arc::clone(&shared.permits).try_acquire_owned();
    let Some(permit) = permit
        .ok()
        .filter(|_| connections < limits.max_connections as usize)
    else {
        shared.front.status.refuse(Refusal::Connections);
        // Who expects TLS would not understand it.
        if live.tls.is_none() || matches!(stream, Stream::Unix(_)) {
            // Whom we cannot even refuse has gone.
            let _ = stream.refuse(TOO_MANY);
        }
        return;
    };
    let (front, stop) = (Arc::clone(&shared.front), shared.stop.clone());
    let on_loopback = stream.is_on_loopback();
    let tls = live.tls.clone().map(TlsAcceptor::from);
    tokio::spawn(async move {
        match (stream, tls) {
            (Stream::Tcp(stream), None) => {
                connection::serve(stream, front, on_loopback, limits, stop).await;
            }
            (Stream::Tcp(stream), Some(tls)) => {
                let mut stopped = stop.clone();
                let shaken = tokio::select! {
                    _ = stopped.wait_for(|&stop| stop) => None,
                    () = tokio::time::sleep(limits.header_timeout) => None,
                    shaken = shake_hands(tls, stream, &front) => shaken,
                };
                if let Some(stream) = shaken {
                    connection::serve(stream, front, on_loopback, limits, stop).await;
                }
            }
            (Stream::Unix(stream), _) => {
                connection::serve(stream, front, on_loopback, limits, stop).await;
            }
        }
        drop(permit);
    });
}

/// Makes the stream a secret one; counts and names those with whom that does not work.
async fn shake_hands(
    tls: TlsAcceptor,
    stream: TcpStream,
    front: &Front,
) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    // An end is no byte, and nothing to complain about.
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first[0] != HANDSHAKE {
        front.status.refuse(Refusal::Tls);
        // Whom we cannot even refuse has gone.
        let _ = Stream::Tcp(stream).refuse(NOT_TLS);
        return None;
    }
    match tls.accept(stream).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            front.status.refuse(Refusal::Tls);
            front.complain(format!("a client could not begin TLS: {error}"));
            None
        }
    }
}
