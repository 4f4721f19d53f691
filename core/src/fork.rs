//! Following forks: the child gets a description of the segment's file, a slot and cells of its own.
//!
//! Without it the child would keep the parent's lock alive for ever and write to the parent's gauges.
//! Description, slot and marks of the child are made ready before the fork: the child has the parent's handles, and
//! must be known to have them even if the parent is killed at once. The handler in the child runs before `fork`
//! returns, when the child has one thread. It takes no lock of the process, because the thread that held it in
//! the parent does not exist here.
//!
//! A thread that forks and one that attaches take turns: a slot whose segment is not in the list yet would stay
//! locked by a child that does not know of it.
//!
//! | a process killed | leaves |
//! |---|---|
//! | while it makes a slot ready | the slot, whose lock the kernel dropped |
//! | as the parent, after the fork | the child's slot, which is the child's alone |
//! | as the child, before it took over | the slot, whose lock the kernel dropped with the parent's copy of it |
//!
//! Unsafe code here rests on these invariants:
//!
//! - **F1** The handlers call only functions that are safe in a child of a program with many threads (system calls,
//!   atomics, and the C library's allocator, which the C library itself makes ready for the child).
//! - **F2** A descriptor that `before` opened has no owner until `take_bequest` takes it out of its word.
#![expect(unsafe_code, reason = "pthread_atfork and dup3 have no safe wrapper")]

use std::cell::Cell;
use std::ffi::CStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::attached::Attached;
use crate::list::List;
use crate::loss::Loss;
use crate::marks;
use crate::proof::step;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};

/// Every segment that this process writes to.
static ATTACHED: List<Attached> = List::new();

/// The segment that is kept already and `is_same` finds, or else this one as `make` attaches it: it is kept for
/// the rest of the process, and followed through forks.
pub(crate) fn find_or_keep(
    segment: Segment,
    is_same: impl Fn(&Attached) -> bool,
    make: impl FnOnce(Segment) -> Attached,
) -> &'static Attached {
    let find = || ATTACHED.iter().find(|attached| is_same(attached));
    find().unwrap_or_else(|| {
        begin();
        follow_forks();
        let kept = find().unwrap_or_else(|| {
            // A child that was forked since the file was opened shares its description, and would share its locks.
            let _ = segment
                .file()
                .and_then(|file| reopen(file, own_path(file).as_deref()));
            ATTACHED.add(make(segment), &is_same)
        });
        end();
        kept
    })
}

/// Whether the handlers are there. A flag, not a `OnceLock`: a child forked while another thread is inside must not
/// wait for it.
static INSTALLED: AtomicU64 = AtomicU64::new(0);

/// In a turn: nobody attaches before the handlers are there.
fn follow_forks() {
    if INSTALLED.load(Ordering::Relaxed) == 0 {
        // SAFETY: F1: they are such handlers, and live as long as the program.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        INSTALLED.store(1, Ordering::Relaxed);
    }
}

/// The thread whose turn it is to fork or attach, by the place of its storage, which is the same in a child; 0 for
/// none. One at a time: a child must know every descriptor that was opened for a child.
static TURN: AtomicU64 = AtomicU64::new(0);
/// How often to give way to the thread whose turn it is: one that was interrupted may never end it.
const TRIES: usize = 1 << 20;

