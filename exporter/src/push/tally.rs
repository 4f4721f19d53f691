//! What became of what was pushed, for the exporter's own metrics.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// Why a point never arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// There was no room to keep it.
    Buffer,
    /// The receiver took its request and not it.
    Rejected,
    /// The receiver refused its request.
    Refused,
}

impl Loss {
    /// All, in the order of their names.
    pub(crate) const ALL: [(Loss, &'static str); 3] = [
        (Loss::Buffer, "buffer"),
        (Loss::Rejected, "rejected"),
        (Loss::Refused, "refused"),
    ];
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The receiver took it.
    Accepted,
    /// The receiver will never take it.
    Refused,
    /// The receiver said that it cannot take it now.
    Unavailable,
    /// Nobody answered.
    Unanswered,
}

impl Outcome {
    /// All, in the order of their names.
    pub(crate) const ALL: [(Outcome, &'static str); 4] = [
        (Outcome::Accepted, "accepted"),
        (Outcome::Refused, "refused"),
        (Outcome::Unavailable, "unavailable"),
        (Outcome::Unanswered, "unanswered"),
    ];
}

/// What became of what was pushed to one receiver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) sent_points: u64,
    pub(crate) lost_points: [u64; Loss::ALL.len()],
    pub(crate) requests: [u64; Outcome::ALL.len()],
    pub(crate) retries: u64,
    /// When the receiver last took a request, and how long that took.
    pub(crate) last_success: Option<(SystemTime, Duration)>,
    /// Why the last request failed, if it did.
    pub(crate) fault: Option<String>,
    /// Why the last request was refused, if it was.
    pub(crate) refusal: Option<String>,
    /// Complaints that the log has.
    pub(crate) told: BTreeSet<String>,
}

/// One receiver, as the page shows it.
#[derive(Debug, Clone, Default)]
pub struct PushReport {
    pub(crate) receiver: String,
    pub(crate) protocol: &'static str,
    pub(crate) queue_bytes: u64,
    pub(crate) tally: Tally,
}
