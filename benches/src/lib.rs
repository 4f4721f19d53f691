//! What the benches share: the list of workloads, the runner, and the inputs.
//!
//! A benchmark's criterion group is its [`WORKLOADS`] entry, its function is the [`Role`] of what is measured
//! and its parameter the name, so that the `table` binary can build its rows from criterion's files.

#![expect(
    clippy::missing_panics_doc,
    reason = "a bench that cannot be set up has nothing else to do"
)]

use std::time::Duration;

use criterion::Criterion;

pub mod input;
pub mod limits;
pub mod ours;
pub mod peers;
mod workload;

pub use workload::{Role, WORKLOADS, Workload};

/// Criterion with the defaults of these benches; the command line goes first.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
