//! How the C library's allocator behaves in a program that reads segments.
//!
//! Unsafe code here rests on this invariant:
//!
//! - **A1** The allocator takes its options at any time, from any thread.
#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the allocator's options have no safe wrapper")
)]

/// Blocks from this size on are given back as soon as they are freed.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: nix::libc::c_int = 1 << 20;

/// Gives large blocks of memory back to the system as soon as they are freed.
///
/// By itself glibc keeps up to twice as much as the largest block that was ever freed. Call it once, early, in a program
/// that takes snapshots now and then.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: A1.
    let _ = unsafe { nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
}
