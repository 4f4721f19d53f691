//! What waits to be sent, within a limit. The oldest goes first when there is no room.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// A request to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// As it is sent.
    pub(crate) body: Bytes,
    pub(crate) points: u64,
    /// Whether it was sent before, in vain.
    pub(crate) is_retry: bool,
}

impl Request {
    pub(crate) fn new(body: Vec<u8>, points: u64) -> Request {
        Request {
            body: body.into(),
            points,
            is_retry: false,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// Of all that wait, and of the one that is being sent.
    bytes: usize,
    limit_bytes: usize,
    dropped_points: u64,
}

impl Waiting {
    fn drop_the_oldest(&mut self) {
        while self.bytes > self.limit_bytes {
            let Some(oldest) = self.requests.pop_front() else {
                return;
            };
            self.bytes -= oldest.body.len();
            self.dropped_points += oldest.points;
        }
    }
}

impl Queue {
    pub(crate) fn set_limit(&self, bytes: usize) {
        let mut waiting = self.lock();
        waiting.limit_bytes = bytes;
        waiting.drop_the_oldest();
    }

    pub(crate) fn push(&self, request: Request) {
        let mut waiting = self.lock();
        waiting.bytes += request.body.len();
        waiting.requests.push_back(request);
        waiting.drop_the_oldest();
        self.came.notify_one();
    }

    /// The oldest, once there is one. It comes back unless it is [done](Taken::done).
    pub(crate) async fn take(&self) -> Taken<'_> {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.came.notified().await;
        }
    }

    /// The oldest, if there is one.
    pub(crate) fn try_take(&self) -> Option<Taken<'_>> {
        let request = self.lock().requests.pop_front()?;
        Some(Taken {
            queue: self,
            request: Some(request),
        })
    }

    /// Bytes in it.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Points that were dropped for want of room.
    pub(crate) fn dropped_points(&self) -> u64 {
        self.lock().dropped_points
    }

    /// Points that wait.
    pub(crate) fn points(&self) -> u64 {
        self.lock().requests.iter().map(|it| it.points).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being sent.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    queue: &'a Queue,
    request: Option<Request>,
}

impl Taken<'_> {
    pub(crate) fn request(&self) -> &Request {
        self.request.as_ref().expect("it is taken once")
    }

    /// It need not be sent again.
    pub(crate) fn done(mut self) -> u64 {
        let request = self.request.take().expect("it is taken once");
        self.queue.lock().bytes -= request.body.len();
        request.points
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(mut request) = self.request.take() {
            request.is_retry = true;
            let mut waiting = self.queue.lock();
            waiting.requests.push_front(request);
            waiting.drop_the_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &'static str) -> Request {
        Request::new(text.into(), 1)
    }

    fn rest(queue: &Queue) -> Vec<Bytes> {
        let requests = std::iter::from_fn(|| {
            let taken = queue.try_take()?;
            let body = taken.request().body.clone();
            taken.done();
            Some(body)
        });
        requests.collect()
    }

    #[test]
    fn the_oldest_goes_first() {
        let queue = Queue::default();
        queue.set_limit(10);
        for text in ["aaaa", "bbbb", "cccc"] {
            queue.push(request(text));
        }
        assert_eq!((queue.bytes(), queue.dropped_points()), (8, 1));
        assert_eq!(rest(&queue), ["bbbb", "cccc"]);
        assert_eq!((queue.bytes(), queue.points()), (0, 0));
        queue.push(request("more than there is room"));
        assert_eq!((queue.bytes(), queue.dropped_points()), (0, 2));
    }

    #[test]
    fn what_is_being_sent_counts_and_comes_back_to_the_front() {
        let queue = Queue::default();
        queue.set_limit(10);
        queue.push(request("aaaa"));
        queue.push(request("bbbb"));
        let taken = queue.try_take().unwrap();
        assert_eq!(queue.bytes(), 8);
        drop(taken);
        let taken = queue.try_take().unwrap();
        assert_eq!(taken.request().body, "aaaa");
        assert!(taken.request().is_retry);
        // While it is away, others go in its place; when it comes back, it is the oldest.
        queue.push(request("cc"));
        queue.push(request("dd"));
        assert_eq!((queue.bytes(), queue.dropped_points()), (8, 1));
        queue.push(request("ee"));
        drop(taken);
        assert_eq!(rest(&queue), ["aaaa", "cc", "dd", "ee"]);
    }

    #[test]
    fn a_smaller_limit_holds_at_once() {
        let queue = Queue::default();
        queue.set_limit(10);
        queue.push(request("aaaa"));
        queue.push(request("bbbb"));
        queue.set_limit(5);
        assert_eq!(rest(&queue), ["bbbb"]);
        assert_eq!(queue.dropped_points(), 1);
    }
}
