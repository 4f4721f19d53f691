//! The fault guard: a segment that somebody truncates under a read gives an error, not SIGBUS.
//!
//! For programs that read segments they do not own. The guard is a signal handler of the whole process, so
//! a program installs it knowingly. On a fault inside a watched mapping the handler lays zero pages over
//! the rest of it and counts the fault; the read goes on with zeros and its result is thrown away.
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

/// Mappings that can be watched at a time; further ones are read without a guard.
const WATCHED_MAX: usize = 256;

/// A watched range and how often it faulted. A start of 0 is free, 1 is being filled.
struct Watched {
    start: AtomicU64,
    end: AtomicU64,
    faults: AtomicU64,
}

static WATCHED: [Watched; WATCHED_MAX] = [const {
    Watched {
        start: AtomicU64::new(0),
        end: AtomicU64::new(0),
        faults: AtomicU64::new(0),
    }
}; WATCHED_MAX];

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
        WATCHED[self.index].faults.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        WATCHED[self.index].start.store(0, Ordering::Release);
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
    for (index, watched) in WATCHED.iter().enumerate() {
        if watched
            .start
            .compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            continue;
        }
        watched.faults.store(0, Ordering::Relaxed);
        watched.end.store(end, Ordering::Relaxed);
        // Release: the handler that sees the start sees the end. Pairs with the Acquire in `on_fault`.
        watched.start.store(start, Ordering::Release);
        return Some(Guard { index });
    }
    None
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO valid information.
    let info_ref = unsafe { &*info };
    // SAFETY: SIGBUS comes with an address.
    let address = unsafe { info_ref.si_addr() }.addr() as u64;
    let watched = WATCHED.iter().find(|watched| {
        // Pairs with the Release in `watch`.
        let start = watched.start.load(Ordering::Acquire);
        start > 1 && (start..watched.end.load(Ordering::Relaxed)).contains(&address)
    });
    match watched {
        Some(watched) => lay_zeros(watched, address),
        None => hand_on(signal, info, context),
    }
}

/// Lays zero pages over the rest of a watched mapping, so that the read that faulted goes on.
fn lay_zeros(watched: &Watched, address: u64) {
    let page = address & !(PAGE_BYTES.load(Ordering::Relaxed) - 1);
    let length = crate::layout::to_usize(watched.end.load(Ordering::Relaxed) - page);
    watched.faults.fetch_add(1, Ordering::Relaxed);
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
