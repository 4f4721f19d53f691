//! When a connection must have got further.
//!
//! | phase | begins with | ends with | may take |
//! |---|---|---|---|
//! | `Head` | the connection, or the first byte of a later request | the end of the headers | `header_timeout` |
//! | `Busy` | the end of the headers | the last byte of the answer being taken | `response_timeout` |
//! | `Idle` | the answer being taken | the first byte of the next request | `idle_timeout` |
//!
//! The HTTP library's own header timeout starts while a kept connection is idle, so it cannot tell a slow
//! request from a patient client; hence this. The library flushes the stream only when all it had to
//! write has been taken, which is what ends an answer here.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::Limits;

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Head,
    Busy { has_written: bool },
    Idle,
}

/// The phase of a connection and its deadline. The stream, the service and the timer share it.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    limits: Limits,
    state: Arc<Mutex<(Phase, Instant)>>,
}

impl Deadline {
    pub(crate) fn new(limits: Limits) -> Deadline {
        let at = Instant::now() + limits.header_timeout;
        Deadline {
            limits,
            state: Arc::new(Mutex::new((Phase::Head, at))),
        }
    }

    pub(crate) fn at(&self) -> Instant {
        self.lock().1
    }

    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.lock().0, Phase::Busy { .. })
    }

    /// The headers of a request are complete.
    pub(crate) fn request(&self) {
        let at = Instant::now() + self.limits.response_timeout;
        *self.lock() = (Phase::Busy { has_written: false }, at);
    }

    fn received(&self) {
        let mut state = self.lock();
        if state.0 == Phase::Idle {
            *state = (Phase::Head, Instant::now() + self.limits.header_timeout);
        }
    }

    fn wrote(&self) {
        if let Phase::Busy { has_written } = &mut self.lock().0 {
            *has_written = true;
        }
    }

    fn flushed(&self) {
        let mut state = self.lock();
        if state.0 == (Phase::Busy { has_written: true }) {
            *state = (Phase::Idle, Instant::now() + self.limits.idle_timeout);
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Phase, Instant)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that tells its deadline what happens.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    deadline: Deadline,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, deadline: Deadline) -> Watched<S> {
        Watched { stream, deadline }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.deadline.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.deadline.wrote();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.deadline.wrote();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.deadline.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
