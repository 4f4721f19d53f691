//! A folder on tmpfs for one test, removed with all it holds when the test ends, also by a panic.

use std::env;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The folder of one test.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A new folder below `$TACHOGRAPH_TEST_DIR`, or below `/dev/shm`.
    ///
    /// # Panics
    /// When there is no room for one.
    pub fn new() -> Scratch {
        let parent = env::var_os("TACHOGRAPH_TEST_DIR").unwrap_or_else(|| "/dev/shm".into());
        let folder = tempfile::Builder::new()
            .prefix("tachograph-test-")
            .tempdir_in(parent)
            .expect("a folder on tmpfs");
        Scratch { folder }
    }

    /// Where the segment goes.
    pub fn segment(&self) -> PathBuf {
        self.path("test.seg")
    }

    /// Where the acknowledgements go.
    pub fn acks(&self) -> PathBuf {
        self.path("acks")
    }

    /// A path in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}
