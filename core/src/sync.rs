//! The only door to atomics: the standard ones in a build, watched ones in a model.
//!
//! What a protocol rests on has a name here, so that a model can take it away and see that it was needed:
//! an ordering, a fence, an update in one step, a check, an act, an order of two. In a build each of these
//! is exactly the plain thing.
//!
//! Type aliases, because the lint that refuses any other atomic sees through re-exports.
#![cfg_attr(
    not(all(test, loom)),
    expect(clippy::disallowed_types, reason = "this module is the door")
)]

#[cfg(all(test, loom))]
use crate::models::{atomic as imp, is_weakened};
#[cfg(not(all(test, loom)))]
use std::sync::atomic as imp;

pub(crate) type AtomicU64 = imp::AtomicU64;
pub(crate) type Ordering = std::sync::atomic::Ordering;
use imp::fence;

/// Whether a model weakens the place called `at`.
#[cfg(not(all(test, loom)))]
#[inline(always)]
const fn is_weakened(_at: &'static str) -> bool {
    false
}

/// `Release`; relaxed where weakened.
#[inline(always)]
pub(crate) fn release(at: &'static str) -> Ordering {
    if is_weakened(at) {
        Ordering::Relaxed
    } else {
        Ordering::Release
    }
}

/// `Acquire`; relaxed where weakened.
#[inline(always)]
pub(crate) fn acquire(at: &'static str) -> Ordering {
    if is_weakened(at) {
        Ordering::Relaxed
    } else {
        Ordering::Acquire
    }
}

/// A `Release` fence; none where weakened.
#[inline(always)]
pub(crate) fn release_fence(at: &'static str) {
    if !is_weakened(at) {
        fence(Ordering::Release);
    }
}

/// An `Acquire` fence; none where weakened.
#[inline(always)]
pub(crate) fn acquire_fence(at: &'static str) {
    if !is_weakened(at) {
        fence(Ordering::Acquire);
    }
}

/// A fence that all threads see in one order: of two that store, fence and load what the other stored, one sees
/// the other's store. None where weakened.
#[inline(always)]
pub(crate) fn full_fence(at: &'static str) {
    if !is_weakened(at) {
        fence(Ordering::SeqCst);
    }
}

/// Lets another thread run.
pub(crate) fn give_way() {
    #[cfg(all(test, loom))]
    loom::thread::yield_now();
    #[cfg(not(all(test, loom)))]
    std::thread::yield_now();
}

/// Adds to a number that is only shown.
#[inline(always)]
pub(crate) fn tally(word: &AtomicU64, n: u64) {
    word.fetch_add(n, Ordering::Relaxed);
}

/// The word, whose reading and writing updates are one step; two where weakened.
#[cfg(not(all(test, loom)))]
#[inline(always)]
pub(crate) fn one_step<'a>(_at: &'static str, word: &'a AtomicU64) -> &'a AtomicU64 {
    word
}

#[cfg(all(test, loom))]
pub(crate) use imp::one_step;

/// A check that lets its caller go on; always passed where weakened.
#[inline(always)]
pub(crate) fn check(at: &'static str, passes: bool) -> bool {
    passes || is_weakened(at)
}

/// Whether an act is done: always, but where weakened.
#[inline(always)]
pub(crate) fn does(at: &'static str) -> bool {
    !is_weakened(at)
}

/// Two in the order that they must have; in the other where weakened.
#[inline(always)]
pub(crate) fn in_order<T>(at: &'static str, first: T, second: T) -> (T, T) {
    if is_weakened(at) {
        (second, first)
    } else {
        (first, second)
    }
}
