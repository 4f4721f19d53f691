//! The series that a handle writes to, as far as the handle remembers it.

use crate::attached::{Attached, Resolved};
use crate::layout::{Section, series, state};
use crate::sync::{AtomicU64, Ordering};

/// The state word of a handle's series. No update looks at it.
///
/// A state is enough without its generation: a handle that nobody drops keeps its series' record from being used
/// again while the process lives.
#[derive(Clone, Copy)]
pub(crate) struct Home(&'static AtomicU64);

/// The state of what is no series.
static NOWHERE: AtomicU64 = AtomicU64::new(state::FREE);

impl Home {
    /// Of a handle whose updates go to no series.
    pub(crate) fn nowhere() -> Home {
        Home(&NOWHERE)
    }

    pub(crate) fn of(attached: &'static Attached, resolved: &Resolved) -> Home {
        let words = resolved.found.and_then(|found| {
            let segment = &attached.segment;
            segment.entry(Section::Series, found.record, series::WORDS)
        });
        words.map_or(Home::nowhere(), |words| Home(&words[series::STATE]))
    }

    pub(crate) fn is_live(self) -> bool {
        state::of(self.0.load(Ordering::Relaxed)) == state::PUBLISHED
    }
}

/// Gives handles `is_live`.
macro_rules! says_whether_it_is_live {
    ($($handle:ident),+) => {$(
        impl $handle {
            /// Whether what is recorded shows: false once the series was removed, and of a handle that was never
            /// registered or whose updates are counted as lost. Of no use for a copy out of a [`crate::Lease`] that
            /// was dropped.
            pub fn is_live(&self) -> bool {
                self.home.is_live()
            }
        }
    )+};
}
pub(crate) use says_whether_it_is_live;
