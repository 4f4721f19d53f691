//! Following forks: the child gets a description of the segment's file, a slot and cells of its own.
//!
//! Without it the child would keep the parent's lock alive for ever and write to the parent's gauges.
//! The handler runs in the child before `fork` returns, when the child has one thread. It takes no lock of
//! the process, because the thread that held it in the parent does not exist here.
//!
//! A thread that forks and one that attaches take turns: a slot whose segment is not in the list yet would stay
//! locked by a child that does not know of it.
//!
//! Unsafe code here rests on one invariant: **F1** the handler calls only functions that are safe in a
//! child of a program with many threads (system calls, atomics, and the C library's allocator, which the C
//! library itself makes ready for the child).
#![expect(unsafe_code, reason = "pthread_atfork and dup3 have no safe wrapper")]

use std::cell::Cell;
use std::ffi::CStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::attached::{Attached, List};
use crate::loss::Loss;
use crate::proof::step;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};

/// Every segment that this process writes to.
static ATTACHED: List = List::new();

/// The segment that is kept already and `is_same` finds, or else this one as `make` attaches it: it is kept for
/// the rest of the process, and followed through forks.
pub(crate) fn find_or_keep(
    segment: Segment,
    is_same: impl Fn(&Attached) -> bool,
    make: impl FnOnce(Segment) -> Attached,
) -> &'static Attached {
    let find = || ATTACHED.iter().find(|attached| is_same(attached));
    find().unwrap_or_else(|| {
        begin();
        follow_forks();
        let kept = find().unwrap_or_else(|| {
            // A child that was forked since the file was opened shares its description, and would share its locks.
            let _ = segment
                .file()
                .and_then(|file| reopen(file, own_path(file).as_deref()));
            ATTACHED.add(make(segment), &is_same)
        });
        end();
        kept
    })
}

fn follow_forks() {
    // A flag, not a `OnceLock`: a child forked while another thread is inside must not wait for it.
    static INSTALLED: AtomicU64 = AtomicU64::new(0);
    if INSTALLED.swap(1, Ordering::Relaxed) == 0 {
        // SAFETY: F1: `in_child` is such a handler, and lives as long as the program.
        unsafe { libc::pthread_atfork(Some(begin), Some(end), Some(in_child)) };
    }
}

/// The thread whose turn it is, by the place of its storage, which is the same in a child; 0 for none.
static TURN: AtomicU64 = AtomicU64::new(0);
/// How often to give way to the thread whose turn it is: one that was interrupted may never end it.
const TRIES: usize = 1 << 20;

thread_local! {
    /// What this thread has begun: a signal handler may fork within an attach or a fork.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

fn this_thread() -> u64 {
    DEPTH.with(|depth| std::ptr::from_ref(depth).addr() as u64)
}

extern "C" fn begin() {
    DEPTH.set(DEPTH.get() + 1);
    if DEPTH.get() > 1 {
        return;
    }
    let is_begun = || {
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        let begun = TURN.compare_exchange(0, this_thread(), acquire, relaxed);
        begun.is_ok()
    };
    for _ in 0..TRIES {
        if is_begun() {
            return;
        }
        std::thread::yield_now();
    }
}

extern "C" fn end() {
    DEPTH.set(DEPTH.get() - 1);
    if DEPTH.get() == 0 && TURN.load(Ordering::Relaxed) == this_thread() {
        TURN.store(0, Ordering::Release);
    }
}

extern "C" fn in_child() {
    for attached in ATTACHED.iter() {
        step("fork-in-child");
        let Some(file) = attached.segment.file() else {
            continue;
        };
        if !attached.segment.has_its_file() {
            // Somebody else's file now: it is left alone.
            attached.give_up_slot(Loss::ForkedWithoutFile);
        } else if reopen(file, own_path(file).as_deref()).is_some() {
            step("fork-reopened");
            attached.claim_slot();
        } else {
            // Whatever else it is, the descriptor must not keep the parent's lock.
            if reopen(file, Some(c"/dev/null")).is_none() {
                close(file);
            }
            attached.give_up_slot(Loss::ForkedWithoutFile);
        }
    }
    end();
    if DEPTH.get() == 0 {
        // It may have been the turn of a thread that does not exist here.
        TURN.store(0, Ordering::Relaxed);
    }
}

/// The path of an open descriptor, on the stack.
fn own_path(file: &File) -> Option<PathBytes> {
    let mut path = PathBytes([0; 32]);
    write!(&mut path.0[..31], "/proc/self/fd/{}", file.as_raw_fd()).ok()?;
    Some(path)
}

/// A short path that needs no allocation.
struct PathBytes([u8; 32]);

impl std::ops::Deref for PathBytes {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// Puts a new description of `path` behind the file's descriptor, and so lets go of the old one's locks.
fn reopen(file: &File, path: Option<&CStr>) -> Option<()> {
    let new = nix::fcntl::open(path?, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    step("fork-opened");
    // SAFETY: F1; both descriptors are open and stay owned by whom they belong to.
    let replaced = unsafe { libc::dup3(new.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) };
    (replaced >= 0).then_some(())
}

/// Closes a file for good, where there is no descriptor to spare for anything else in its place. It stays in the
/// list; whoever looks sees that it is not the segment's any more.
fn close(file: &File) {
    // SAFETY: F1; nothing in the list is ever dropped, so that nobody closes the number again.
    unsafe { libc::close(file.as_raw_fd()) };
}
