//! A shared object that records, to be loaded and closed by `plugin_host`.
#![expect(unsafe_code, reason = "its functions are called by name")]

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt as _;

use tachograph::SegmentOptions;

/// Attaches the segment at `path` and adds one to a counter, `adds` times; how often it could not.
///
/// # Safety
/// `path` is the address of a text that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn record(path: *const c_char, adds: u64, is_pinned: bool) -> u64 {
    leave_unpinned(!is_pinned);
    // SAFETY: by the caller's promise.
    let path = unsafe { CStr::from_ptr(path) };
    let options = SegmentOptions::new().path(OsStr::from_bytes(path.to_bytes()));
    let counter = options
        .attach()
        .and_then(|writer| writer.counter("plugin_total", "Adds").register());
    let Ok(counter) = counter else {
        return adds;
    };
    (0..adds).for_each(|_| counter.inc());
    0
}

#[cfg(tachograph_proof)]
fn leave_unpinned(unpinned: bool) {
    if unpinned {
        tachograph::PlantedFault::Unpinned.plant();
    }
}

#[cfg(not(tachograph_proof))]
fn leave_unpinned(_: bool) {}
