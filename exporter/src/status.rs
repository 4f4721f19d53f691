//! What the front has seen, for the exporter's own metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::push::{PushReport, Target};

/// Why a request or a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There were too many connections.
    Connections,
    /// It was asked under a name that is not its own.
    Host,
    /// A password or token was wrong or missing.
    Login,
    /// A web page of another origin asked.
    Origin,
    /// There were too many requests.
    Rate,
    /// The handshake of TLS failed.
    Tls,
}

impl Refusal {
    /// All, in the order of their names.
    pub const ALL: [(Refusal, &'static str); 6] = [
        (Refusal::Connections, "connections"),
        (Refusal::Host, "host"),
        (Refusal::Login, "login"),
        (Refusal::Origin, "origin"),
        (Refusal::Rate, "rate"),
        (Refusal::Tls, "tls"),
    ];
}

/// What the front has seen by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontReport {
    /// Whether the last attempt to read the configuration succeeded.
    pub config_is_current: bool,
    /// When the configuration in use was read.
    pub config_read_at: SystemTime,
    pub(crate) refused: [u64; Refusal::ALL.len()],
}

impl Default for FrontReport {
    fn default() -> FrontReport {
        FrontReport {
            config_is_current: true,
            config_read_at: SystemTime::now(),
            refused: [0; Refusal::ALL.len()],
        }
    }
}

impl FrontReport {
    /// How many were refused for this reason.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize]
    }
}

/// The one place where it is counted.
#[derive(Debug, Default)]
pub(crate) struct Status {
    front: Mutex<FrontReport>,
    targets: Mutex<Vec<Arc<Target>>>,
}

impl Status {
    pub(crate) fn report(&self) -> FrontReport {
        *self.lock()
    }

    /// What became of what was pushed to the receivers of now.
    pub(crate) fn pushes(&self) -> Vec<PushReport> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.iter().map(|target| target.report()).collect()
    }

    /// These are the receivers of now.
    pub(crate) fn push_to(&self, targets: Vec<Arc<Target>>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    pub(crate) fn refuse(&self, reason: Refusal) {
        self.lock().refused[reason as usize] += 1;
    }

    pub(crate) fn config_read(&self, is_good: bool) {
        let mut report = self.lock();
        report.config_is_current = is_good;
        if is_good {
            report.config_read_at = SystemTime::now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, FrontReport> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
