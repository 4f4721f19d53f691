//! How many requests are answered.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::config::RateLimit;

/// A bucket of so many tokens that one drips into, now and then; each request takes one.
///
/// Kept as the moment at which the bucket is full again, so nothing has to drip while nobody asks.
#[derive(Debug)]
pub(crate) struct Bucket {
    limit: RateLimit,
    full_at: Mutex<Instant>,
}

impl Bucket {
    pub(crate) fn new(limit: RateLimit) -> Bucket {
        Bucket {
            limit,
            full_at: Mutex::new(Instant::now()),
        }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now) + self.limit.interval;
        let fits = next.duration_since(now) <= self.limit.interval * self.limit.burst;
        if fits {
            *full_at = next;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_one_in_each_interval() {
        let interval = Duration::from_secs(1);
        let bucket = Bucket::new(RateLimit { interval, burst: 3 });
        let start = Instant::now();
        let taken: Vec<bool> = (0..4).map(|_| bucket.take(start)).collect();
        assert_eq!(taken, [true, true, true, false]);
        assert!(bucket.take(start + interval));
        assert!(!bucket.take(start + interval));
        let later = start + interval * 100;
        assert_eq!((0..9).filter(|_| bucket.take(later)).count(), 3);
    }
}
