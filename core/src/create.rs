//! Creating a segment's file in one step, opening an existing one, and the system's facts about both.
//!
//! | state of the path | who moves it on | what a process killed there leaves |
//! |---|---|---|
//! | no folder | any writer, by making it; one of a group, by renaming a complete one | at most an empty `.<number>.new` folder |
//! | no file | any writer, by linking a complete unnamed file | nothing: an unnamed file dies with it |
//! | a complete segment | nobody; a writer may replace one of another boot, see [`replace`] | at most a hidden `.<number>.new` file |

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statfs::{FsType, TMPFS_MAGIC};

use crate::error::Error;
use crate::host;
use crate::layout::{Identity, Layout, header};
use crate::options::SegmentOptions;
use crate::proof::step;
use crate::segment::Segment;
use crate::sync::Ordering;

/// `hugetlbfs`, which is memory too.
const HUGETLBFS_MAGIC: FsType = FsType(0x9584_58f6);
/// How often an attach may meet a segment that vanishes or appears under it.
const ATTEMPTS: usize = 100;

/// Attaches the segment at the options' path for writing, creating it where there is none.
pub(crate) fn create_or_attach(options: &SegmentOptions) -> Result<Segment, Error> {
    options.check()?;
    let path = options.resolved_path();
    if options.fault_guard {
        crate::fault::install_fault_guard();
    }
    prepare_folder(&path, options)?;
    for _ in 0..ATTEMPTS {
        match open(&path, true) {
            Ok(file) => {
                check_file_system(&file, &path, options)?;
                let segment = read_and_map(file, &path, true)?;
                if segment.this_boot {
                    return Ok(segment);
                }
                if !options.replace_other_boot {
                    return Err(Error::OtherBoot { path });
                }
                replace(&segment, options)?;
            }
            Err(Error::NotFound { .. }) => {
                // Where another process was first: attach to its segment.
                if let Some(segment) = make(&path, options)? {
                    return Ok(segment);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::Changed {
        path,
        reason: "it is removed and created again all the time".into(),
    })
}

/// Creates the segment at the options' path, where there is no file yet.
pub(crate) fn create(options: &SegmentOptions) -> Result<(), Error> {
    options.check()?;
    let path = options.resolved_path();
    if std::fs::symlink_metadata(&path).is_ok() {
        return Err(Error::Exists { path });
    }
    prepare_folder(&path, options)?;
    match make(&path, options)? {
        Some(_) => Ok(()),
        None => Err(Error::Exists { path }),
    }
}

/// A new segment at `path`; `None` where somebody else has put a file there.
fn make(path: &Path, options: &SegmentOptions) -> Result<Option<Segment>, Error> {
    let segment = unnamed(path, options)?;
    match link(&segment, path) {
        Ok(()) => {
            step("segment-linked");
            Ok(Some(segment))
        }
        Err(Errno::EEXIST) => Ok(None),
        Err(errno) => Err(failure("link", path, errno.into())),
    }
}

/// Attaches the segment at `path` for reading.
pub(crate) fn attach_read_only(path: &Path) -> Result<Segment, Error> {
    read_and_map(open(path, false)?, path, false)
}

/// Attaches for reading the file behind an open descriptor, given as its path in `/proc`.
pub(crate) fn attach_descriptor(descriptor: &Path, path: &Path) -> Result<Segment, Error> {
    let file = File::open(descriptor).map_err(|error| failure("open", path, error))?;
    read_and_map(file, path, false)
}

/// Makes the segment's own folder, and refuses a default folder that somebody else planted.
fn prepare_folder(path: &Path, options: &SegmentOptions) -> Result<(), Error> {
    let folder = folder_of(path);
    let made = match options.group {
        Some(group) => make_folder_of_group(&folder, group),
        None => std::fs::DirBuilder::new().mode(0o700).create(&folder),
    };
    match made {
        Ok(()) => step("folder-made"),
        Err(error) if folder.is_dir() || error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let advice = "the folder above it does not exist; make it, or name another path with $TACHOGRAPH_SEGMENT";
            let source = io::Error::new(error.kind(), advice);
            return Err(Error::Io {
                action: "create the folder",
                path: folder,
                source,
            });
        }
        Err(error) => return Err(failure("create the folder", &folder, error)),
    }
    if folder == crate::options::default_folder() {
        let found = std::fs::symlink_metadata(&folder)
            .map_err(|error| failure("look at", &folder, error))?;
        if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
            let needed =
                "it belongs to somebody else; have it removed, or name another path".into();
            return Err(Error::Permission {
                path: folder,
                needed,
            });
        }
    }
    Ok(())
}

/// Makes a folder that has its group and mode from the moment it has its name: nobody would mend it later.
fn make_folder_of_group(folder: &Path, group: u32) -> io::Result<()> {
    if folder.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let number = host::random();
    let hidden = folder_of(folder).join(format!(".{number:016x}.new"));
    std::fs::DirBuilder::new().mode(0o700).create(&hidden)?;
    step("hidden-folder-made");
    // A folder that another process made meanwhile is empty and the same, or refuses to be replaced.
    let named = std::os::unix::fs::chown(&hidden, None, Some(group))
        .and_then(|()| std::fs::set_permissions(&hidden, PermissionsExt::from_mode(0o2770)))
        .and_then(|()| {
            step("hidden-folder-given");
            std::fs::rename(&hidden, folder)
        });
    if named.is_err() {
        let _ = std::fs::remove_dir(&hidden);
    }
    named
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Opens an existing file, never creating one and never following a link.
fn open(path: &Path, write: bool) -> Result<File, Error> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| {
            if error.raw_os_error() == Some(libc::ELOOP) {
                return Error::not_a_segment(
                    path,
                    "it is a symbolic link, which is never followed",
                );
            }
            failure("open", path, error)
        })
}

