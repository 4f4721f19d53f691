//! The file in which worker threads acknowledge their updates: a shared mapping apart from the segment.
#![expect(unsafe_code, reason = "words of a shared mapping")]
#![expect(
    clippy::disallowed_types,
    reason = "the words must not be the ones under test"
)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// One word a cache line, so that acknowledging does not slow the neighbours.
const STRIDE: usize = 64;

/// Word 0 asks the workers to stop, word 1 is for the controls, the rest belong to the threads.
const THREADS_FROM: usize = 2;

/// A file of 64-bit words, mapped by the test and by all its workers.
#[derive(Debug)]
pub struct AckFile {
    map: MmapRaw,
}

impl AckFile {
    /// A new file with words for `threads` threads, all zero.
    ///
    /// # Errors
    /// When the file cannot be made or mapped.
    pub fn create(path: &Path, threads: usize) -> io::Result<AckFile> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(((THREADS_FROM + threads) * STRIDE) as u64)?;
        Ok(AckFile {
            map: MmapOptions::new().map_raw(&file)?,
        })
    }

    /// An existing file.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<AckFile> {
        let file = File::options().read(true).write(true).open(path)?;
        Ok(AckFile {
            map: MmapOptions::new().map_raw(&file)?,
        })
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        let offset = index * STRIDE;
        assert!(offset < self.map.len(), "word {index} is beyond the file");
        // SAFETY: the offset was just seen to be inside the mapping, and so is the whole word, since the
        // mapping is a multiple of the stride.
        let word = unsafe { self.map.as_mut_ptr().add(offset) };
        // SAFETY: a mapping begins at a page, so the word is aligned; it lives as long as `self`; every
        // process accesses it as an atomic only.
        unsafe { AtomicU64::from_ptr(word.cast()) }
    }

    /// How many updates `thread` has acknowledged.
    pub fn acked(&self, thread: usize) -> u64 {
        self.word(THREADS_FROM + thread).load(Ordering::Acquire)
    }

    /// Acknowledges that `thread` has made `updates` updates.
    pub fn acknowledge(&self, thread: usize, updates: u64) {
        // Compiler and CPU keep this after the update: both are stores of one thread.
        self.word(THREADS_FROM + thread)
            .store(updates, Ordering::Release);
    }

    /// Asks every worker to stop after its current update.
    pub fn stop(&self) {
        self.word(0).store(1, Ordering::Relaxed);
    }

    /// Whether the workers were asked to stop.
    pub fn stopped(&self) -> bool {
        self.word(0).load(Ordering::Relaxed) != 0
    }

    /// Adds one to the control word as no engine may do it: load, add, store.
    pub fn add_without_atomicity(&self) {
        let word = self.word(1);
        word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The control word.
    pub fn control(&self) -> u64 {
        self.word(1).load(Ordering::Acquire)
    }
}
