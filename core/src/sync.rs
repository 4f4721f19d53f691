//! The only door to atomics: the standard ones in a build, loom's in a model.
//!
//! Type aliases, because the lint that refuses any other atomic sees through re-exports.
#![cfg_attr(
    not(all(test, loom)),
    expect(clippy::disallowed_types, reason = "this module is the door")
)]

#[cfg(all(test, loom))]
use loom::sync::atomic as imp;
#[cfg(not(all(test, loom)))]
use std::sync::atomic as imp;

pub(crate) type AtomicU64 = imp::AtomicU64;
pub(crate) type Ordering = imp::Ordering;
pub(crate) use imp::fence;

/// `Release`, unless a model weakens the place called `at` to see that it notices.
#[inline(always)]
pub(crate) fn release(at: &'static str) -> Ordering {
    #[cfg(all(test, loom))]
    if crate::models::is_weakened(at) {
        return Ordering::Relaxed;
    }
    let _ = at;
    Ordering::Release
}

/// A `Release` fence, unless a model leaves out the one called `at` to see that it notices.
#[inline(always)]
pub(crate) fn release_fence(at: &'static str) {
    #[cfg(all(test, loom))]
    if crate::models::is_weakened(at) {
        return;
    }
    let _ = at;
    fence(Ordering::Release);
}
