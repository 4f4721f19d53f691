//! How pages are written.

use serde::{Deserialize, Serialize};

use crate::cli::Arguments;

/// How pages are written; section `pages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageOptions {
    /// Whether OpenMetrics pages have `_created` lines.
    pub openmetrics_created: bool,
    /// Whether pages say what the processes that write use.
    pub process_metrics: bool,
}

impl Default for PageOptions {
    fn default() -> Self {
        PageOptions {
            openmetrics_created: false,
            process_metrics: true,
        }
    }
}

impl PageOptions {
    pub(super) fn overlay(&mut self, arguments: &Arguments) {
        let given = arguments.openmetrics_created;
        self.openmetrics_created = given.unwrap_or(self.openmetrics_created);
        let given = arguments.process_metrics;
        self.process_metrics = given.unwrap_or(self.process_metrics);
    }
}
