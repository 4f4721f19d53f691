//! What the tests across processes share.
//!
//! A test starts *workers*, processes of the binary `writer` that record in a segment on tmpfs. Each
//! worker thread says in an [`ack::AckFile`], after every update, how many updates it has made. A kill
//! can hit between the update and its acknowledgement, so the [`verdict`] on a thread is exact: what the
//! segment shows is what the thread acknowledged, or one update more when it was killed.
//!
//! Sums over many threads would let a lost update cancel a doubled one. That is why every thread also
//! has series of its own, judged one by one.

pub mod ack;
pub mod actor;
pub mod churn;
pub mod http;
pub mod offline;
pub mod page;
#[cfg(not(target_env = "musl"))]
pub mod play;
pub mod pusher;
pub mod receiver;
pub mod scenario;
pub mod scrape;
pub mod scratch;
pub mod server;
#[path = "../../core/tests/skip/mod.rs"]
pub mod skip;
pub mod storm;
#[cfg(feature = "targets")]
pub mod targets;
pub mod task;
// musl has no PTRACE_GET_SYSCALL_INFO.
#[cfg(not(target_env = "musl"))]
pub mod tracer;
pub mod update;
pub mod verdict;
pub mod worker;

pub use skip::skip;

use std::time::{Duration, Instant};

/// Whether the long forms were asked for (`./check --long`).
pub fn long() -> bool {
    std::env::var_os("TACHOGRAPH_LONG").is_some()
}

/// Waits until `holds`, and panics with `what` when that takes longer than `limit`.
///
/// # Panics
/// When the limit is reached.
pub fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
