//! Creating a segment and replacing one of another boot. Files, links and locks are the kernel's: here a word
//! stands for the name, one for each lock, and the steps are those of `create`.

use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering, acquire, check, does, one_step, release};

use super::{Bound, prove, spawn, words};

/// A folder: the name's word holds the number of the file it names, 0 for none.
#[derive(Clone)]
struct Folder {
    name: Arc<[AtomicU64]>,
    headers: [Arc<[AtomicU64]>; 4],
    locks: Arc<[AtomicU64]>,
}

/// The file that is there before a replacement.
const OLD: u64 = 1;

impl Folder {
    fn new() -> Folder {
        Folder {
            name: words(1),
            headers: [words(2), words(2), words(2), words(2)],
            locks: words(4),
        }
    }

    fn header(&self, file: u64) -> &[AtomicU64] {
        &self.headers[usize::try_from(file).unwrap()]
    }

    fn fill(&self, file: u64) {
        let fill = |word: &AtomicU64| word.store(file + 10, Ordering::Relaxed);
        self.header(file).iter().for_each(fill);
    }

    /// The segment that has the name: its file and its header.
    fn attach(&self) -> Option<(u64, [u64; 2])> {
        let file = self.name[0].load(acquire("segment name seen"));
        let header = [0, 1].map(|word| self.header(file)[word].load(Ordering::Relaxed));
        (file > 0).then_some((file, header))
    }

    /// `link`: one step that gives the name, or says that it is taken.
    fn link(&self, file: u64) {
        let _ = one_step("segment named", &self.name[0]).compare_exchange(
            0,
            file,
            release("segment link"),
            Ordering::Relaxed,
        );
    }

    fn create_or_attach(&self, me: u64) -> (u64, [u64; 2]) {
        if let Some(found) = self.attach() {
            return found;
        }
        self.fill(me);
        self.link(me);
        if does("winner attached") {
            return self.attach().expect("somebody has linked a segment");
        }
        (me, [me + 10; 2])
    }

    /// Replaces the old file unless somebody has; says whether it did.
    fn replace(&self, me: u64) -> bool {
        let Some((found, _)) = self.attach() else {
            return false;
        };
        let lock = &self.locks[usize::try_from(found).unwrap()];
        let locked = lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        if found != OLD || !check("old segment locked", locked.is_ok()) {
            return false;
        }
        let is_same = self.name[0].load(Ordering::Acquire) == found;
        let replaces = check("old segment has its name", is_same);
        if replaces {
            self.fill(me);
            self.name[0].store(me, Ordering::Release);
        }
        lock.store(0, Ordering::Release);
        replaces
    }
}

/// Whoever attaches, at whatever moment, sees one and the same whole header.
fn segments_are_whole() {
    let folder = Folder::new();
    let other = folder.clone();
    let other = spawn(move || other.create_or_attach(1));
    let is_whole = |(file, header): (u64, [u64; 2])| header == [file + 10; 2];
    let early = folder.attach();
    assert!(early.is_none_or(is_whole), "a half-made segment has a name");
    let mine = folder.create_or_attach(2);
    let theirs = other.join().unwrap();
    assert_eq!(mine, theirs);
    assert!(is_whole(mine));
}

#[test]
fn creation() {
    prove(
        Bound::Exhaustive,
        segments_are_whole,
        &[
            "segment link",
            "segment name seen",
            "segment named",
            "winner attached",
        ],
    );
}

/// Of two that replace a segment of another boot, one does: the other's processes would write to a file
/// without a name.
fn a_segment_is_replaced_once() {
    let folder = Folder::new();
    folder.fill(OLD);
    folder.name[0].store(OLD, Ordering::Relaxed);
    let other = folder.clone();
    let other = spawn(move || other.replace(2));
    let mine = folder.replace(3);
    assert!(!(mine && other.join().unwrap()), "replaced twice");
    let (_, header) = folder.attach().unwrap();
    assert_eq!(header[0], header[1]);
}

#[test]
fn replacement() {
    prove(
        Bound::Exhaustive,
        a_segment_is_replaced_once,
        &["old segment locked", "old segment has its name"],
    );
}
