//! Creating a segment and replacing one of another boot. Files and names are the kernel's: here a word stands
//! for the folder, so that renaming is one step as it is there, and the steps are those of `create`.

use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering, acquire, check, does, one_step, release};

use super::{Bound, join, prove, spawn, words};

/// A folder: its word holds the number of the file that has the name, 0 for none, and above it a bit for each
/// file that has a hidden name.
#[derive(Clone)]
struct Folder {
    name: Arc<[AtomicU64]>,
    headers: [Arc<[AtomicU64]>; 5],
    successor: Arc<[AtomicU64]>,
}

/// The file that is there before a replacement.
const OLD: u64 = 1;
/// The part of the folder's word that is the file with the name.
const NAMED: u64 = 0xff;

/// The bit of a file's hidden name.
fn hidden(file: u64) -> u64 {
    0x100 << file
}

impl Folder {
    fn new() -> Folder {
        Folder {
            name: words(1),
            headers: [words(2), words(2), words(2), words(2), words(2)],
            successor: words(1),
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
        let file = self.name[0].load(acquire("segment name seen")) & NAMED;
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

    /// The folder's word as the kernel sees it: never an old one.
    fn names(&self) -> u64 {
        self.name[0].fetch_add(0, Ordering::AcqRel)
    }

    /// `rename` of a hidden name: false where it is not there.
    fn rename(&self, file: u64) -> bool {
        let mut seen = self.names();
        while seen & hidden(file) != 0 {
            let new = seen & !hidden(file) & !NAMED | file;
            let renamed =
                self.name[0].compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed);
            match renamed {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Replaces the old file unless somebody has; says whether it did.
    fn replace(&self, me: u64) -> bool {
        if self.attach().is_none_or(|(found, _)| found != OLD) {
            return false;
        }
        let successor = &self.successor[0];
        let mut chosen = successor.load(Ordering::Relaxed);
        if chosen == 0 {
            self.fill(me);
            self.name[0].fetch_or(hidden(me), Ordering::Release);
            let offered = one_step("successor chosen", successor);
            let offered = offered.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed);
            chosen = match offered {
                Ok(_) => me,
                Err(chosen) => {
                    self.name[0].fetch_add(hidden(me).wrapping_neg(), Ordering::Relaxed);
                    chosen
                }
            };
        }
        let is_there = || self.names() & NAMED == OLD;
        if !is_there() {
            return false;
        }
        let is_renamed = self.rename(chosen);
        if !is_renamed && check("old segment still has its name", is_there()) {
            let (relaxed, none) = (Ordering::Relaxed, 0);
            let _ = successor.compare_exchange(chosen, none, relaxed, relaxed);
        }
        is_renamed
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

/// Of those that replace a segment of another boot one does: the others' processes would write to a file
/// without a name.
fn a_segment_is_replaced_once() {
    let folder = Folder::new();
    folder.fill(OLD);
    folder.name[0].store(OLD, Ordering::Relaxed);
    let others = [2, 3].map(|file| {
        let folder = folder.clone();
        spawn(move || folder.replace(file))
    });
    let mine = folder.replace(4);
    let replaced = join(others).into_iter().chain([mine]);
    assert_eq!(replaced.filter(|is_replaced| *is_replaced).count(), 1);
    let (_, header) = folder.attach().unwrap();
    assert_eq!(header[0], header[1]);
    let hidden = folder.name[0].load(Ordering::Relaxed) & !NAMED;
    assert_eq!(hidden, 0, "a hidden name is left");
}

#[test]
fn replacement() {
    prove(
        Bound::Preemptions,
        a_segment_is_replaced_once,
        &["successor chosen", "old segment still has its name"],
    );
}
