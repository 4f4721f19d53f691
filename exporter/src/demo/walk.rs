//! Lists the documents: the regular files below a folder, sorted by path.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most documents in one list; what is beyond them is left out and said.
pub(crate) const DOCUMENTS_MAX: usize = 100_000;

/// Folders that hold what tools made, not what people wrote.
const SKIPPED_FOLDERS: [&str; 2] = ["target", "node_modules"];

/// One file to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// Where it is.
    pub path: PathBuf,
    /// What it was when it was listed.
    pub stamp: Stamp,
}

/// What tells one content of a file from the next.
///
/// The time is that of the last change of the inode: unlike the modification time, no program can set it
/// back, so a file whose stamp is the same as before has the content that it had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Inode number: another one means that the file was replaced.
    pub inode: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Seconds of the last change of the inode, since the Unix epoch.
    pub changed_seconds: i64,
    /// Nanoseconds of it.
    pub changed_nanos: i64,
}

impl Stamp {
    /// The stamp in a file's metadata.
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            inode: metadata.ino(),
            bytes: metadata.size(),
            changed_seconds: metadata.ctime(),
            changed_nanos: metadata.ctime_nsec(),
        }
    }
}

impl Document {
    /// The document at `path` as it is now; `None` when there is no regular file.
    pub(crate) fn at(path: PathBuf) -> Option<Document> {
        let metadata = fs::symlink_metadata(&path).ok()?;
        metadata.is_file().then(|| Document {
            stamp: Stamp::of(&metadata),
            path,
        })
    }

    /// Whether the file is still what was listed.
    pub(crate) fn is_unchanged(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|now| Stamp::of(&now) == self.stamp)
    }
}

/// What lies below a folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The documents, sorted by path.
    pub documents: Vec<Document>,
    /// Folders that could not be read.
    pub unreadable_folders: Vec<PathBuf>,
    /// Whether there are more documents than one list holds.
    pub cut: bool,
}

/// Lists the documents below `root`. Links are not followed; hidden folders and folders of tools are skipped.
///
/// # Errors
/// When `root` itself cannot be read.
pub(crate) fn list(root: &Path) -> io::Result<Listing> {
    fs::read_dir(root)?;
    let mut listing = Listing::default();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if listing.cut {
            break;
        }
        if list_folder(&folder, &mut folders, &mut listing).is_err() {
            listing.unreadable_folders.push(folder);
        }
    }
    listing.documents.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

fn list_folder(folder: &Path, folders: &mut Vec<PathBuf>, listing: &mut Listing) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !is_skipped(&entry.file_name().to_string_lossy()) {
                folders.push(entry.path());
            }
        } else if kind.is_file() {
            if listing.documents.len() == DOCUMENTS_MAX {
                listing.cut = true;
                return Ok(());
            }
            // A file that vanished since the folder was read is not a document.
            listing.documents.extend(Document::at(entry.path()));
        }
    }
    Ok(())
}

fn is_skipped(folder: &str) -> bool {
    folder.starts_with('.') || SKIPPED_FOLDERS.contains(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_files_in_order_and_skips_what_is_not_text_of_people() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in [
            ".git",
            "target",
            "node_modules/x",
            "b/c",
            ".hidden",
            "empty",
        ] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in [
            ".git/config",
            "target/out.txt",
            "node_modules/x/i.js",
            ".hidden/file",
            "z.txt",
            ".gitignore",
            "b/c/ü.txt",
            "b/a.txt",
        ] {
            fs::write(at(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(at("z.txt"), at("a-link")).unwrap();
        std::os::unix::fs::symlink(root.path(), at("b/loop")).unwrap();

        let listing = list(root.path()).unwrap();

        let found: Vec<PathBuf> = listing.documents.iter().map(|d| d.path.clone()).collect();
        let wanted = [".gitignore", "b/a.txt", "b/c/ü.txt", "z.txt"].map(at);
        assert_eq!(found, wanted);
        assert!(listing.documents.iter().all(|d| d.stamp.bytes == 1));
        assert!(listing.documents.iter().all(Document::is_unchanged));
        assert!(listing.unreadable_folders.is_empty() && !listing.cut);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(list(Path::new("/nonexistent/tachograph")).is_err());
    }

    #[test]
    fn a_stamp_tells_a_replaced_file_and_one_of_the_same_size() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        fs::write(&path, "one").unwrap();
        let document = Document::at(path.clone()).unwrap();
        assert!(document.is_unchanged());
        std::thread::sleep(std::time::Duration::from_millis(30));
        fs::write(&path, "two").unwrap();
        assert!(!document.is_unchanged());
        fs::remove_file(&path).unwrap();
        assert!(!document.is_unchanged());
        assert_eq!(Document::at(path), None);
    }
}
