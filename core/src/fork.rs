//! Following forks: the child gets a description of the segment's file, a slot and cells of its own.
//!
//! Without it the child would keep the parent's lock alive for ever and write to the parent's gauges.
//! The handler runs in the child before `fork` returns, when the child has one thread. It takes no lock of
//! the process, because the thread that held it in the parent does not exist here.
//!
//! Unsafe code here rests on one invariant: **F1** the handler calls only functions that are safe in a
//! child of a program with many threads (system calls, atomics, and the C library's allocator, which the C
//! library itself makes ready for the child).
#![expect(unsafe_code, reason = "pthread_atfork and dup3 have no safe wrapper")]

use std::ffi::CStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::attached::{Attached, List};

/// Every segment that this process writes to.
static ATTACHED: List = List::new();

/// Keeps a segment for the rest of the process, and follows it through forks.
pub(crate) fn keep(attached: Attached, is_same: impl Fn(&Attached) -> bool) -> &'static Attached {
    follow_forks();
    ATTACHED.add(attached, is_same)
}

/// The segment that is kept already and `is_same` finds.
pub(crate) fn find(is_same: impl Fn(&Attached) -> bool) -> Option<&'static Attached> {
    ATTACHED.iter().find(|attached| is_same(attached))
}

fn follow_forks() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // SAFETY: F1: `in_child` is such a handler, and lives as long as the program.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

extern "C" fn in_child() {
    for attached in ATTACHED.iter() {
        let Some(file) = attached.segment.file() else {
            continue;
        };
        let cells = attached.cells_committed();
        // Where the description cannot be replaced, the lock stays shared: the child takes the sink's place.
        if reopen(file).is_some() {
            attached.claim_slot(cells);
        } else {
            attached.give_up_slot();
        }
    }
}

/// Puts a description of its own behind the file's descriptor, and so lets go of the parent's lock.
fn reopen(file: &File) -> Option<()> {
    let mut path = [0u8; 32];
    write!(&mut path[..31], "/proc/self/fd/{}", file.as_raw_fd()).ok()?;
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    let new = nix::fcntl::open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    // SAFETY: F1; both descriptors are open and stay owned by whom they belong to.
    let replaced = unsafe { libc::dup3(new.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) };
    (replaced >= 0).then_some(())
}
