//! Following forks: the child gets a description of the segment's file, a slot and cells of its own.
//!
//! Without it the child would keep the parent's lock alive for ever and write to the parent's gauges.
//! Description, slot and marks of the child are made ready before the fork: the child has the parent's handles, and
//! must be known to have them even if the parent is killed at once. The handler in the child runs before `fork`
//! returns, when the child has one thread. It takes no lock of the process, because the thread that held it in
//! the parent does not exist here.
//!
//! | a process killed | leaves |
//! |---|---|
//! | while it makes a slot ready | the slot, whose lock the kernel dropped |
//! | as the parent, after the fork | the child's slot, which is the child's alone |
//! | as the child, before it took over | the slot, whose lock the kernel dropped with the parent's copy of it |
//!
//! Unsafe code here rests on these invariants:
//!
//! - **F1** The handlers call only functions that are safe in a child of a program with many threads (system calls,
//!   atomics, and the C library's allocator, which the C library itself makes ready for the child).
//! - **F2** A descriptor that `before` opened has no owner until `take_bequest` takes it out of its word.
#![expect(unsafe_code, reason = "pthread_atfork and dup3 have no safe wrapper")]

use std::cell::Cell;
use std::ffi::CStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::attached::Attached;
use crate::list::List;
use crate::loss::Loss;
use crate::marks;
use crate::proof::step;
use crate::sync::{AtomicU64, Ordering};

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
    // A flag, not a `OnceLock`: a child forked while another thread is inside must not wait for it.
    static INSTALLED: AtomicU64 = AtomicU64::new(0);
    if INSTALLED.swap(1, Ordering::Relaxed) == 0 {
        // SAFETY: F1: they are such handlers, and live as long as the program.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    }
}

/// The thread that forks, by the place of its storage; it is the same in the child. One at a time: a child must
/// know every descriptor that was opened for a child.
static FORKING: AtomicU64 = AtomicU64::new(0);
/// How often to give way to another thread that forks.
const TRIES: usize = 1 << 20;

thread_local! {
    /// Forks under way in this thread: a signal handler may fork within one.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

fn this_thread() -> u64 {
    DEPTH.with(|depth| std::ptr::from_ref(depth).addr() as u64)
}

fn is_outermost() -> bool {
    DEPTH.get() == 1 && FORKING.load(Ordering::Relaxed) == this_thread()
}

/// Makes a description, a slot and the marks of the child ready, so that they are there whatever becomes of the
/// parent.
extern "C" fn before() {
    DEPTH.set(DEPTH.get() + 1);
    let may_prepare = DEPTH.get() == 1 && begin();
    for attached in ATTACHED.iter() {
        step("fork-before");
        let Some(file) = attached.segment.file() else {
            continue;
        };
        let path = own_path(file).filter(|_| may_prepare && attached.segment.has_its_file());
        match path.and_then(|path| open(&path)) {
            Some(new) => {
                step("fork-opened");
                let descriptor = u64::try_from(new.as_raw_fd()).unwrap_or(0);
                attached.bequest.store(descriptor + 1, Ordering::Relaxed);
                attached.bequeath(&new);
                step("fork-bequeathed");
                let _ = new.into_raw_fd();
            }
            // The child will write to series that it has not marked.
            None => marks::never_free(&attached.segment),
        }
    }
}

fn begin() -> bool {
    (0..TRIES).any(|_| {
        let (order, me) = (Ordering::Acquire, this_thread());
        let begun = FORKING.compare_exchange(0, me, order, Ordering::Relaxed);
        if begun.is_err() {
            std::thread::yield_now();
        }
        begun.is_ok()
    })
}

fn end() {
    DEPTH.set(DEPTH.get() - 1);
}

/// What was made ready is the child's, if there is one; else the kernel drops its lock.
extern "C" fn in_parent() {
    if is_outermost() {
        for attached in ATTACHED.iter() {
            attached.disinherit();
            drop(take_bequest(attached));
        }
        FORKING.store(0, Ordering::Release);
    }
    end();
}

extern "C" fn in_child() {
    let is_ready = is_outermost();
    for attached in ATTACHED.iter() {
        step("fork-in-child");
        let Some(file) = attached.segment.file() else {
            continue;
        };
        let bequest = take_bequest(attached);
        if !attached.segment.has_its_file() {
            // Somebody else's file now: it is left alone. The bequest's lock is all that tells of this process.
            bequest.map(File::into_raw_fd);
            attached.give_up_slot(Loss::ForkedWithoutFile);
            attached.stay_untracked();
        } else if let Some(bequest) = bequest.filter(|_| is_ready) {
            replace(file, &bequest);
            step("fork-replaced");
            attached.inherit();
        } else {
            attached.disinherit();
            if reopen(file, own_path(file).as_deref()).is_some() {
                attached.stay_untracked();
                attached.claim_slot();
            } else {
                // Whatever else it is, the descriptor must not keep the parent's lock.
                let _ = reopen(file, Some(c"/dev/null"));
                attached.give_up_slot(Loss::ForkedWithoutFile);
                attached.stay_untracked();
            }
        }
    }
    FORKING.store(0, Ordering::Relaxed);
    end();
}

/// The description that was opened for the child.
fn take_bequest(attached: &Attached) -> Option<File> {
    let descriptor = attached.bequest.swap(0, Ordering::Relaxed).checked_sub(1)?;
    let descriptor = i32::try_from(descriptor).ok()?;
    // SAFETY: F2: it is the one that `before` opened, taken once.
    Some(unsafe { File::from_raw_fd(descriptor) })
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

fn open(path: &CStr) -> Option<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(path, flags, Mode::empty()).ok()?;
    Some(File::from(opened))
}

/// Puts a new description of `path` behind the file's descriptor, and so lets go of the old one's locks.
fn reopen(file: &File, path: Option<&CStr>) -> Option<()> {
    replace(file, &open(path?)?)
}

/// Puts the description `new` behind the file's descriptor.
fn replace(file: &File, new: &File) -> Option<()> {
    // SAFETY: F1; both descriptors are open and stay owned by whom they belong to.
    let replaced = unsafe { libc::dup3(new.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) };
    (replaced >= 0).then_some(())
}
