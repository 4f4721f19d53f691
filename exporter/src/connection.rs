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
use crate::routes::Routes;

/// Serves `stream` until the client is done, a limit is reached, or `stop` changes and no request is in
/// flight.
pub(crate) async fn serve<S>(
    stream: S,
    routes: Arc<Routes>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Deadline::new(limits);
    let service = service_fn(|request| {
        deadline.request();
        let routes = Arc::clone(&routes);
        async move { Ok::<_, Infallible>(routes.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes as usize)
        .serve_connection(
            TokioIo::new(Watched::new(stream, deadline.clone())),
            service,
        );
    let mut connection = pin!(connection);
    let mut stopped = pin!(async move { stop.wait_for(|&stop| stop).await.is_ok() });
    let mut is_stopping = false;
    let mut timer = pin!(tokio::time::sleep_until(deadline.at()));
    poll_fn(|context| {
        // How it ended is the client's business; there is nobody here to tell.
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if !is_stopping && stopped.as_mut().poll(context).is_ready() {
            is_stopping = true;
            connection.as_mut().graceful_shutdown();
            // What the call above decided takes effect when the connection is polled.
            context.waker().wake_by_ref();
        }
        if is_stopping && !deadline.is_busy() {
            return Poll::Ready(());
        }
        if timer.deadline() != deadline.at() {
            timer.as_mut().reset(deadline.at());
        }
        timer.as_mut().poll(context)
    })
    .await;
}
