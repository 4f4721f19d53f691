//! How pages are written.

use serde::{Deserialize, Serialize};

use crate::cli::Arguments;

/// How pages are written; section `pages`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageOptions {
    /// Whether OpenMetrics pages have `_created` lines.
    pub openmetrics_created: bool,
}

impl PageOptions {
    pub(super) fn overlay(&mut self, arguments: &Arguments) {
        let given = arguments.openmetrics_created;
        self.openmetrics_created = given.unwrap_or(self.openmetrics_created);
    }
}
