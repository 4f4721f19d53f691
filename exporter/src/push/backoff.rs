//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// Longer than that, no receiver is believed.
const ASKED_MAX: Duration = Duration::from_secs(3600);

/// Twice as long with each failure, by chance up to half of it shorter.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The time to wait after one more failure, at least the time that the receiver `asked` for.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let longest = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures += 1;
        let pause = longest.mul_f64(1.0 - fastrand::f64() / 2.0);
        pause.max(asked.unwrap_or_default().min(ASKED_MAX))
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_limit_and_begins_anew() {
        let mut backoff = Backoff::default();
        for longest in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let longest = Duration::from_millis(longest);
            let pause = backoff.next(None);
            assert!(longest / 2 <= pause && pause <= longest, "{pause:?}");
        }
        backoff.failures = u32::MAX - 1;
        assert!(backoff.next(None) <= LONGEST);
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
    }

    #[test]
    fn what_the_receiver_asks_for_is_the_least() {
        let mut backoff = Backoff::default();
        let asked = Duration::from_secs(120);
        assert_eq!(backoff.next(Some(asked)), asked);
        assert!(backoff.next(Some(Duration::ZERO)) >= FIRST / 2);
        assert_eq!(backoff.next(Some(Duration::MAX)), ASKED_MAX);
    }
}
