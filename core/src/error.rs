//! The one error type of the engine.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong. Recording never fails; these come from creating, attaching, registering and reading.
#[non_exhaustive]
#[derive(Debug)]
pub enum Error {
    /// A system call on the segment failed. The source says why; the message says which call on what.
    Io {
        /// What was being done, as in "open".
        action: &'static str,
        /// The file or folder it was done to.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The user may not open or create the segment: run as its owner, or create it with a group.
    Permission {
        /// The file or folder.
        path: PathBuf,
        /// What the user would need.
        needed: String,
    },
    /// There is no segment at the path: start a writer, or correct the path.
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is a file at the path already: remove it, or name another path.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file exists but is not a segment, or its header is damaged: remove it or name another path.
    NotASegment {
        /// The file.
        path: PathBuf,
        /// The check that failed, and what to do.
        reason: String,
    },
    /// The segment has another format: update the older of the two programs.
    Version {
        /// The file.
        path: PathBuf,
        /// Version or feature found.
        found: String,
        /// Version or features that this build supports.
        supported: String,
    },
    /// The segment was written before the last boot. It can be read; a writer must replace it
    /// (`SegmentOptions::replace_other_boot`).
    OtherBoot {
        /// The file.
        path: PathBuf,
    },
    /// The path lies on a file system that writes back to disk, which would stall writers: use tmpfs, or
    /// say `SegmentOptions::allow_disk`.
    DiskBacked {
        /// The folder.
        path: PathBuf,
        /// Name or magic number of the file system.
        file_system: String,
    },
    /// The segment changed underneath: truncated, punched, or replaced by another. Remove what is left, and
    /// attach again.
    Changed {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// A table of the segment is full: create it with a larger capacity.
    Full {
        /// The table, as in "series".
        table: &'static str,
        /// How many entries it holds.
        capacity: u64,
    },
    /// The file system has no room for another page, or for another file: enlarge the tmpfs.
    NoSpace {
        /// The segment, or the folder that has no room for one.
        path: PathBuf,
        /// The section that had to grow.
        section: &'static str,
        /// How many bytes were asked for; 0 for a file.
        bytes: u64,
    },
    /// The process's file-size limit is below the segment's size: raise `ulimit -f`.
    FileSizeLimit {
        /// The limit in bytes.
        limit: u64,
        /// The size in bytes that is needed.
        needed: u64,
    },
    /// A family, label or unit name, or a label value, cannot be used. The message says what to use.
    Invalid {
        /// What it is, as in "label name".
        what: &'static str,
        /// The text given.
        given: String,
        /// The rule it breaks and how to mend it.
        reason: String,
    },
    /// The family is registered already, with another type, unit, mode or bucket layout.
    Conflict {
        /// The family.
        family: String,
        /// Which property differs.
        property: &'static str,
        /// Its value in the segment.
        existing: String,
        /// The value asked for.
        requested: String,
    },
    /// The family has reached its series limit.
    SeriesLimit {
        /// The family.
        family: String,
        /// The limit.
        limit: u64,
    },
    /// The family was removed ([`crate::Writer::remove_family`]) since the program took its handle: declare it again.
    Removed {
        /// The family.
        family: String,
    },
    /// A field of a declared struct could not be registered. The source says why.
    Field {
        /// The struct.
        set: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A bucket layout is impossible. The message says what to give.
    Buckets(String),
    /// An option has an impossible value. The message says what to give.
    Options(String),
}

impl Error {
    /// What is not a segment, and cannot be made one.
    pub(crate) fn not_a_segment(path: &Path, reason: &str) -> Error {
        Error::NotASegment {
            path: path.into(),
            reason: format!("{reason}; remove it, or name another path"),
        }
    }

    /// A segment of so many bytes was not mapped; where the process lacks the address space, what it can do.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn unmapped(path: &Path, bytes: usize, source: io::Error) -> Error {
        let advice = format!(
            "no address space for {bytes} bytes; raise `ulimit -v`, or create the segment with smaller tables"
        );
        Error::Io {
            action: "map",
            path: path.into(),
            source: match source.kind() {
                kind @ io::ErrorKind::OutOfMemory => io::Error::new(kind, advice),
                _ => source,
            },
        }
    }

    /// The same error, told of a field of a declared struct.
    pub fn in_field(self, set: &'static str, field: &'static str) -> Error {
        let source = Box::new(self);
        Error::Field { set, field, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io {
                action,
                path,
                source,
            } => write!(f, "cannot {action} {}: {source}", path.display()),
            Error::Permission { path, needed } => {
                write!(f, "no permission for {}: {needed}", path.display())
            }
            Error::NotFound { path } => write!(f, "no segment at {}", path.display()),
            Error::Exists { path } => write!(f, "there is a file at {} already", path.display()),
            Error::NotASegment { path, reason } => {
                write!(f, "{} is not a usable segment: {reason}", path.display())
            }
            Error::Version {
                path,
                found,
                supported,
            } => write_version(f, path, found, supported),
            Error::OtherBoot { path } => write!(
                f,
                "{} was written before the last boot; remove it or let the writer replace it",
                path.display()
            ),
            Error::DiskBacked { path, file_system } => write!(
                f,
                "{} is on {file_system}, whose write-back stalls writers; use a tmpfs such as /dev/shm",
                path.display()
            ),
            Error::Changed { path, reason } => {
                write!(f, "{} changed underneath: {reason}", path.display())
            }
            Error::Full { table, capacity } => write!(
                f,
                "the {table} table is full ({capacity}); create the segment with a larger one"
            ),
            Error::NoSpace {
                path,
                section,
                bytes,
            } => write_no_space(f, path, section, *bytes),
            Error::FileSizeLimit { limit, needed } => write!(
                f,
                "the file-size limit is {limit} bytes and the segment needs {needed}; raise `ulimit -f`"
            ),
            Error::Invalid {
                what,
                given,
                reason,
            } => write!(f, "{what} {given:?}: {reason}"),
            Error::Conflict {
                family,
                property,
                existing,
                requested,
            } => write!(
                f,
                "{family} is registered with {property} {existing}, not {requested}; declare it alike everywhere, or rename one"
            ),
            Error::SeriesLimit { family, limit } => {
                write!(f, "{family} has reached its limit of {limit} series")
            }
            Error::Removed { family } => write!(f, "{family} was removed; declare it again"),
            Error::Field { set, field, source } => write!(f, "{set}.{field}: {source}"),
            Error::Buckets(message) | Error::Options(message) => f.write_str(message),
        }
    }
}

fn write_version(
    f: &mut fmt::Formatter<'_>,
    path: &Path,
    found: &str,
    supported: &str,
) -> fmt::Result {
    write!(
        f,
        "{} has format {found}, this build supports {supported}; update the older program",
        path.display()
    )
}

fn write_no_space(
    f: &mut fmt::Formatter<'_>,
    path: &Path,
    section: &str,
    bytes: u64,
) -> fmt::Result {
    let path = path.display();
    if bytes == 0 {
        return write!(
            f,
            "the file system has no room for another file in {path}; enlarge the tmpfs (size=, nr_inodes=)"
        );
    }
    write!(
        f,
        "the file system of {path} has no room for {bytes} more bytes of {section}; enlarge the tmpfs (size=)"
    )
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Field { source, .. } => Some(source),
            _ => None,
        }
    }
}
