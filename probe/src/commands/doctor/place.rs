//! The file and where it lies.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, TMPFS_MAGIC};
use tachograph::{Error, Snapshot};

use crate::failure::Failure;
use crate::findings::{Finding, Severity};
use crate::units;

/// `hugetlbfs`, which is memory too.
const HUGETLBFS_MAGIC: FsType = FsType(0x9584_58f6);
/// Free memory below this will not last.
const FREE_MIN: u64 = 4 << 20;

fn error(code: &'static str, about: &Path, what: String, next: &str) -> Finding {
    Finding::new(
        Severity::Error,
        code,
        about.display().to_string(),
        what,
        next,
    )
}

/// Why no file was named.
pub(super) fn not_located(failure: &Failure) -> Finding {
    let next = "name the file with --segment";
    Finding::new(Severity::Error, "no_segment", "", failure.to_string(), next)
}

/// Why the file cannot be read as a segment.
pub(super) fn unusable(path: &Path, failure: &Failure) -> Finding {
    let what = failure.to_string();
    if !path.exists() && !is_hidden_from_us(path) {
        return absent(path, what);
    }
    match failure {
        Failure::Segment(Error::Permission { .. }) => error(
            "no_permission",
            path,
            permission(path, what),
            "run the probe as its owner (sudo -u), or create the segment with --group",
        ),
        Failure::Segment(Error::Version { .. }) => error(
            "other_version",
            path,
            what,
            "use the probe of the writers' version",
        ),
        Failure::Segment(Error::Changed { .. }) => error(
            "changed",
            path,
            what,
            "find who changes the file; remove it and restart its writers",
        ),
        Failure::Segment(Error::NotASegment { .. }) => error(
            "not_a_segment",
            path,
            what,
            "remove it and restart its writers, or name another path",
        ),
        _ => error("unreadable", path, what, "name another path with --segment"),
    }
}

fn is_hidden_from_us(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

fn absent(path: &Path, what: String) -> Finding {
    let others = segments_elsewhere();
    let next = if others.is_empty() {
        "start a writer; tachograph-probe create makes an empty segment".to_owned()
    } else {
        let listed: Vec<String> = others
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        format!("start a writer, or name one of these: {}", listed.join(" "))
    };
    error("no_segment", path, what, &next)
}

/// The segments of every user in the default place.
fn segments_elsewhere() -> Vec<PathBuf> {
    let folders = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let ours = folders.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("tachograph-")
    });
    let files = ours.flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten().flatten());
    let paths = files.map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    found.sort();
    found.truncate(8);
    found
}

fn permission(path: &Path, what: String) -> String {
    match fs::metadata(path) {
        Ok(found) => format!(
            "{what}; it belongs to user {} and group {}, mode {:o}",
            found.uid(),
            found.gid(),
            found.permissions().mode() & 0o777
        ),
        Err(_) => what,
    }
}

/// What is wrong with the place of a segment that can be read.
pub(super) fn findings(path: &Path, snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(found) = fs::metadata(path)
        && found.permissions().mode() & 0o002 != 0
    {
        findings.push(Finding::new(
            Severity::Warning,
            "world_writable",
            path.display().to_string(),
            "every user of this host may write to the segment",
            "create it with --mode 600, or --group for several users",
        ));
    }
    if let Ok(found) = nix::sys::statfs::statfs(path)
        && ![TMPFS_MAGIC, HUGETLBFS_MAGIC].contains(&found.filesystem_type())
    {
        findings.push(Finding::new(
            Severity::Warning,
            "disk_backed",
            path.display().to_string(),
            "the segment lies on a file system that writes back to disk, which stalls writers",
            "put it on a tmpfs such as /dev/shm",
        ));
    }
    findings.extend(room(path, snapshot));
    findings
}

/// Whether the file system has the memory that the segment may still take.
fn room(path: &Path, snapshot: &Snapshot) -> Option<Finding> {
    let found = nix::sys::statvfs::statvfs(path).ok()?;
    let free = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    let all = found.blocks().saturating_mul(found.fragment_size());
    // A file system without a limit says that it has no blocks at all.
    if all == 0 {
        return None;
    }
    let tables = snapshot.segment.tables.iter();
    let rest: u64 = tables
        .map(|table| table.capacity_bytes.saturating_sub(table.committed_bytes))
        .sum();
    let folder = path.parent().unwrap_or(path).display().to_string();
    let what = format!(
        "{folder} has {} of {} free; the segment may still take {}",
        units::size(free),
        units::size(all),
        units::size(rest)
    );
    let next = "enlarge the tmpfs: mount -o remount,size=, or --shm-size of a container";
    if free < FREE_MIN {
        return Some(Finding::new(
            Severity::Warning,
            "tmpfs_full",
            folder,
            what,
            next,
        ));
    }
    (free < rest).then(|| Finding::new(Severity::Hint, "tmpfs_small", folder, what, next))
}
