//! A segment in this process's memory: mapped or on the heap, seen as atomic words.
//!
//! Unsafe code here rests on these invariants:
//!
//! - **S1** A mapping is `layout.words * 8` bytes long, page-aligned, and lives as long as its `Segment`.
//! - **S2** Shared memory is only ever seen as `AtomicU64`, so another process may change any word at any
//!   time. No reference to plain shared bytes is formed.
//! - **S3** A read-only mapping is never written: only [`crate::reader`] makes one, and it only loads.
//! - **S4** An all-zero `AtomicU64` is valid.
//! - **S5** Pages are let go of a mapping of the file only, which has their words still; never of a copy.
#![cfg_attr(
    not(all(test, loom)),
    expect(
        unsafe_code,
        reason = "casting mapped memory to atomic words is done here only"
    )
)]

use std::fs::File;
#[cfg(not(all(test, loom)))]
use std::path::Path;
use std::path::PathBuf;

use crate::claim;
use crate::error::Error;
#[cfg(not(all(test, loom)))]
use crate::fault;
use crate::layout::{Extent, Identity, Layout, PAGE_WORDS, Section, header, sink, to_usize};
pub(crate) use crate::looked::Memory;
use crate::loss::Loss;
use crate::proof::step;
use crate::sync::{AtomicU64, Ordering, one_step};

/// Least memory taken at a time, in words: 64 KiB.
const COMMIT_WORDS: u64 = 16 * PAGE_WORDS as u64;

/// A segment in memory.
pub(crate) struct Segment {
    pub(crate) layout: Layout,
    pub(crate) identity: Identity,
    pub(crate) path: PathBuf,
    /// Whether it was created since the last boot.
    pub(crate) this_boot: bool,
    /// `'static` only in its type: S1 ties it to `mapping`, and nothing hands it out beyond `self`.
    words: &'static [AtomicU64],
    mapping: Option<Mapping>,
    /// What is read, of a segment attached for reading; a writer trusts the marks.
    memory: Option<Memory>,
}

/// What keeps the words of a mapped segment alive.
struct Mapping {
    /// Dropped first: it watches the mapping only while there is one.
    #[cfg(not(all(test, loom)))]
    guard: Option<fault::Guard>,
    #[cfg(not(all(test, loom)))]
    map: memmap2::MmapRaw,
    /// Whether it is of the file, and no private copy.
    #[cfg(not(all(test, loom)))]
    is_shared: bool,
    file: File,
    inode: (u64, u64),
}

/// What tells the file from any other: device and inode.
#[cfg(not(all(test, loom)))]
fn inode_of(file: &File) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map(|found| (found.dev(), found.ino()))
}

impl Segment {
    /// A segment on the heap, for tests, models and programs without a file. Its memory is never freed,
    /// like that of a segment that is attached for writing.
    pub(crate) fn heap(layout: Layout, identity: Identity) -> Segment {
        let segment = Segment {
            words: zeroed_words(layout.words),
            layout,
            identity,
            path: PathBuf::new(),
            this_boot: true,
            mapping: None,
            memory: None,
        };
        segment
            .initialise()
            .expect("a heap segment needs no reservation");
        segment
    }

    /// The same heap segment again.
    pub(crate) fn share_heap(&self) -> Segment {
        assert!(
            self.mapping.is_none(),
            "the words of a mapping are tied to one segment"
        );
        let (layout, path) = (self.layout.clone(), self.path.clone());
        Segment {
            layout,
            path,
            identity: self.identity,
            this_boot: true,
            words: self.words,
            mapping: None,
            memory: None,
        }
    }

