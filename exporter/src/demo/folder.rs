//! The demo's own folder on the shared-memory file system, and the removal of what a killed demo left there.
//!
//! A demo that lives holds a lock on its folder; the kernel releases it however the demo ends. So a
//! folder whose lock can be taken belongs to a demo that was killed, and the next demo removes it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where segments live: memory, not a disk.
pub(crate) const SHARED_MEMORY: &str = "/dev/shm";
/// Begins the name of every folder of a demo.
const PREFIX: &str = "tachograph-demo-";
/// A folder younger than this may belong to a demo that has not taken its lock yet.
const AGE_MIN: Duration = Duration::from_secs(10);

/// A private folder that is removed with all it holds when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes a folder of its own below `parent`, for this user only.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub(crate) fn create(parent: &Path) -> io::Result<Folder> {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .subsec_nanos();
        let path = parent.join(format!("{PREFIX}{}-{nanos:08x}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::open(&path)?;
        lock.try_lock()?;
        Ok(Folder { path, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing is left to do for a folder that somebody else has removed.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of this user's killed demos below `parent`; returns them.
pub(crate) fn sweep(parent: &Path) -> Vec<PathBuf> {
    sweep_older_than(parent, AGE_MIN)
}

fn sweep_older_than(parent: &Path, age_min: Duration) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
        .filter(|path| is_left_behind(path, age_min) && fs::remove_dir_all(path).is_ok())
        .collect()
}

fn is_left_behind(path: &Path, age_min: Duration) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return false;
    };
    let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
    metadata.is_dir()
        && metadata.uid() == nix::unistd::geteuid().as_raw()
        && age.is_some_and(|age| age >= age_min)
        && File::open(path).is_ok_and(|folder| folder.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_is_private_and_goes_with_its_holder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::create(parent.path()).unwrap();
        let path = folder.path().to_path_buf();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(path.join("demo.seg"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn only_folders_of_killed_demos_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Folder::create(parent.path()).unwrap();
        let killed = parent.path().join("tachograph-demo-1-0");
        let other = parent.path().join("something-else");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join("demo.seg"), "x").unwrap();
        fs::create_dir(&other).unwrap();

        assert!(sweep(parent.path()).is_empty(), "all are young");
        assert_eq!(
            sweep_older_than(parent.path(), Duration::ZERO),
            std::slice::from_ref(&killed)
        );

        assert!(alive.path().exists() && other.exists() && !killed.exists());
    }
}
