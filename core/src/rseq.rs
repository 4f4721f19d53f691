//! The restartable add: one plain add on the CPU's own shard, which the kernel undoes by restarting if the
//! thread is preempted, migrated or signalled before it commits
//! (<https://www.kernel.org/doc/html/latest/userspace-api/rseq.html>).
//!
//! The simple version is `shards[cpu()] += n`. The real one departs from it in three ways:
//!
//! 1. CPU number and add are one sequence that the kernel either lets finish or aborts. The commit is a
//!    single store, so a thread killed anywhere leaves a whole cell.
//! 2. The CPU number is compared with the shard count inside the sequence. The one branch covers
//!    unregistered threads (the number is then 2³² − 1 or − 2), hot-plugged CPUs and foreign layouts.
//! 3. An abort leaves the sequence for good: the caller adds atomically to a fallback shard. So every
//!    update is wait-free, and a debugger that steps through the sequence makes progress.
//!
//! Unsafe code here rests on these invariants:
//!
//! - **R1** [`ShardedCells`] covers its whole run: `cell + (cpus + fallbacks - 1) * stride` lies inside for
//!   every cell up to the geometry's `last`. Checked where one is made; geometries do not change.
//! - **R2** The sequence writes nothing but `rseq_cs` of the thread's own area and one cell.
//! - **R3** The offset of the area is only non-zero after the C library reported a registered area, whose
//!   place relative to the thread pointer never changes while the process runs.
//! - **R4** The descriptor and the code it names are never unmapped: a shared object with this code pins itself
//!   before the first sequence (`rseq_pin.rs`).
//! - **R5** What is asked of the loader and the kernel changes nothing but what it says: symbols are null or
//!   constants of the C library, an object is found by an address in it, and one that is pinned is never let go.
#![cfg_attr(
    restartable,
    expect(unsafe_code, reason = "a restartable sequence is written in assembly")
)]

use crate::layout::{PAGE_BYTES, to_usize};
use crate::recording::Recording;
use crate::sync::{AtomicU64, Ordering, in_order, one_step, release};

/// How the shards of some neighbouring cells lie: CPU shards first, then fallback shards.
///
/// Implementations answer the same for ever.
pub(crate) trait Geometry: Copy {
    /// The last cell of a shard.
    fn last(&self) -> usize;
    /// From a cell of one shard to that of the next.
    fn stride_bytes(&self) -> u64;
    /// Shards written by restartable sequences.
    fn cpus(&self) -> u32;
    /// Shards written by atomic additions, at least one.
    fn fallbacks(&self) -> u32;
}

/// The geometry of one counter: a cell in every page of its block.
#[derive(Clone, Copy)]
pub(crate) struct OneCell {
    pub(crate) cpus: u32,
    pub(crate) fallbacks: u32,
}

impl Geometry for OneCell {
    #[inline(always)]
    fn last(&self) -> usize {
        0
    }
    #[inline(always)]
    fn stride_bytes(&self) -> u64 {
        PAGE_BYTES
    }
    #[inline(always)]
    fn cpus(&self) -> u32 {
        self.cpus
    }
    #[inline(always)]
    fn fallbacks(&self) -> u32 {
        self.fallbacks
    }
}

/// What the sequences of one update share: loaded once.
#[derive(Clone, Copy)]
struct Here {
    #[cfg(restartable)]
    cpus: u32,
    #[cfg(restartable)]
    stride: u64,
    /// Offset of the thread's area; 0 while recording goes to the fallback shards.
    #[cfg(restartable)]
    area: u64,
}

/// Some neighbouring cells in every shard.
#[derive(Clone, Copy)]
pub(crate) struct ShardedCells<G> {
    words: &'static [AtomicU64],
    geometry: G,
}

impl<G: Geometry> ShardedCells<G> {
    /// The cells from the start of `words`; `None` where `words` does not cover every shard.
    pub(crate) fn new(words: &'static [AtomicU64], geometry: G) -> Option<ShardedCells<G>> {
        let shards = geometry.cpus() as usize + geometry.fallbacks() as usize;
        let stride = to_usize(geometry.stride_bytes() / 8);
        let needed = shards
            .checked_sub(1)?
            .checked_mul(stride)?
            .checked_add(geometry.last())?
            .checked_add(1)?;
        let words = words.get(..needed)?;
        let is_whole = geometry.fallbacks() > 0 && stride > 0;
        (is_whole && geometry.stride_bytes().is_multiple_of(8))
            .then_some(ShardedCells { words, geometry })
    }

