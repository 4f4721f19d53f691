//! Restartable sequences on aarch64, with the descriptor and abort layout that the kernel's `rseq.h` asks for.
//!
//! A range of kernels (6.19 to 7.0.13) does not abort a preempted sequence here, and version numbers do not
//! tell which: [`self_test`] looks at the behaviour.

use std::arch::asm;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use crate::sync::{AtomicU64, Ordering};

/// Whether sequences work is only known by trying.
pub(super) const NEEDS_SELF_TEST: bool = true;

/// A build for proof loops in the sequence and counts its aborts.
#[cfg(not(tachograph_proof))]
macro_rules! proof {
    (lengthen) => {
        ""
    };
    (aborted) => {
        "{fallback}"
    };
}
#[cfg(tachograph_proof)]
macro_rules! proof {
    (lengthen) => {
        "cbz {rounds}, 775f\n774: subs {rounds}, {rounds}, #1\nb.ne 774b\n775:\n"
    };
    (aborted) => {
        "{aborted}"
    };
}

/// Descriptor and arming of the sequence `771..772` that aborts to `773`, then the CPU's shard in `{t}`.
macro_rules! sequence {
    ($($before:literal,)* commit $commit:literal) => {
        concat!(
            ".pushsection __rseq_cs, \"aw\"\n",
            ".balign 32\n",
            "770: .long 0, 0\n",
            ".quad 771f, 772f - 771f, 773f\n",
            ".popsection\n",
            "adrp {t}, 770b\n",
            "add {t}, {t}, :lo12:770b\n",
            "str {t}, [{area}, #8]\n",
            "771:\n",
            "ldr {t:w}, [{area}, #4]\n",
            "cmp {t:w}, {cpus:w}\n",
            "b.hs {fallback}\n",
            "madd {t}, {t}, {stride}, {cell}\n",
            $($before, "\n",)*
            proof!(lengthen),
            $commit, "\n",
            "772:\n",
            ".pushsection __rseq_failure, \"ax\"\n",
            // The signature that the kernel looks for before an abort address, as a breakpoint.
            ".inst 0xd428bc00\n",
            "773: b ", proof!(aborted), "\n",
            ".popsection\n",
        )
    };
}

/// Adds `n` to the CPU's shard of `cell`; false where the caller must use a fallback shard. With `RELEASE`,
/// who sees the add sees all that the thread stored before.
///
/// # Safety
/// - `cell + cpu * stride` is a live word for every `cpu < cpus`.
/// - `area` is the offset of the thread's registered area.
#[inline(always)]
pub(super) unsafe fn add<const RELEASE: bool>(
    cell: *const AtomicU64,
    cpus: u32,
    stride: u64,
    area: u64,
    n: u64,
) -> bool {
    let area = thread_pointer().wrapping_add(area);
    macro_rules! add_by {
        ($store:literal) => {
            // SAFETY: R1 and R2, by the caller's promise; R4: the descriptor lies in this object.
            unsafe {
                asm!(
                    sequence!("ldr {sum}, [{t}]", "add {sum}, {sum}, {n}", commit $store),
                    t = out(reg) _,
                    sum = out(reg) _,
                    area = in(reg) area,
                    cpus = in(reg) cpus,
                    stride = in(reg) stride,
                    cell = in(reg) cell,
                    n = in(reg) n,
                    fallback = label { return false },
                    #[cfg(tachograph_proof)]
                    rounds = inout(reg) super::storm::length() => _,
                    #[cfg(tachograph_proof)]
                    aborted = label { super::storm::count_abort(); return false },
                    options(nostack),
                )
            }
        };
    }
    if RELEASE {
        add_by!("stlr {sum}, [{t}]");
    } else {
        add_by!("str {sum}, [{t}]");
    }
    true
}

/// As [`add`], for a float.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub(super) unsafe fn add_f64(
    cell: *const AtomicU64,
    cpus: u32,
    stride: u64,
    area: u64,
    n: f64,
) -> bool {
    let area = thread_pointer().wrapping_add(area);
    // SAFETY: R1, R2 and R4, as in `add`; the load and the sum are undone by not storing, the one store commits.
    unsafe {
        asm!(
            sequence!(
                "ldr {sum:d}, [{t}]",
                "fadd {sum:d}, {sum:d}, {n:d}",
                commit "str {sum:d}, [{t}]"
            ),
            t = out(reg) _,
            sum = out(vreg) _,
            area = in(reg) area,
            cpus = in(reg) cpus,
            stride = in(reg) stride,
            cell = in(reg) cell,
            n = in(vreg) n,
            fallback = label { return false },
            #[cfg(tachograph_proof)]
            rounds = inout(reg) super::storm::length() => _,
            #[cfg(tachograph_proof)]
            aborted = label { super::storm::count_abort(); return false },
            options(nostack),
        );
    }
    true
}

#[inline(always)]
fn thread_pointer() -> u64 {
    let pointer;
    // SAFETY: R3: this reads a register that every thread may read.
    unsafe {
        asm!("mrs {pointer}, tpidr_el0", pointer = out(reg) pointer, options(nostack, nomem, preserves_flags));
    }
    pointer
}

/// The CPU number in the area of this thread.
pub(super) fn cpu_id(area: u64) -> u32 {
    let cpu;
    let area = thread_pointer().wrapping_add(area);
    // SAFETY: R3: the C library reserved the area for every thread; this reads one of its words.
    unsafe {
        asm!(
            "ldr {cpu:w}, [{area}, #4]",
            cpu = out(reg) cpu,
            area = in(reg) area,
            options(nostack, readonly, preserves_flags),
        );
    }
    cpu
}

