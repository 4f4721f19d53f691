//! What to serve.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::Arguments;
use crate::glob::Glob;

/// The segments to serve; section `segments`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Segments {
    /// Segments, and folders whose `*.seg` files are all served; none means the default segment.
    pub paths: Vec<PathBuf>,
    /// Gauges and state sets that are told process by process, by name.
    pub by_process: Vec<Glob>,
}

impl Segments {
    pub(super) fn overlay(&mut self, arguments: &Arguments) {
        if !arguments.segment.is_empty() {
            self.paths.clone_from(&arguments.segment);
        }
        if !arguments.by_process.is_empty() {
            self.by_process.clone_from(&arguments.by_process);
        }
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in &mut self.paths {
            *path = folder.join(&path);
        }
    }

    /// Where the segments are.
    pub fn to_serve(&self) -> Vec<PathBuf> {
        match self.paths.as_slice() {
            [] => vec![tachograph::default_path()],
            paths => paths.to_vec(),
        }
    }
}
