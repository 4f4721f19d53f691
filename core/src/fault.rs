//! The fault guard: memory of a segment that cannot be had, under a read or an update, is no SIGBUS.
//!
//! A file may be truncated or punched by whoever may write to it, a tmpfs may be full where it was, and
//! memory may break. The guard is a signal handler of the whole process, which acts for watched mappings
//! only and hands every other fault on. It lays zero pages where the file has none:
//!
//! - under a reader over the rest of the mapping, once; the snapshot is thrown away.
//! - under a writer over the one page, whose amounts are lost from then on, while all others keep their
//!   series exact. The segment counts it, where the header is still to be had, and [`Guard::has_faulted`]
//!   tells the process, which registers nothing new.
//!
//! Unsafe code here rests on these invariants:
//!
//! - **G1** The handler touches only atomics and makes system calls that are safe in a handler. It may
//!   interrupt itself once, when it counts in a header that is gone too.
//! - **G2** A watched range is a mapping of this process's own, and its first words are a header, from
//!   `watch` to the drop of its guard. Pages laid over it change nobody else's memory; whoever reads
//!   zeros there checks them like anything else that a segment holds.
//! - **G3** What goes to and comes from the kernel and the C library is what their manuals promise: memory of the
//!   right size, information that comes with its signal, an earlier handler with the signature of its flags.
#![expect(unsafe_code, reason = "signal handlers have no safe interface")]

use std::mem::MaybeUninit;
use std::ptr;

use nix::errno::Errno;
use once_cell::race::OnceBox;

use crate::layout::{header, to_usize};
use crate::loss::Loss;
use crate::sync::{AtomicU64, Ordering};
use crate::watched::{Range, Watched};

/// Mappings that can be watched at a time; further ones are read without a guard.
const WATCHED_MAX: usize = 256;

static WATCHED: [Watched; WATCHED_MAX] = [const { Watched::new() }; WATCHED_MAX];

/// The system's page size: pages are laid whole.
static PAGE_BYTES: AtomicU64 = AtomicU64::new(4096);

/// What was to be done about SIGBUS before the guard. Set without a lock, for forked children.
static PREVIOUS: OnceBox<libc::sigaction> = OnceBox::new();

/// Watches a mapping while it lives.
#[derive(Debug)]
pub(crate) struct Guard {
    index: usize,
}

impl Guard {
    /// Whether a page of the mapping could not be had.
    pub(crate) fn has_faulted(&self) -> bool {
        WATCHED[self.index].has_faulted()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        WATCHED[self.index].give_up();
    }
}

/// Makes reading a truncated segment an error instead of SIGBUS.
///
/// Installs a handler for SIGBUS; faults elsewhere go to the handler that was there before. Call it once,
/// early, in a program that reads segments of others. Attaching a segment for writing calls it too, unless
/// [`crate::SegmentOptions::fault_guard`] says otherwise.
pub fn install_fault_guard() {
    // A flag, not a `OnceLock`: a child forked while another thread is inside must not wait for it.
    static INSTALLED: AtomicU64 = AtomicU64::new(0);
    if INSTALLED.swap(1, Ordering::Relaxed) != 0 {
        return;
    }
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten();
    if let Some(bytes) = page_bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
        PAGE_BYTES.store(bytes, Ordering::Relaxed);
    }
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: G3: asks only, into memory of the right size.
    unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), previous.as_mut_ptr()) };
    // SAFETY: G3: all-zero is a valid `sigaction`, and the call filled it.
    let previous = unsafe { previous.assume_init() };
    // Before the handler is there, which needs it.
    let _ = PREVIOUS.set(Box::new(previous));
    let mut action = previous;
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
    action.sa_sigaction = handler as *const () as usize;
    // No defer: counting the fault may itself fault.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: G3: only the set of the signals to block is changed, to none.
    unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
    // SAFETY: G1: the handler is fit for its signal and lives as long as the program.
    unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
}