thread_local! {
    /// What this thread has begun: a signal handler may fork within an attach or a fork.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

fn this_thread() -> u64 {
    DEPTH.with(|depth| std::ptr::from_ref(depth).addr() as u64)
}

/// Whether it is this thread's turn, and nothing else of it is under way.
fn is_outermost() -> bool {
    DEPTH.get() == 1 && TURN.load(Ordering::Relaxed) == this_thread()
}

/// Takes a turn, or goes on without one.
fn begin() {
    DEPTH.set(DEPTH.get() + 1);
    if DEPTH.get() > 1 {
        return;
    }
    for _ in 0..TRIES {
        let (order, me) = (Ordering::Acquire, this_thread());
        if TURN
            .compare_exchange(0, me, order, Ordering::Relaxed)
            .is_ok()
        {
            return;
        }
        std::thread::yield_now();
    }
}

fn end() {
    if is_outermost() {
        TURN.store(0, Ordering::Release);
    }
    DEPTH.set(DEPTH.get() - 1);
}

/// Makes a description, a slot and the marks of the child ready, so that they are there whatever becomes of the
/// parent.
extern "C" fn before() {
    begin();
    let may_prepare = is_outermost();
    for attached in ATTACHED.iter() {
        step("fork-before");
        let Some(file) = attached.segment.file() else {
            continue;
        };
        let path = own_path(file).filter(|_| may_prepare && attached.segment.has_its_file());
        match path.and_then(|path| open(&path)) {
            Some(new) => {
                step("fork-opened");
                let descriptor = u64::try_from(new.as_raw_fd()).unwrap_or(0);
                attached.bequest.store(descriptor + 1, Ordering::Relaxed);
                attached.bequeath(&new);
                step("fork-bequeathed");
                let _ = new.into_raw_fd();
            }
            // The child will write to series that it has not marked.
            None => marks::never_free(&attached.segment),
        }
    }
}

/// What was made ready is the child's, if there is one; else the kernel drops its lock.
extern "C" fn in_parent() {
    if is_outermost() {
        for attached in ATTACHED.iter() {
            attached.disinherit();
            drop(take_bequest(attached));
        }
    }
    end();
}

extern "C" fn in_child() {
    // The thread that installs the handlers may not exist here.
    INSTALLED.store(1, Ordering::Relaxed);
    let is_ready = is_outermost();
    for attached in ATTACHED.iter() {
        step("fork-in-child");
        if let Some(file) = attached.segment.file() {
            follow(attached, file, is_ready);
        }
    }
    end();
    if DEPTH.get() == 0 {
        // It may have been the turn of a thread that does not exist here.
        TURN.store(0, Ordering::Relaxed);
    }
}

/// Takes over what the parent made ready for the child, or makes do without.
fn follow(attached: &Attached, file: &File, is_ready: bool) {
    let bequest = take_bequest(attached);
    if !attached.segment.has_its_file() {
        // Somebody else's file now: it is left alone. The bequest's lock is all that tells of this process.
        bequest.map(File::into_raw_fd);
        return go_without(attached);
    }
    let ready = bequest.as_ref().filter(|_| is_ready);
    if ready.is_some_and(|ready| replace(file, ready).is_some()) {
        step("fork-replaced");
        return attached.inherit();
    }
    attached.disinherit();
    if reopen(file, own_path(file).as_deref()).is_some() {
        attached.stay_untracked();
        return attached.claim_slot();
    }
    // Whatever else it is, the descriptor must not keep the parent's lock.
    if reopen(file, Some(c"/dev/null")).is_none() {
        close(file);
    }
    marks::never_free(&attached.segment);
    go_without(attached);
}

fn go_without(attached: &Attached) {
    attached.give_up_slot(Loss::ForkedWithoutFile);
    attached.stay_untracked();
}

/// The description that was opened for the child.
fn take_bequest(attached: &Attached) -> Option<File> {
    let descriptor = attached.bequest.swap(0, Ordering::Relaxed).checked_sub(1)?;
    let descriptor = i32::try_from(descriptor).ok()?;
    // SAFETY: F2: it is the one that `before` opened, taken once.
    Some(unsafe { File::from_raw_fd(descriptor) })
}

/// The path of an open descriptor, on the stack.
fn own_path(file: &File) -> Option<PathBytes> {
    let mut path = PathBytes([0; 32]);
    write!(&mut path.0[..31], "/proc/self/fd/{}", file.as_raw_fd()).ok()?;
    Some(path)
}

/// A short path that needs no allocation.
struct PathBytes([u8; 32]);

impl std::ops::Deref for PathBytes {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

fn open(path: &CStr) -> Option<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(path, flags, Mode::empty()).ok()?;
    Some(File::from(opened))
}

/// Puts a new description of `path` behind the file's descriptor, and so lets go of the old one's locks.
fn reopen(file: &File, path: Option<&CStr>) -> Option<()> {
    replace(file, &open(path?)?)
}

/// Puts the description `new` behind the file's descriptor.
fn replace(file: &File, new: &File) -> Option<()> {
    // SAFETY: F1; both descriptors are open and stay owned by whom they belong to.
    let replaced = unsafe { libc::dup3(new.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) };
    (replaced >= 0).then_some(())
}

/// Closes a file for good, where there is no descriptor to spare for anything else in its place. It stays in the
/// list; whoever looks sees that it is not the segment's any more.
fn close(file: &File) {
    // SAFETY: F1; nothing in the list is ever dropped, so that nobody closes the number again.
    unsafe { libc::close(file.as_raw_fd()) };
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    use super::*;
    use crate::{Reader, SegmentOptions};

    /// Makes this thread a user that may not open what belongs to others.
    fn lose_privileges() {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
    }

    #[test]
    fn a_child_that_cannot_open_the_file_lets_go_of_its_parents_lock_but_not_of_the_descriptor() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("a.seg");
        let writer = SegmentOptions::new().path(&path).attach().unwrap();
        let mut reader = Reader::attach(&path).unwrap();
        assert!(reader.snapshot().unwrap().processes[0].alive);
        let file = writer.attached().segment.file().unwrap();
        file.set_permissions(PermissionsExt::from_mode(0o000))
            .unwrap();
        let child = std::thread::spawn(move || {
            lose_privileges();
            follow(writer.attached(), file, true);
        });
        child.join().unwrap();
        let kind = file.metadata().unwrap().file_type();
        assert!(kind.is_char_device(), "the descriptor is {kind:?}");
        assert!(!reader.snapshot().unwrap().processes[0].alive);
    }
}