    pub(crate) fn geometry(&self) -> &G {
        &self.geometry
    }

    fn stride_words(&self) -> usize {
        to_usize(self.geometry.stride_bytes() / 8)
    }

    /// The sum of one cell over all shards.
    pub(crate) fn sum(&self, cell: usize) -> u64 {
        let shards = self.words[cell..].iter().step_by(self.stride_words());
        shards.fold(0, |sum, word| {
            sum.wrapping_add(word.load(Ordering::Relaxed))
        })
    }

    /// The sum of one cell of floats over all shards.
    pub(crate) fn sum_f64(&self, cell: usize) -> f64 {
        let shards = self.words[cell..].iter().step_by(self.stride_words());
        shards
            .map(|word| f64::from_bits(word.load(Ordering::Relaxed)))
            .sum()
    }

    /// Adds to the cell at `cell`, wrapping; a cell beyond the last means the last.
    #[inline(always)]
    pub(crate) fn add(&self, cell: usize, n: u64) {
        self.add_here::<false>(self.here(), cell, n);
    }

    /// Adds to two cells, one after the other: a process killed between leaves the second as it was, and who
    /// sees the second add sees the first. Pairs with the Acquire of a histogram's sums in `values`.
    #[inline(always)]
    pub(crate) fn add_two(&self, first: (usize, u64), second: (usize, u64)) {
        let here = self.here();
        let (first, second) = in_order("bucket before sum", first, second);
        self.add_here::<false>(here, first.0, first.1);
        self.add_here::<true>(here, second.0, second.1);
    }

    /// Adds to the cell of floats at `cell`; a cell beyond the last means the last.
    #[inline(always)]
    pub(crate) fn add_f64(&self, cell: usize, n: f64) {
        let cell = cell.min(self.geometry.last());
        #[cfg(restartable)]
        {
            let here = self.here();
            let Here { cpus, stride, area } = here;
            #[cfg(tachograph_proof)]
            if self.add_by_fault(
                here,
                cell,
                |sum| (f64::from_bits(sum) + n).to_bits(),
                // SAFETY: R1 and R3, as below.
                || unsafe { arch::add_f64(self.at(cell), cpus, stride, area, n) },
            ) {
                return;
            }
            // SAFETY: R1 and R3, as in `add_here`.
            if area != 0 && unsafe { arch::add_f64(self.at(cell), cpus, stride, area, n) } {
                return;
            }
        }
        self.add_f64_fallback(cell, n);
    }

    #[inline(always)]
    fn here(&self) -> Here {
        Here {
            #[cfg(restartable)]
            cpus: self.geometry.cpus(),
            #[cfg(restartable)]
            stride: self.geometry.stride_bytes(),
            #[cfg(restartable)]
            area: area_offset(),
        }
    }

    #[inline(always)]
    #[cfg_attr(
        not(restartable),
        expect(unused_variables, reason = "there is no sequence")
    )]
    fn add_here<const RELEASE: bool>(&self, here: Here, cell: usize, n: u64) {
        let cell = cell.min(self.geometry.last());
        #[cfg(restartable)]
        {
            let Here { cpus, stride, area } = here;
            #[cfg(tachograph_proof)]
            if self.add_by_fault(
                here,
                cell,
                |sum| sum.wrapping_add(n),
                // SAFETY: R1 and R3, as below.
                || unsafe { arch::add::<RELEASE>(self.at(cell), cpus, stride, area, n) },
            ) {
                return;
            }
            // SAFETY: R1: `cell` is at most the last of a shard; R3: a non-zero offset is a registered area.
            if area != 0 && unsafe { arch::add::<RELEASE>(self.at(cell), cpus, stride, area, n) } {
                return;
            }
        }
        self.add_fallback(cell, n);
    }

    #[inline(always)]
    fn add_fallback(&self, cell: usize, n: u64) {
        add_fallback(self.words, self.fallback_shards(), cell, n);
    }

    #[inline(always)]
    fn add_f64_fallback(&self, cell: usize, n: f64) {
        add_f64_fallback(self.words, self.fallback_shards(), cell, n);
    }

    /// Taken apart, so that a handle that was just looked up or copied stays in registers.
    #[inline(always)]
    fn fallback_shards(&self) -> FallbackShards {
        FallbackShards {
            first: self.geometry.cpus(),
            count: self.geometry.fallbacks(),
            stride_bytes: self.geometry.stride_bytes(),
        }
    }

    #[cfg(restartable)]
    #[inline(always)]
    fn at(&self, cell: usize) -> *const AtomicU64 {
        self.words.as_ptr().wrapping_add(cell)
    }
}

