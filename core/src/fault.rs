//! The fault guard: a segment that somebody truncates under a read gives an error, not SIGBUS.
//!
//! For programs that read segments they do not own. The guard is a signal handler of the whole process, so
//! a program installs it knowingly. On a fault inside a watched mapping the handler lays zero pages over
//! the rest of it and notes the fault; the read goes on with zeros and its result is thrown away.
//!
//! Unsafe code here rests on these invariants:
//!
//! - **G1** The handler touches only atomics and makes system calls that are safe in a handler.
//! - **G2** A watched range is a read-only mapping of this process from `watch` to the drop of its guard,
//!   so that laying pages over it changes nobody else's memory.
#![expect(unsafe_code, reason = "signal handlers have no safe interface")]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use crate::sync::{AtomicU64, Ordering};
use crate::watched::Watched;

/// Mappings that can be watched at a time; further ones are read without a guard.
const WATCHED_MAX: usize = 256;

static WATCHED: [Watched; WATCHED_MAX] = [const { Watched::new() }; WATCHED_MAX];

/// The system's page size: pages are laid whole.
static PAGE_BYTES: AtomicU64 = AtomicU64::new(4096);

static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Watches a mapping while it lives.
#[derive(Debug)]
pub(crate) struct Guard {
    index: usize,
}

impl Guard {
    /// Whether a page of the mapping could not be read.
    pub(crate) fn has_faulted(&self) -> bool {
        WATCHED[self.index].has_faulted()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        WATCHED[self.index].give_up();
    }
}

/// Makes reading a truncated segment an error instead of SIGBUS, for all readers attached from now on.
///
/// Installs a handler for SIGBUS; faults elsewhere go to the handler that was there before. Call it once,
/// early, in a program that reads segments of others.
pub fn install_fault_guard() {
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten();
    if let Some(bytes) = page_bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
        PAGE_BYTES.store(bytes, Ordering::Relaxed);
    }
    PREVIOUS.get_or_init(|| {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
        // SAFETY: all-zero is a valid `sigaction`: no handler, no flags, an empty mask.
        let action = unsafe { action.assume_init_mut() };
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: G1: the handler is fit for its signal and lives as long as the program.
        unsafe { libc::sigaction(libc::SIGBUS, action, previous.as_mut_ptr()) };
        // SAFETY: zeroed above, and filled by the call.
        unsafe { previous.assume_init() }
    });
}

/// Watches `words` where the guard is installed and has room.
pub(crate) fn watch(words: &[AtomicU64]) -> Option<Guard> {
    PREVIOUS.get()?;
    let range = words.as_ptr_range();
    let (start, end) = (range.start.addr() as u64, range.end.addr() as u64);
    let index = WATCHED
        .iter()
        .position(|watched| watched.take(start, end))?;
    Some(Guard { index })
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO valid information.
    let info_ref = unsafe { &*info };
    // SAFETY: SIGBUS comes with an address.
    let address = unsafe { info_ref.si_addr() }.addr() as u64;
    let watched = WATCHED
        .iter()
        .find_map(|watched| Some((watched, watched.end_of(address)?)));
    match watched {
        Some((watched, end)) => {
            watched.note_fault();
            lay_zeros(address, end);
        }
        None => hand_on(signal, info, context),
    }
}

/// Lays zero pages over the rest of a watched mapping, so that the read that faulted goes on.
fn lay_zeros(address: u64, end: u64) {
    let page = address & !(PAGE_BYTES.load(Ordering::Relaxed) - 1);
    let length = crate::layout::to_usize(end - page);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let at = ptr::with_exposed_provenance_mut(crate::layout::to_usize(page));
    // SAFETY: G2: the range is a mapping of ours that only this process sees.
    let laid = unsafe { libc::mmap(at, length, libc::PROT_READ, flags, -1, 0) };
    if laid == libc::MAP_FAILED {
        // SAFETY: G1: ends the process; without the pages the fault would repeat for ever.
        unsafe { libc::abort() };
    }
}

/// Hands a fault elsewhere to the handler that was there before, or to the system's default.
fn hand_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(previous) = PREVIOUS.get() else {
        return;
    };
    let handler = previous.sa_sigaction;
    if handler == libc::SIG_DFL
        || handler == libc::SIG_IGN
        || previous.sa_flags & libc::SA_SIGINFO == 0
    {
        // SAFETY: G1: puts the earlier action back; the fault repeats and meets it.
        unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
        return;
    }
    // SAFETY: with SA_SIGINFO the earlier handler has this signature.
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
        unsafe { std::mem::transmute(handler) };
    handler(signal, info, context);
}
