//! Registrations that were refused: as dumps and recordings have them.

use serde::{Deserialize, Serialize};
use tachograph::{Refused, RefusedDefinition};

/// Registrations of a family that asked for another definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedView {
    pub(crate) count: u64,
    pub(crate) last_unix_nanos: u64,
    /// What the first one asked for, if that is known.
    pub(crate) first: Option<FirstRefused>,
}

/// What a process asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FirstRefused {
    pub(crate) pid: u32,
    /// `type`, `unit`, `buckets` or `states`.
    pub(crate) property: String,
    pub(crate) requested: String,
}

impl From<&Refused> for RefusedView {
    fn from(refused: &Refused) -> RefusedView {
        RefusedView {
            count: refused.count,
            last_unix_nanos: refused.last_unix_nanos,
            first: refused.first.as_ref().map(|first| FirstRefused {
                pid: first.pid,
                property: first.property.clone(),
                requested: first.requested.clone(),
            }),
        }
    }
}

impl From<RefusedView> for Refused {
    fn from(view: RefusedView) -> Refused {
        Refused {
            count: view.count,
            last_unix_nanos: view.last_unix_nanos,
            first: view.first.map(|first| RefusedDefinition {
                pid: first.pid,
                property: first.property,
                requested: first.requested,
            }),
        }
    }
}