/// Offset and size of the area as the C library reports them; `None` where it does not know of it.
///
/// The symbols are weak, so that a program links and starts where they are missing.
pub(super) fn library_area() -> Option<(u64, u32)> {
    let (offset, size): (*const u64, *const u32);
    // SAFETY: R5: this loads two addresses from the global offset table, which are null where undefined.
    unsafe {
        asm!(
            ".weak __rseq_offset",
            ".weak __rseq_size",
            "adrp {offset}, :got:__rseq_offset",
            "ldr {offset}, [{offset}, :got_lo12:__rseq_offset]",
            "adrp {size}, :got:__rseq_size",
            "ldr {size}, [{size}, :got_lo12:__rseq_size]",
            offset = out(reg) offset,
            size = out(reg) size,
            options(nostack, readonly, preserves_flags),
        );
    }
    // SAFETY: R5: a symbol that is defined names a constant of the C library.
    let offset = unsafe { offset.as_ref() }?;
    // SAFETY: R5, as above.
    let size = unsafe { size.as_ref() }?;
    Some((*offset, *size))
}

/// How often a preemption must have aborted a sequence before it is trusted.
const ROUNDS: u32 = 3;
/// After so long without a preemption nothing is known, and the fallback is the safe answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the disturbing thread sleeps: waking up preempts sooner than waiting for a turn.
const PAUSE: Duration = Duration::from_micros(20);

/// Whether a preempted sequence is aborted: a second thread on the same CPU changes a word while the first
/// spins in a sequence that waits for it. A sound kernel aborts it before it can see the change.
///
/// `None` where that could not be found out: no threads, no pinning, or no preemption in time.
pub(super) fn self_test(area: u64) -> Option<bool> {
    // Two threads of its own: the caller keeps its CPUs, as a thread that was ever pinned does not follow
    // later changes of its container's.
    thread::scope(|scope| {
        let tester = thread::Builder::new().spawn_scoped(scope, || test_on_one_cpu(area));
        tester.ok()?.join().ok()?
    })
}

fn test_on_one_cpu(area: u64) -> Option<bool> {
    // The program's signals are not for these threads, and would abort sequences too.
    SigSet::all().thread_block().ok()?;
    let this_thread = Pid::from_raw(0);
    let mut here = CpuSet::new();
    here.set(cpu_id(area) as usize).ok()?;
    sched_setaffinity(this_thread, &here).ok()?;
    let verdict = watch_disturbed(area)?;
    // Moved by somebody else meanwhile, the threads may have run at the same time.
    (sched_getaffinity(this_thread) == Ok(here)).then_some(verdict)
}

fn watch_disturbed(area: u64) -> Option<bool> {
    let turn = AtomicU64::new(0);
    let stop = AtomicU64::new(0);
    let disturb = || {
        while stop.load(Ordering::Relaxed) == 0 {
            turn.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
    };
    thread::scope(|scope| {
        thread::Builder::new().spawn_scoped(scope, disturb).ok()?;
        let verdict = watch(area, &turn);
        stop.store(1, Ordering::Relaxed);
        verdict
    })
}

/// Spins until enough preemptions were seen to abort, or one to pass unnoticed.
fn watch(area: u64, turn: &AtomicU64) -> Option<bool> {
    let began = Instant::now();
    let mut aborted = 0;
    while began.elapsed() < PATIENCE {
        match spin(area, turn) {
            Spin::Aborted if aborted + 1 == ROUNDS => return Some(true),
            Spin::Aborted => aborted += 1,
            Spin::SawTheChange => return Some(false),
            Spin::Undisturbed => {}
        }
    }
    None
}

enum Spin {
    Aborted,
    SawTheChange,
    Undisturbed,
}

/// Spins in a sequence for some milliseconds, or until `turn` changes or the kernel aborts it.
fn spin(area: u64, turn: &AtomicU64) -> Spin {
    let area = thread_pointer().wrapping_add(area);
    // SAFETY: R2: the sequence reads `turn` and its own registers, and writes only `rseq_cs`.
    unsafe {
        asm!(
            ".pushsection __rseq_cs, \"aw\"",
            ".balign 32",
            "770: .long 0, 0",
            ".quad 771f, 772f - 771f, 773f",
            ".popsection",
            "adrp {t}, 770b",
            "add {t}, {t}, :lo12:770b",
            "str {t}, [{area}, #8]",
            "771:",
            // Inside the sequence: a change before it would look like one that passed unnoticed.
            "ldr {seen}, [{turn}]",
            "774:",
            "ldr {t}, [{turn}]",
            "cmp {t}, {seen}",
            "b.ne {changed}",
            "subs {left}, {left}, #1",
            "b.ne 774b",
            "772:",
            ".pushsection __rseq_failure, \"ax\"",
            ".inst 0xd428bc00",
            "773: b {aborted}",
            ".popsection",
            t = out(reg) _,
            seen = out(reg) _,
            left = inout(reg) 20_000_000u64 => _,
            area = in(reg) area,
            turn = in(reg) turn,
            changed = label { return Spin::SawTheChange },
            aborted = label { return Spin::Aborted },
            options(nostack),
        );
    }
    Spin::Undisturbed
}
