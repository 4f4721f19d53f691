//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::config::Limits;
use crate::deadline::{Deadline, Watched};
use crate::front::Front;

/// Serves `stream` until the client is done, a limit is reached, or `stop` changes and no request is in
/// flight. `on_loopback` is whether it came over the loopback.
pub(crate) async fn serve<S>(
    stream: S,
    front: Arc<Front>,
    on_loopback: bool,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Deadline::new(limits);
    let service = service_fn(|request| {
        deadline.request();
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(&request, on_loopback).await) }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        // Who has said all and waits for the answer is no less a client.
        .half_close(true)
        .max_buf_size(limits.max_header_bytes as usize)
        .serve_connection(
            TokioIo::new(Watched::new(stream, deadline.clone())),
            service,
        );
    let mut connection = pin!(connection);
    let mut ended = pin!(async move {
        tokio::select! {
            _ = stop.wait_for(|&stop| stop) => {}
            () = tokio::time::sleep(limits.connection_timeout) => {}
        }
    });
    let mut is_ending = false;
    let mut timer = pin!(tokio::time::sleep_until(deadline.at()));
    poll_fn(|context| {
        // How it ended is the client's business; there is nobody here to tell.
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if !is_ending && ended.as_mut().poll(context).is_ready() {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
            // What the call above decided takes effect when the connection is polled.
            context.waker().wake_by_ref();
        }
        if is_ending && !deadline.is_busy() {
            return Poll::Ready(());
        }
        if timer.deadline() != deadline.at() {
            timer.as_mut().reset(deadline.at());
        }
        timer.as_mut().poll(context)
    })
    .await;
}