/// Watches a mapping, where there is room.
pub(crate) fn watch(words: &[AtomicU64], is_writable: bool) -> Option<Guard> {
    let range = Range {
        start: words.as_ptr().expose_provenance() as u64,
        end: words.as_ptr_range().end.addr() as u64,
        is_writable,
    };
    let index = WATCHED.iter().position(|watched| watched.take(range))?;
    Some(Guard { index })
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: G3: the kernel hands a handler with SA_SIGINFO valid information.
    let info_ref = unsafe { &*info };
    // SAFETY: G3: SIGBUS comes with an address.
    let address = unsafe { info_ref.si_addr() }.addr() as u64;
    let watched = WATCHED
        .iter()
        .find_map(|watched| Some((watched, watched.range_of(address)?)));
    match watched {
        Some((watched, range)) => {
            let errno = Errno::last_raw();
            watched.note_fault();
            lay_pages(range, address);
            Errno::set_raw(errno);
        }
        None => hand_on(signal, info, context),
    }
}

/// Lays zero pages where a watched mapping faulted, so that the access goes on.
fn lay_pages(range: Range, address: u64) {
    let page_bytes = PAGE_BYTES.load(Ordering::Relaxed);
    let page = address & !(page_bytes - 1);
    let is_laid = if range.is_writable {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // A process may have only so many mappings: then the whole becomes one.
        lay(page, page_bytes, protection) || lay(range.start, range.end - range.start, protection)
    } else {
        lay(page, range.end - page, libc::PROT_READ)
    };
    if !is_laid {
        // SAFETY: G1: ends the process; without the pages the fault would repeat for ever.
        unsafe { libc::abort() };
    }
    if range.is_writable {
        count_loss(range.start);
    }
}

/// Lays zero pages over part of a watched mapping.
fn lay(address: u64, bytes: u64, protection: i32) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let at = ptr::with_exposed_provenance_mut(to_usize(address));
    // SAFETY: G2: the range is a mapping of ours, and only this process sees what is laid.
    let laid = unsafe { libc::mmap(at, to_usize(bytes), protection, flags, -1, 0) };
    laid != libc::MAP_FAILED
}

/// Counts a lost page in the header of the mapping at `start`.
fn count_loss(start: u64) {
    let word = start + (header::LOSSES + Loss::Unwritable as usize) as u64 * 8;
    let word = ptr::with_exposed_provenance_mut(to_usize(word));
    // SAFETY: G2: a header is there, in whole words that are only ever accessed atomically; `watch`
    // exposed the address.
    unsafe { AtomicU64::from_ptr(word) }.fetch_add(1, Ordering::Relaxed);
}

/// Hands a fault elsewhere to the handler that was there before, or to the system's default.
fn hand_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(previous) = PREVIOUS.get() else {
        return;
    };
    let handler = previous.sa_sigaction;
    // SAFETY: G3: as in `on_fault`.
    let is_sent = unsafe { &*info }.si_code <= 0;
    if handler == libc::SIG_IGN && is_sent {
        return;
    }
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        // SAFETY: G1: puts the earlier action back; the fault repeats and meets it.
        unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
        if is_sent {
            // SAFETY: G1: what a process sent does not repeat.
            unsafe { libc::raise(signal) };
        }
        return;
    }
    if previous.sa_flags & libc::SA_SIGINFO == 0 {
        // SAFETY: G3: without SA_SIGINFO the earlier handler has this signature.
        let handler: extern "C" fn(i32) = unsafe { std::mem::transmute(handler) };
        return handler(signal);
    }
    // SAFETY: G3: with SA_SIGINFO the earlier handler has this signature.
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
        unsafe { std::mem::transmute(handler) };
    handler(signal, info, context);
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::SegmentOptions;

    /// In a process of its own: what the test changes is the process's.
    #[test]
    #[cfg_attr(
        target_arch = "aarch64",
        ignore = "an emulator does not start what it emulates"
    )]
    fn a_fault_keeps_errno_when_a_page_cannot_be_laid() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "fault::tests::errno_is_kept"])
            .output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let is_passed = output.status.success() && text.contains("1 passed");
        assert!(is_passed, "{output:?}");
    }

    #[test]
    #[ignore = "runs in a process of its own"]
    fn errno_is_kept() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let options = SegmentOptions::new().path(folder.path().join("a.seg"));
        let writer = options.attach().unwrap();
        let segment = writer.segment();
        segment.file().unwrap().set_len(4096).unwrap();
        // No page of this size can be laid, so that the whole range becomes one.
        PAGE_BYTES.store(1 << 63, Ordering::Relaxed);
        let last = &segment.words()[segment.layout.words - 1];
        Errno::set_raw(77);
        let value = last.load(Ordering::Relaxed);
        let errno = Errno::last_raw();
        assert_eq!((value, errno), (0, 77));
        assert!(segment.check_pages().is_err());
    }
}