/// Reads the header through the file, checks it, and maps the segment.
fn read_and_map(file: File, path: &Path, writable: bool) -> Result<Segment, Error> {
    let not = |reason| Error::not_a_segment(path, reason);
    let found = file
        .metadata()
        .map_err(|error| failure("look at", path, error))?;
    if !found.is_file() {
        return Err(if found.is_dir() {
            folder_instead(path)
        } else {
            not("it is not a regular file")
        });
    }
    let mut bytes = [0; header::MUTABLE * 8];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(not("it is shorter than a header"));
        }
        Err(error) => return Err(failure("read", path, error)),
    }
    let mut words = [0; header::MUTABLE];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*chunk);
    }
    let (layout, identity) = Layout::parse(path, &words, found.len())?;
    Segment::map(file, path, layout, identity, writable)
}

/// A complete segment without a name.
fn unnamed(path: &Path, options: &SegmentOptions) -> Result<Segment, Error> {
    let folder = folder_of(path);
    let (cpus, fallbacks) = options.shards();
    let layout = Layout::plan(&options.capacities, cpus, fallbacks);
    let bytes = layout.words as u64 * 8;
    check_file_size_limit(bytes)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(options.mode)
        .open(&folder)
        .map_err(|error| failure("create a segment in", &folder, error))?;
    step("file-made");
    check_file_system(&file, &folder, options)?;
    if let Some(group) = options.group {
        std::os::unix::fs::fchown(&file, None, Some(group))
            .map_err(|error| failure("give to the group", path, error))?;
        step("file-given");
    }
    // The process's umask may have taken bits away.
    file.set_permissions(PermissionsExt::from_mode(options.mode))
        .map_err(|error| failure("set the mode of", path, error))?;
    step("file-mode-set");
    file.set_len(bytes)
        .map_err(|error| failure("size", path, error))?;
    step("file-sized");
    let boot_id =
        host::boot_id().map_err(|error| failure("read the boot's id for", path, error))?;
    let found = file
        .metadata()
        .map_err(|error| failure("look at", path, error))?;
    let identity = Identity {
        inode: (found.dev(), found.ino()),
        ..Identity::of_new(boot_id)
    };
    let segment = Segment::map(file, path, layout, identity, true)?;
    segment.initialise()?;
    Ok(segment)
}

/// Gives an unnamed segment its name, unless the name is taken.
fn link(segment: &Segment, path: &Path) -> Result<(), Errno> {
    let file = segment.file().ok_or(Errno::EBADF)?;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    let follow = AtFlags::AT_SYMLINK_FOLLOW;
    nix::unistd::linkat(AT_FDCWD, unnamed.as_str(), AT_FDCWD, path, follow)
}

