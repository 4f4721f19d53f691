//! The bare restartable add: one `add` to a cell of the CPU's own shard, with nothing around it.
#![expect(unsafe_code, reason = "a restartable sequence is written in assembler")]

use std::arch::asm;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{BoundTable, LabelTable, cells, log_linear_index};
use crate::input;

/// Cells of a shard; a power of two, so that a shift finds the CPU's.
const SHARD_CELLS: usize = 2048;
const SUM: usize = SHARD_CELLS - 1;

/// Cells of every CPU, and one more shard for adds that were interrupted.
#[derive(Clone, Copy)]
pub struct PerCpu {
    cells: &'static [AtomicU64],
    /// Where the thread pointer's restartable sequence area lies.
    area: isize,
}

impl PerCpu {
    /// New cells; `None` where the C library or the kernel has no restartable sequences.
    pub fn new() -> Option<PerCpu> {
        // SAFETY: both arguments are valid for the call.
        let offset = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()) };
        // SAFETY: as above.
        let size = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()) };
        if offset.is_null() || size.is_null() {
            return None;
        }
        // SAFETY: glibc declares it `const unsigned int`, and 0 where nothing is registered.
        let registered = unsafe { size.cast::<u32>().read() } != 0;
        // SAFETY: glibc declares it `const ptrdiff_t`.
        let area = unsafe { offset.cast::<isize>().read() };
        // SAFETY: it only asks.
        let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
        let cpus = usize::try_from(cpus).ok()?;
        registered.then(|| PerCpu {
            cells: cells((cpus + 1) * SHARD_CELLS),
            area,
        })
    }

    /// An add to one cell.
    pub fn add_one(self) -> impl FnMut(usize) + Clone + Send {
        move |_| self.add(0, 1)
    }

    /// An add to one of 16 cells.
    pub fn add_one_of_16(self) -> impl FnMut(usize) + Clone + Send {
        let series = &*input::SERIES;
        move |at| self.add(series[at], 1)
    }

    /// An add to one of 16 cells that is found by its labels.
    pub fn add_by_labels(self) -> impl FnMut(usize) + Clone + Send {
        let table = &*Box::leak(Box::new(LabelTable::new()));
        let series = &*input::SERIES;
        move |at| {
            if let Some(cell) = table.find(input::label_values(series[at])) {
                self.add(cell, 1);
            }
        }
    }

    /// A record in a log-linear histogram with a sum.
    pub fn log_linear(self) -> impl FnMut(usize) + Clone + Send {
        let nanos = &*input::NANOS;
        move |at| {
            self.add(log_linear_index::<5>(nanos[at]), 1);
            self.add(SUM, nanos[at]);
        }
    }

    /// A record in a histogram of 12 bounds with a sum.
    pub fn bounds(self) -> impl FnMut(usize) + Clone + Send {
        let bounds = &*Box::leak(Box::new(BoundTable::new()));
        let nanos = &*input::NANOS;
        move |at| {
            self.add(bounds.index(nanos[at]), 1);
            self.add(SUM, nanos[at]);
        }
    }

    #[cfg(test)]
    pub(super) fn sum(self, index: usize) -> u64 {
        let shards = self.cells[index..].iter().step_by(SHARD_CELLS);
        shards.map(|cell| cell.load(Ordering::Relaxed)).sum()
    }

    /// The CPU number is read and used inside the sequence, and the add is its one committing store.
    #[inline(always)]
    fn add(self, index: usize, amount: u64) {
        let cell = ptr::from_ref(&self.cells[index % SHARD_CELLS]);
        // SAFETY: the area is the calling thread's own, registered by the C library, which gives numbers
        // below the count of CPUs that the cells were made for; the kernel leaves the sequence only to
        // the label, before the add.
        unsafe {
            asm!(
                ".pushsection __rseq_cs, \"aw\", @progbits",
                ".balign 32",
                "771:",
                ".long 0, 0",
                ".quad 772f, 773f - 772f, 774f",
                ".popsection",
                "lea {scratch}, [rip + 771b]",
                "mov qword ptr fs:[{area} + 8], {scratch}",
                "772:",
                "mov {scratch:e}, dword ptr fs:[{area} + 4]",
                "shl {scratch}, {shift}",
                "add qword ptr [{cell} + {scratch}], {amount}",
                "773:",
                ".pushsection __rseq_failure, \"ax\", @progbits",
                // The signature that the kernel looks for before the abort address.
                ".byte 0x0f, 0xb9, 0x3d",
                ".long 0x53053053",
                "774:",
                "jmp {abort}",
                ".popsection",
                scratch = out(reg) _,
                area = in(reg) self.area,
                cell = in(reg) cell,
                amount = in(reg) amount,
                shift = const (SHARD_CELLS * 8).trailing_zeros(),
                abort = label {
                    let spare = &self.cells[self.cells.len() - SHARD_CELLS + index % SHARD_CELLS];
                    spare.fetch_add(amount, Ordering::Relaxed);
                },
                options(nostack),
            );
        }
    }
}
