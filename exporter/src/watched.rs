//! Files that are read anew when they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::config::{Config, TlsServer};

/// Files, and what they looked like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched(Vec<(PathBuf, Option<Stamp>)>);

/// What changes when a file is written or replaced: device, inode, size, and the time to the nanosecond.
type Stamp = (u64, u64, u64, i64, i64);

impl Watched {
    /// The files of certificates, passwords and tokens, as they look now.
    pub(crate) fn now(config: &Config) -> Watched {
        let access = &config.access;
        let of_tls = config
            .web
            .tls_server_config
            .iter()
            .flat_map(TlsServer::files);
        let files = access.web_config.iter().chain(&access.bearer_token_files);
        Watched::these(files.chain(of_tls))
    }

    /// `files`, as they look now.
    pub(crate) fn these<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Watched {
        Watched(files.map(|file| (file.clone(), stamp(file))).collect())
    }

    /// Whether one of them looks different now.
    pub(crate) fn have_changed(&self) -> bool {
        self.0.iter().any(|(file, seen)| stamp(file) != *seen)
    }
}

fn stamp(file: &PathBuf) -> Option<Stamp> {
    let it = fs::metadata(file).ok()?;
    Some((it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
}