/// Replaces a segment of another boot: a new one, complete under a hidden name, is renamed over it. All
/// replacers agree on one by a word of the old segment, and any of them renames it, so that nobody waits for
/// one that was killed or stopped.
fn replace(old: &Segment, options: &SegmentOptions) -> Result<(), Error> {
    let path = &old.path;
    let hidden = |instance| folder_of(path).join(format!(".{instance:016x}.new"));
    let mut chosen = old.successor().load(Ordering::Relaxed);
    if chosen == 0 {
        let new = unnamed(path, options)?;
        let (instance, name) = (new.identity.instance, hidden(new.identity.instance));
        link(&new, &name).map_err(|errno| failure("link", &name, errno.into()))?;
        step("successor-linked");
        // Relaxed: the file is found by its name, through the kernel.
        let (relaxed, word) = (Ordering::Relaxed, old.successor());
        chosen = match word.compare_exchange(0, instance, relaxed, relaxed) {
            Ok(_) => instance,
            Err(chosen) => {
                step("successor-refused");
                let _ = std::fs::remove_file(name);
                chosen
            }
        };
        step("successor-chosen");
    }
    let is_there = |file| is_same_file(file, path);
    if !old.file().is_some_and(is_there) {
        return Ok(());
    }
    match std::fs::rename(hidden(chosen), path) {
        Ok(()) => step("successor-renamed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Another replacer renamed it, or somebody removed it.
            if old.file().is_some_and(is_there) {
                let (relaxed, word) = (Ordering::Relaxed, old.successor());
                let _ = word.compare_exchange(chosen, 0, relaxed, relaxed);
            }
        }
        Err(error) => return Err(failure("replace", path, error)),
    }
    Ok(())
}

/// Whether `path` still names the open `file`.
pub(crate) fn is_same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

/// Over the limit the kernel would kill the process with SIGXFSZ.
fn check_file_size_limit(needed: u64) -> Result<(), Error> {
    match nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE) {
        Ok((limit, _)) if limit < needed => Err(Error::FileSizeLimit { limit, needed }),
        _ => Ok(()),
    }
}

fn check_file_system(file: &File, path: &Path, options: &SegmentOptions) -> Result<(), Error> {
    let found = nix::sys::statfs::fstatfs(file)
        .map_err(|errno| failure("look at the file system of", path, errno.into()))?
        .filesystem_type();
    if options.allow_disk || [TMPFS_MAGIC, HUGETLBFS_MAGIC].contains(&found) {
        return Ok(());
    }
    let file_system = host::file_system(found).map_or_else(
        || format!("a file system of type {:#x}", found.0),
        String::from,
    );
    Err(Error::DiskBacked {
        path: path.into(),
        file_system,
    })
}

/// Somebody named a folder where a file is meant.
fn folder_instead(path: &Path) -> Error {
    let file = path.join("default.seg");
    Error::NotASegment {
        path: path.into(),
        reason: format!(
            "it is a folder; name a file in it, such as {}",
            file.display()
        ),
    }
}

