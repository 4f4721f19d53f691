//! What the machine allows: the least work without which a result cannot be had.
#![expect(
    clippy::disallowed_types,
    reason = "these are measured beside the engine's"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::input;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod rseq;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use rseq::PerCpu;

/// A load, an add and a store, which the compiler makes one plain add in memory.
pub fn plain_add() -> impl FnMut(usize) + Clone {
    let cell = &cells(1)[0];
    move |_| add_plainly(cell, 1)
}

/// A relaxed `fetch_add`.
pub fn fetch_add() -> impl FnMut(usize) + Clone + Send {
    let cell = &cells(1)[0];
    move |_| {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}

/// A relaxed `fetch_add` on one of 16 cells that share two cache lines.
pub fn fetch_add_16() -> impl FnMut(usize) + Clone + Send {
    let cells = cells(16);
    let series = &*input::SERIES;
    move |at| {
        cells[series[at]].fetch_add(1, Ordering::Relaxed);
    }
}

/// A plain store.
pub fn store() -> impl FnMut(usize) + Clone + Send {
    let cell = &cells(1)[0];
    move |at| cell.store(at as u64, Ordering::Relaxed)
}

/// A log-linear histogram with a sum, by plain adds.
pub fn plain_log_linear() -> impl FnMut(usize) + Clone {
    let cells = cells(2048);
    let nanos = &*input::NANOS;
    move |at| {
        add_plainly(&cells[log_linear_index::<5>(nanos[at])], 1);
        add_plainly(&cells[2047], nanos[at]);
    }
}

/// A histogram of 12 bounds with a sum, by plain adds.
pub fn plain_bounds() -> impl FnMut(usize) + Clone {
    let cells = cells(16);
    let nanos = &*input::NANOS;
    let bounds = &*Box::leak(Box::new(BoundTable::new()));
    move |at| {
        add_plainly(&cells[bounds.index(nanos[at])], 1);
        add_plainly(&cells[15], nanos[at]);
    }
}

/// The sum of `cells` cells over all shards, as a snapshot must make. The shards of a block of cells follow one
/// another, so that the sums stay in the nearest cache.
pub fn sum_shards(cells: usize, shards: usize) -> impl FnMut() -> u64 {
    const BLOCK: usize = 512;
    let blocks = cells.div_ceil(BLOCK);
    let all: Vec<u64> = (0..blocks * BLOCK * shards).map(|at| at as u64).collect();
    let mut sums = vec![0; blocks * BLOCK];
    move || {
        let blocks = all.chunks_exact(BLOCK * shards);
        for (sums, block) in sums.chunks_exact_mut(BLOCK).zip(blocks) {
            sums.fill(0);
            for shard in block.chunks_exact(BLOCK) {
                sums.iter_mut()
                    .zip(shard)
                    .for_each(|(sum, cell)| *sum += cell);
            }
        }
        sums[cells - 1]
    }
}

/// The same, and a copy of a finished page of `bytes` bytes.
pub fn sum_shards_and_copy(cells: usize, shards: usize, bytes: usize) -> impl FnMut() -> usize {
    let mut sum = sum_shards(cells, shards);
    let finished = vec![b'x'; bytes];
    let mut page = Vec::with_capacity(bytes);
    move || {
        page.clear();
        page.extend_from_slice(&finished);
        page.len() ^ usize::try_from(sum() & 1).unwrap_or(0)
    }
}

fn cells(count: usize) -> &'static [AtomicU64] {
    (0..count)
        .map(|_| AtomicU64::new(0))
        .collect::<Vec<_>>()
        .leak()
}

#[inline(always)]
fn add_plainly(cell: &AtomicU64, amount: u64) {
    cell.store(
        cell.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

/// HdrHistogram's index with `2^PRECISION` buckets an octave (<https://hdrhistogram.org>).
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is left of the value has PRECISION + 1 bits"
)]
#[inline(always)]
fn log_linear_index<const PRECISION: u32>(value: u64) -> usize {
    let floor = (2u64 << PRECISION) - 1;
    let octave = 63 - PRECISION - (value | floor).leading_zeros();
    ((octave as usize) << PRECISION) + (value >> octave) as usize
}

/// Finds the bucket of a value by one table look-up and one comparison: no two of the bounds lie in
/// the same eighth of an octave.
struct BoundTable {
    bounds: [u64; 13],
    below: [u8; 496],
}

impl BoundTable {
    fn new() -> BoundTable {
        let mut bounds = [u64::MAX; 13];
        bounds[..12].copy_from_slice(&input::BOUNDS_NANOS);
        let mut below = [0; 496];
        for (index, below) in below.iter_mut().enumerate() {
            let before = |&&bound: &&u64| log_linear_index::<3>(bound) < index;
            let count = input::BOUNDS_NANOS.iter().filter(before).count();
            *below = count.to_le_bytes()[0];
        }
        BoundTable { bounds, below }
    }

    #[inline(always)]
    fn index(&self, value: u64) -> usize {
        let below = usize::from(self.below[log_linear_index::<3>(value)]);
        below + usize::from(self.bounds[below] < value)
    }
}

/// The 16 label pairs in a table with a slot each, their strings compared in registers.
struct LabelTable {
    multiplier: u64,
    entries: [([u64; 2], usize); 64],
}

impl LabelTable {
    fn new() -> LabelTable {
        let multipliers = (1u64..).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        multipliers
            .filter_map(LabelTable::with_multiplier)
            .next()
            .expect("one of them gives each pair a slot")
    }

    fn with_multiplier(multiplier: u64) -> Option<LabelTable> {
        let entries = [([0; 2], 0); 64];
        let mut table = LabelTable {
            multiplier,
            entries,
        };
        for series in 0..16 {
            let key = input::label_values(series).map(packed);
            let slot = table.slot(key);
            if table.entries[slot].0 != [0; 2] {
                return None;
            }
            table.entries[slot] = (key, series);
        }
        Some(table)
    }

    #[inline(always)]
    fn find(&self, labels: [&str; 2]) -> Option<usize> {
        let [method, status] = labels.map(packed);
        let (found, series) = &self.entries[self.slot([method, status])];
        ((found[0] ^ method) | (found[1] ^ status) == 0).then_some(*series)
    }

    #[inline(always)]
    fn slot(&self, [method, status]: [u64; 2]) -> usize {
        let mixed = (method ^ status.rotate_left(32)).wrapping_mul(self.multiplier);
        usize::from((mixed >> 56).to_le_bytes()[0] >> 2)
    }
}

/// A string of two to six bytes as one number, without a branch on its length.
#[inline(always)]
fn packed(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let pair = |at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let length = bytes.len();
    pair(0) << 48 | pair(length / 2 - 1) << 32 | pair(length - 2) << 16 | length as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_find_what_a_search_finds() {
        let bounds = BoundTable::new();
        let edges = input::BOUNDS_NANOS
            .iter()
            .flat_map(|&at| [at - 1, at, at + 1]);
        for value in edges.chain(*input::NANOS) {
            let expected = input::BOUNDS_NANOS.partition_point(|&bound| bound < value);
            assert_eq!(bounds.index(value), expected, "{value}");
        }
        let labels = LabelTable::new();
        for series in 0..16 {
            assert_eq!(labels.find(input::label_values(series)), Some(series));
        }
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn restartable_adds_are_all_there() {
        let Some(cells) = PerCpu::new() else { return };
        let threads = [(); 4].map(|()| {
            let mut add = cells.add_one();
            std::thread::spawn(move || (0..1_000_000).for_each(&mut add))
        });
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(cells.sum(0), 4_000_000);
    }
}