    /// Maps a file that `create` has made or checked.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn map(
        file: File,
        path: &Path,
        layout: Layout,
        identity: Identity,
        writable: bool,
    ) -> Result<Segment, Error> {
        let mut options = memmap2::MmapOptions::new();
        options.len(layout.words * 8);
        let map = if writable {
            options.map_raw(&file)
        } else {
            options.map_raw_read_only(&file)
        };
        let io = |source| Error::Io {
            action: "map",
            path: path.into(),
            source,
        };
        let map = map.map_err(|error| Error::unmapped(path, layout.words * 8, error))?;
        // Or a host with huge tmpfs pages takes 2 MiB for every shard. Kernels without them refuse.
        let _ = map.advise(memmap2::Advice::NoHugePage);
        let boot_id = crate::host::boot_id().map_err(io)?;
        let this_boot = identity.boot_id == boot_id;
        // SAFETY: S1: both go into the same `Segment`.
        let words = unsafe { words_of(&map, layout.words) };
        // The mapping pins the description it was made from, and a forked child inherits the mapping: a lock
        // of that description would outlive its process. So locks go to a description of their own.
        let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let file = File::options()
            .read(true)
            .write(writable)
            .open(own)
            .map_err(io)?;
        let inode = inode_of(&file).map_err(io)?;
        step("segment-mapped");
        let mapping = Some(Mapping {
            guard: fault::watch(words, writable),
            map,
            is_shared: true,
            file,
            inode,
        });
        Ok(Segment {
            layout,
            identity,
            path: path.into(),
            this_boot,
            words,
            mapping,
            memory: (!writable).then(Memory::default),
        })
    }

    /// The same segment in private memory, all zeros: room for a copy.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn blank(&self) -> std::io::Result<Segment> {
        let mut options = memmap2::MmapOptions::new();
        let options = options.len(self.layout.words * 8).no_reserve_swap();
        let map = memmap2::MmapRaw::from(options.map_anon()?);
        let _ = map.advise(memmap2::Advice::NoHugePage);
        // SAFETY: S1: both go into the same `Segment`, or neither does.
        let words = unsafe { words_of(&map, self.layout.words) };
        let mapping = match &self.mapping {
            Some(Mapping { file, inode, .. }) => Some(Mapping {
                guard: None,
                map,
                is_shared: false,
                file: file.try_clone()?,
                inode: *inode,
            }),
            None => return Ok(self.share_heap()),
        };
        Ok(Segment {
            layout: self.layout.clone(),
            identity: self.identity,
            path: self.path.clone(),
            this_boot: self.this_boot,
            words,
            mapping,
            memory: Some(Memory::default()),
        })
    }

    /// Writes the header and commits what every writer touches: the indexes, the process table, the sinks.
    pub(crate) fn initialise(&self) -> Result<(), Error> {
        self.reserve("header", 0, header::WORDS as u64)?;
        for whole in [
            Section::Processes,
            Section::FamilyIndex,
            Section::SeriesIndex,
        ] {
            self.commit(whole, self.extent(whole).words as u64)?;
        }
        self.commit_run(
            self.layout.sink_run(),
            self.extent(Section::ProcessCells).capacity,
        )?;
        self.commit(
            Section::Counters,
            (PAGE_WORDS * self.layout.shards()) as u64,
        )?;
        step("segment-committed");
        self.next(Section::Counters)
            .store(sink::CELLS as u64, Ordering::Relaxed);
        // Cell or exemplar 0 means "none".
        self.next(Section::Exemplars).store(1, Ordering::Relaxed);
        self.next(Section::ProcessCells).store(1, Ordering::Relaxed);
        self.next(Section::SharedCells).store(1, Ordering::Relaxed);
        self.commit(Section::SharedCells, 1)?;
        let words = self.layout.header_words(&self.identity);
        for (word, value) in self.words().iter().zip(words) {
            // Relaxed: the segment has no name yet; linking it is a system call.
            word.store(value, Ordering::Relaxed);
            step("header-word-stored");
        }
        Ok(())
    }

    /// Every word of the segment.
    #[inline(always)]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        self.words
    }

    /// The file, of a mapped segment.
    pub(crate) fn file(&self) -> Option<&File> {
        self.mapping.as_ref().map(|mapping| &mapping.file)
    }

    /// Device and inode of a mapped segment's file.
    pub(crate) fn inode(&self) -> Option<(u64, u64)> {
        self.mapping.as_ref().map(|mapping| mapping.inode)
    }

    /// Whether the descriptor still is the segment's file: a program that closes descriptors it does not
    /// know may have given the number to another.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn has_its_file(&self) -> bool {
        self.file()
            .is_some_and(|file| inode_of(file).ok() == self.inode())
    }

    /// Whether every page that this process used was there.
    pub(crate) fn check_pages(&self) -> Result<(), Error> {
        #[cfg(not(all(test, loom)))]
        if let Some(Mapping {
            guard: Some(guard), ..
        }) = &self.mapping
            && guard.has_faulted()
        {
            return Err(
                self.changed("a page of it could not be had; remove it, and restart its writers")
            );
        }
        Ok(())
    }

    /// Whether the file still is the one that was mapped, whole, and every page was there.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn check(&self) -> Result<(), Error> {
        use std::os::unix::fs::MetadataExt;
        let Some(mapping) = &self.mapping else {
            return Ok(());
        };
        let io = |source| Error::Io {
            action: "find the open descriptor of",
            path: self.path.clone(),
            source,
        };
        let found = mapping.file.metadata().map_err(io)?;
        if (found.dev(), found.ino()) != mapping.inode {
            return Err(io(nix::errno::Errno::EBADF.into()));
        }
        if found.len() < self.layout.words as u64 * 8 {
            return Err(self.changed("the file was truncated; remove it, and restart its writers"));
        }
        self.check_pages()
    }

    pub(crate) fn changed(&self, reason: &str) -> Error {
        Error::Changed {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }

    pub(crate) fn extent(&self, section: Section) -> Extent {
        self.layout.extent(section)
    }

    /// The words of a section.
    pub(crate) fn section(&self, section: Section) -> &[AtomicU64] {
        let extent = self.extent(section);
        &self.words()[extent.offset..extent.offset + extent.words]
    }

    /// The words of a section that have memory: for a reader, that had it when it last looked.
    pub(crate) fn committed_words(&self, section: Section) -> &[AtomicU64] {
        let words = self.section(section);
        let known = match &self.memory {
            Some(memory) => memory.known(section),
            None => to_usize(claim::committed(self.committed(section))),
        };
        &words[..known.min(words.len())]
    }

    /// How many of a process's own cells have memory.
    pub(crate) fn committed_run(&self, slot: u32, mark: &AtomicU64) -> usize {
        let known = match &self.memory {
            Some(memory) => memory.known_run(slot),
            None => to_usize(claim::committed(mark)),
        };
        known.min(self.layout.process_run(slot).1)
    }

    /// How many words of a process's marks have memory.
    pub(crate) fn committed_marks(&self, slot: u32, mark: &AtomicU64) -> usize {
        match &self.memory {
            Some(memory) => memory.known_marks(slot),
            None => to_usize(claim::committed(mark)),
        }
    }

    /// What a reader found to have memory.
    pub(crate) fn memory(&mut self) -> &mut Memory {
        self.memory.get_or_insert_default()
    }

    /// The words of entry `index` of a table of `size`-word entries; `None` beyond its capacity, and for a
    /// reader beyond what has memory.
    pub(crate) fn entry(&self, section: Section, index: u32, size: usize) -> Option<&[AtomicU64]> {
        if u64::from(index) >= self.extent(section).capacity {
            return None;
        }
        let words = match self.memory {
            Some(_) => self.committed_words(section),
            None => self.section(section),
        };
        words.get(index as usize * size..(index as usize + 1) * size)
    }

    /// Lets go of the pages of a section: who looks there again gets them from the file.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn let_go(&self, section: Section) {
        let Some(mapping) = self.mapping.as_ref().filter(|it| it.is_shared) else {
            return;
        };
        let Extent { offset, words, .. } = self.extent(section);
        let (unused, map) = (memmap2::UncheckedAdvice::DontNeed, &mapping.map);
        // SAFETY: S5: the mapping is shared with the file, so that its words stay what they are.
        let _ = unsafe { map.unchecked_advise_range(unused, offset * 8, words * 8) };
    }

    /// The next free entry of a table.
    pub(crate) fn next(&self, section: Section) -> &AtomicU64 {
        &self.words()[header::NEXT + section as usize]
    }

    /// How many words of a section have memory.
    pub(crate) fn committed(&self, section: Section) -> &AtomicU64 {
        &self.words()[header::COMMITTED + section as usize]
    }

    /// What this boot's processes found out about restartable sequences.
    pub(crate) fn self_test(&self) -> &AtomicU64 {
        &self.words()[header::SELF_TEST]
    }

    /// The instance that shall replace this segment of another boot, 0 for none yet.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn successor(&self) -> &AtomicU64 {
        &self.words()[header::SUCCESSOR]
    }

    /// Counts a loss.
    pub(crate) fn count_loss(&self, loss: Loss) {
        let count = &self.words()[header::LOSSES + loss as usize];
        one_step("loss counted", count).fetch_add(1, Ordering::Relaxed);
    }

    /// Takes memory for the first `needed` words of a section.
    pub(crate) fn commit(&self, section: Section, needed: u64) -> Result<(), Error> {
        let extent = self.extent(section);
        let most = extent.words as u64;
        let generous = needed.next_multiple_of(COMMIT_WORDS).min(most);
        let exact = needed.next_multiple_of(PAGE_WORDS as u64).min(most);
        claim::commit(self.committed(section), needed, |from| {
            let offset = extent.offset as u64 + from;
            match self.reserve(section.name(), offset, generous - from) {
                Ok(()) => Ok(generous),
                Err(_) => self
                    .reserve(section.name(), offset, exact - from)
                    .map(|()| exact),
            }
        })
    }

    /// Takes memory for the first `cells` of a process's own cells.
    pub(crate) fn commit_run(&self, slot: u32, cells: u64) -> Result<(), Error> {
        let (offset, run) = self.layout.process_run(slot);
        let cells = cells.next_multiple_of(PAGE_WORDS as u64).min(run as u64);
        self.reserve(Section::ProcessCells.name(), offset as u64, cells)
    }

    /// Takes memory for a range of the file, so that no later access can fail for want of it.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn reserve(
        &self,
        what: &'static str,
        offset_words: u64,
        words: u64,
    ) -> Result<(), Error> {
        use nix::errno::Errno;
        use nix::fcntl::{FallocateFlags, fallocate};
        let Some(file) = self.file() else {
            return Ok(());
        };
        // Also because taking memory beyond the end would be held against the process's file-size limit.
        self.check()?;
        let bytes = words * 8;
        let position = |bytes: u64| i64::try_from(bytes).expect("a segment is below 2^63 bytes");
        loop {
            let flags = FallocateFlags::FALLOC_FL_KEEP_SIZE;
            match fallocate(file, flags, position(offset_words * 8), position(bytes)) {
                Ok(()) => {
                    step("memory-reserved");
                    return Ok(());
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ENOSPC) => {
                    return Err(Error::NoSpace {
                        path: self.path.clone(),
                        section: what,
                        bytes,
                    });
                }
                Err(errno) => {
                    return Err(Error::Io {
                        action: "reserve memory in",
                        path: self.path.clone(),
                        source: errno.into(),
                    });
                }
            }
        }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn reserve(&self, _: &'static str, _: u64, _: u64) -> Result<(), Error> {
        Ok(())
    }
}

/// The words of a mapping.
///
/// # Safety
/// Whoever keeps the words keeps the mapping.
#[cfg(not(all(test, loom)))]
unsafe fn words_of(map: &memmap2::MmapRaw, count: usize) -> &'static [AtomicU64] {
    let first = map.as_ptr().cast::<AtomicU64>();
    assert!(count * 8 <= map.len(), "a mapping holds its segment");
    // SAFETY: S1: the mapping holds that many words and the caller keeps it; S2: they are atomic; S3: whoever has
    // them from a read-only mapping only loads.
    unsafe { std::slice::from_raw_parts(first, count) }
}

#[cfg(not(all(test, loom)))]
fn zeroed_words(count: usize) -> &'static [AtomicU64] {
    Box::leak(private_words(count))
}

#[cfg(all(test, loom))]
pub(crate) use crate::models::atomic::{private_words, segment_words as zeroed_words};

/// So many words of the process's own, which take pages only where they are written.
#[cfg(not(all(test, loom)))]
pub(crate) fn private_words(count: usize) -> Box<[AtomicU64]> {
    let words = Box::<[AtomicU64]>::new_zeroed_slice(count);
    // SAFETY: S4: the words are zeroed, and zero is a valid atomic.
    unsafe { words.assume_init() }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