/// Which shards atomic additions go to.
#[derive(Clone, Copy)]
struct FallbackShards {
    first: u32,
    count: u32,
    stride_bytes: u64,
}

impl FallbackShards {
    /// A thread keeps to one fallback shard, so that threads meet rarely.
    fn cell(self, words: &[AtomicU64], cell: usize) -> &AtomicU64 {
        let shard = self.first as usize + thread_number() % self.count as usize;
        &words[shard * to_usize(self.stride_bytes / 8) + cell]
    }
}

#[cold]
#[inline(never)]
fn add_fallback(words: &[AtomicU64], shards: FallbackShards, cell: usize, n: u64) {
    // Release: who sees the sum of a record sees its bucket. Pairs with the Acquire in `values`.
    one_step("fallback add", shards.cell(words, cell)).fetch_add(n, release("fallback order"));
}

#[cold]
#[inline(never)]
fn add_f64_fallback(words: &[AtomicU64], shards: FallbackShards, cell: usize, n: f64) {
    add_f64_atomic(shards.cell(words, cell), n);
}

/// Adds to a float in one word by compare-and-swap.
pub(crate) fn add_f64_atomic(word: &AtomicU64, n: f64) {
    let mut seen = word.load(Ordering::Relaxed);
    loop {
        let sum = (f64::from_bits(seen) + n).to_bits();
        let added = one_step("float add", word).compare_exchange_weak(
            seen,
            sum,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        match added {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// A number that differs between most threads and costs no system call: where the thread's storage lies.
fn thread_number() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    // Threads' storage lies whole pages apart; the multiplication spreads what is left.
    HERE.with(|here| (std::ptr::from_ref(here).addr() >> 12).wrapping_mul(0x9e37_79b9) >> 8)
}

/// How this process records, and why.
#[cfg(not(restartable))]
pub(crate) fn recording(_verdict: Option<&AtomicU64>) -> Recording {
    Recording::FallbackTarget
}

#[cfg(restartable)]
use detect::area_offset;
#[cfg(restartable)]
pub(crate) use detect::recording;

/// Finds the thread's area, once a process.
#[cfg(restartable)]
mod detect {
    use super::{Ordering, Recording, arch};
    use once_cell::race::OnceBox;

    use crate::sync::AtomicU64;

    /// Offset of the area from the thread pointer; 0 while recording goes to the fallback shards.
    static AREA_OFFSET: AtomicU64 = AtomicU64::new(0);

    #[inline(always)]
    pub(super) fn area_offset() -> u64 {
        AREA_OFFSET.load(Ordering::Relaxed)
    }

    /// How this process records, and why. Decided at the first call; `verdict` is the segment's word for
    /// what another process of this boot found out.
    pub(crate) fn recording(verdict: Option<&AtomicU64>) -> Recording {
        // Set without a lock: a child forked while another thread decides must not wait for it.
        static DECIDED: OnceBox<Recording> = OnceBox::new();
        *DECIDED.get_or_init(|| {
            #[cfg(not(target_feature = "crt-static"))]
            super::pin::pin();
            let decision = decide(verdict);
            if let Ok(offset) = decision {
                AREA_OFFSET.store(offset, Ordering::Relaxed);
            }
            Box::new(decision.err().unwrap_or(Recording::RestartableSequences))
        })
    }

    /// The offset of a registered and working area, or why there is none.
    fn decide(verdict: Option<&AtomicU64>) -> Result<u64, Recording> {
        let (offset, size) = arch::library_area().ok_or(Recording::FallbackLibrary)?;
        // The C library reports size 0 where registration failed; the area of a thread that is not
        // registered names no CPU.
        if size == 0 || offset == 0 || arch::cpu_id(offset) >= 1 << 16 {
            return Err(Recording::FallbackUnregistered);
        }
        if !arch::NEEDS_SELF_TEST {
            return Ok(offset);
        }
        match passes_self_test(offset, verdict) {
            Some(true) => Ok(offset),
            Some(false) => Err(Recording::FallbackSelfTest),
            None => Err(Recording::FallbackUntested),
        }
    }

    /// The self-test takes some scheduler ticks, so that one process does it for all.
    fn passes_self_test(offset: u64, verdict: Option<&AtomicU64>) -> Option<bool> {
        const PASSED: u64 = 1;
        const FAILED: u64 = 2;
        match verdict.map(|word| word.load(Ordering::Relaxed)) {
            Some(PASSED) => Some(true),
            Some(FAILED) => Some(false),
            _ => {
                let passed = arch::self_test(offset)?;
                // Only what is certain is told to others.
                if let Some(word) = verdict {
                    word.store(if passed { PASSED } else { FAILED }, Ordering::Relaxed);
                }
                Some(passed)
            }
        }
    }
}

#[cfg(all(restartable, target_arch = "aarch64"))]
#[path = "rseq_aarch64.rs"]
mod arch;
#[cfg(all(restartable, target_arch = "x86_64"))]
#[path = "rseq_x86_64.rs"]
mod arch;

#[cfg(all(restartable, not(target_feature = "crt-static")))]
#[path = "rseq_pin.rs"]
mod pin;

#[cfg(all(restartable, tachograph_proof))]
#[path = "rseq_storm.rs"]
mod storm;

#[cfg(all(restartable, tachograph_proof))]
pub use storm::{PlantedFault, aborted_sequences, lengthen_sequences};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::layout::PAGE_WORDS;

    #[derive(Clone, Copy)]
    struct Wide {
        cells: usize,
        pages: u64,
        shards: (u32, u32),
    }

    impl Geometry for Wide {
        fn last(&self) -> usize {
            self.cells - 1
        }
        fn stride_bytes(&self) -> u64 {
            self.pages * PAGE_BYTES
        }
        fn cpus(&self) -> u32 {
            self.shards.0
        }
        fn fallbacks(&self) -> u32 {
            self.shards.1
        }
    }

    fn words(count: usize) -> &'static [AtomicU64] {
        (0..count)
            .map(|_| AtomicU64::new(0))
            .collect::<Vec<_>>()
            .leak()
    }

    fn cells(cells: usize, pages: u64, shards: (u32, u32)) -> ShardedCells<Wide> {
        let words = words((shards.0 + shards.1) as usize * to_usize(pages) * PAGE_WORDS);
        ShardedCells::new(
            words,
            Wide {
                cells,
                pages,
                shards,
            },
        )
        .unwrap()
    }

    #[test]
    fn a_run_that_does_not_cover_its_shards_is_refused() {
        let words = words(PAGE_WORDS);
        let fits = |cells, pages, shards| {
            ShardedCells::new(
                words,
                Wide {
                    cells,
                    pages,
                    shards,
                },
            )
            .is_some()
        };
        assert!(fits(PAGE_WORDS, 1, (0, 1)));
        assert!(!fits(1, 1, (1, 1)));
        assert!(!fits(PAGE_WORDS + 1, 1, (0, 1)));
        assert!(!fits(1, 1, (0, 0)));
        assert!(!fits(1, 1, (1, 0)));
        assert!(!fits(1, 0, (0, 1)));
    }

    #[test]
    fn threads_sum_exactly_whatever_the_shards() {
        recording(None);
        for shards in [(64, 2), (1, 1), (0, 3)] {
            let cells = cells(3, 2, shards);
            let rounds = if cfg!(miri) { 20 } else { 200_000 };
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..rounds {
                            cells.add(0, 1);
                            cells.add(2, 3);
                            cells.add_f64(1, 0.5);
                        }
                    });
                }
            });
            assert_eq!(cells.sum(0), 4 * rounds);
            assert_eq!(cells.sum(2), 12 * rounds);
            assert_eq!(cells.sum_f64(1), 2.0 * rounds as f64);
        }
    }

    #[test]
    fn a_cell_beyond_the_last_is_the_last() {
        let cells = cells(3, 1, (2, 1));
        cells.add(700, 1);
        cells.add(2, 1);
        assert_eq!(cells.sum(2), 2);
    }

    #[test]
    fn sequences_write_cpu_shards_only_and_fallbacks_the_others() {
        let cells = cells(1, 1, (64, 2));
        cells.add_fallback(0, 5);
        let on_cpus = || -> u64 {
            cells.words[..64 * PAGE_WORDS]
                .iter()
                .map(|word| word.load(Ordering::Relaxed))
                .sum()
        };
        assert_eq!(on_cpus(), 0);
        if recording(None) == Recording::RestartableSequences {
            (0..1000).for_each(|_| cells.add(0, 1));
            assert!(
                on_cpus() > 900,
                "{} of 1000 adds were restartable",
                on_cpus()
            );
            assert_eq!(cells.sum(0), 1005);
        }
    }
}
