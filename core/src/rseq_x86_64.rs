//! Restartable sequences on x86-64, with the descriptor and abort layout that the kernel's `rseq.h` asks for.

use std::arch::asm;

use crate::sync::AtomicU64;

/// The kernel's sequences are sound on this architecture.
pub(super) const NEEDS_SELF_TEST: bool = false;

pub(super) fn self_test(_area: u64) -> Option<bool> {
    Some(true)
}

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
        "test {rounds}, {rounds}\njz 775f\n774: dec {rounds}\njnz 774b\n775:\n"
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
            "lea {t}, [rip + 770b]\n",
            "mov qword ptr fs:[{area} + 8], {t}\n",
            "771:\n",
            "mov {t:e}, dword ptr fs:[{area} + 4]\n",
            "cmp {t:e}, {cpus:e}\n",
            "jae {fallback}\n",
            "imul {t}, {stride}\n",
            $($before, "\n",)*
            proof!(lengthen),
            $commit, "\n",
            "772:\n",
            ".pushsection __rseq_failure, \"ax\"\n",
            // The signature that the kernel looks for before an abort address, as an undefined instruction.
            ".byte 0x0f, 0xb9, 0x3d\n",
            ".long 0x53053053\n",
            "773: jmp ", proof!(aborted), "\n",
            ".popsection\n",
        )
    };
}

/// Adds `n` to the CPU's shard of `cell`; false where the caller must use a fallback shard. Every store here
/// is a release.
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
    // SAFETY: R1 and R2, by the caller's promise; R4: the descriptor lies in this object.
    unsafe {
        asm!(
            sequence!(commit "add qword ptr [{cell} + {t}], {n}"),
            t = out(reg) _,
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
        );
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
    // SAFETY: R1, R2 and R4, as in `add`; the load and the sum are undone by not storing, the one store commits.
    unsafe {
        asm!(
            sequence!(
                "movsd {sum}, qword ptr [{cell} + {t}]",
                "addsd {sum}, {n}",
                commit "movsd qword ptr [{cell} + {t}], {sum}"
            ),
            t = out(reg) _,
            sum = out(xmm_reg) _,
            area = in(reg) area,
            cpus = in(reg) cpus,
            stride = in(reg) stride,
            cell = in(reg) cell,
            n = in(xmm_reg) n,
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

/// The CPU number in the area of this thread.
pub(super) fn cpu_id(area: u64) -> u32 {
    let cpu;
    // SAFETY: R3: the C library reserved the area for every thread; this reads one of its words.
    unsafe {
        asm!(
            "mov {cpu:e}, dword ptr fs:[{area} + 4]",
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
            "mov {offset}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            "mov {size}, qword ptr [rip + __rseq_size@GOTPCREL]",
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