/// A failed call on `path`, as the error that tells what to do.
fn failure(action: &'static str, path: &Path, source: io::Error) -> Error {
    let path = path.to_path_buf();
    match source.raw_os_error() {
        Some(libc::EISDIR) => folder_instead(&path),
        Some(libc::ENOENT | libc::ENOTDIR) => Error::NotFound { path },
        Some(libc::EROFS) => {
            let needed = "its file system is read-only; remount it, or name another path".into();
            Error::Permission { path, needed }
        }
        Some(libc::EACCES | libc::EPERM) => {
            let user = nix::unistd::geteuid();
            let needed =
                format!("user {user} cannot {action} it; run as its owner or share a group");
            Error::Permission { path, needed }
        }
        Some(libc::ENOSPC) => Error::NoSpace {
            path,
            section: "file",
            bytes: 0,
        },
        Some(libc::EOPNOTSUPP) => Error::DiskBacked {
            path,
            file_system: "a file system without unnamed files or reservations".into(),
        },
        _ => Error::Io {
            action,
            path,
            source,
        },
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::layout::VERSION;

    fn options(folder: &tempfile::TempDir) -> SegmentOptions {
        SegmentOptions::new().path(folder.path().join("a.seg"))
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    /// Rewrites the header of the segment as if another boot had made it.
    fn age(path: &Path) -> u64 {
        let segment = attach_read_only(path).unwrap();
        let old = Identity {
            boot_id: [1, 2],
            ..segment.identity
        };
        let words = segment.layout.header_words(&old);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .write_all_at(&bytes, 0)
            .unwrap();
        old.instance
    }

    #[test]
    fn a_segment_is_created_once_and_nobody_is_attached() {
        let folder = folder();
        create(&options(&folder)).unwrap();
        let again = create(&options(&folder));
        assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
        let segment = attach_read_only(&folder.path().join("a.seg")).unwrap();
        assert_eq!(crate::lock::slots_used(&segment), 0);
    }

    #[test]
    fn a_segment_of_another_boot_is_read_but_not_written() {
        let folder = folder();
        let made = create_or_attach(&options(&folder)).unwrap();
        let instance = age(&made.path);
        let found = create_or_attach(&options(&folder)).map(drop);
        assert!(matches!(found, Err(Error::OtherBoot { .. })), "{found:?}");
        assert!(!attach_read_only(&made.path).unwrap().this_boot);
        let replacing = options(&folder).replace_other_boot(true);
        let replaced = create_or_attach(&replacing).unwrap();
        assert!(replaced.this_boot);
        assert_ne!(replaced.identity.instance, instance);
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|f| f.unwrap().file_name())
            .collect();
        assert_eq!(names, ["a.seg"], "nothing else is left");
    }

    #[test]
    fn what_a_killed_replacer_chose_is_used_where_it_is_there() {
        for is_there in [true, false] {
            let folder = folder();
            let old = create_or_attach(&options(&folder)).unwrap();
            age(&old.path);
            let replacing = options(&folder).replace_other_boot(true);
            let new = unnamed(&old.path, &replacing).unwrap();
            let instance = new.identity.instance;
            if is_there {
                let hidden = folder.path().join(format!(".{instance:016x}.new"));
                link(&new, &hidden).unwrap();
            }
            old.successor().store(instance, Ordering::Relaxed);
            let replaced = create_or_attach(&replacing).unwrap();
            assert_eq!(replaced.identity.instance == instance, is_there);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_late_replacer_leaves_what_came_since_alone() {
        let folder = folder();
        let made = create_or_attach(&options(&folder)).unwrap();
        age(&made.path);
        let old = attach_for_replacement(&made.path);
        let new = unnamed(&old.path, &options(&folder)).unwrap();
        let instance = new.identity.instance;
        let hidden = folder.path().join(format!(".{instance:016x}.new"));
        link(&new, &hidden).unwrap();
        old.successor().store(instance, Ordering::Relaxed);
        // Somebody removes the old segment, and another process creates one.
        std::fs::remove_file(&old.path).unwrap();
        let fresh = create_or_attach(&options(&folder)).unwrap();
        replace(&old, &options(&folder)).unwrap();
        assert!(is_same_file(fresh.file().unwrap(), &old.path));
    }

    fn attach_for_replacement(path: &Path) -> Segment {
        read_and_map(open(path, true).unwrap(), path, true).unwrap()
    }

    #[test]
    fn two_replacers_make_one_segment() {
        let folder = folder();
        age(&create_or_attach(&options(&folder)).unwrap().path);
        all_attach_one(&options(&folder).replace_other_boot(true));
    }

    #[test]
    fn creators_at_once_make_one_segment() {
        for _ in 0..20 {
            let folder = folder();
            all_attach_one(&options(&folder));
        }
    }

    /// Four threads attach at once and must find the same segment.
    fn all_attach_one(options: &SegmentOptions) {
        let attach = || create_or_attach(options).unwrap().identity.instance;
        let instances: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(attach)).collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.collect()
        });
        assert!(
            instances.windows(2).all(|pair| pair[0] == pair[1]),
            "{instances:?}"
        );
    }

    #[test]
    fn another_version_is_named() {
        let folder = folder();
        let made = create_or_attach(&options(&folder)).unwrap();
        let version = crate::layout::halves(0, VERSION.0 + 1);
        let file = OpenOptions::new().write(true).open(&made.path).unwrap();
        file.write_all_at(&version.to_ne_bytes(), header::VERSION as u64 * 8)
            .unwrap();
        let found = attach_read_only(&made.path).map(drop);
        assert!(matches!(found, Err(Error::Version { .. })), "{found:?}");
    }
}
