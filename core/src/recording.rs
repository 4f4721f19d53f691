//! How processes record.

/// How a process records, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recording {
    /// Restartable sequences on the CPU's own shard.
    RestartableSequences,
    /// Atomic additions: this build has no restartable sequence for its target.
    FallbackTarget,
    /// Atomic additions: the C library does not register restartable sequences.
    FallbackLibrary,
    /// Atomic additions: the kernel or a tunable turned restartable sequences off.
    FallbackUnregistered,
    /// Atomic additions: the kernel's restartable sequences failed the self-test.
    FallbackSelfTest,
    /// Atomic additions: the self-test found nothing out, for want of threads, of a CPU or of time.
    FallbackUntested,
    /// A value that this build does not know.
    Unknown,
}

impl Recording {
    const KNOWN: [Recording; 6] = [
        Recording::RestartableSequences,
        Recording::FallbackTarget,
        Recording::FallbackLibrary,
        Recording::FallbackUnregistered,
        Recording::FallbackSelfTest,
        Recording::FallbackUntested,
    ];

    /// `rseq` or `fallback`.
    pub const fn mode(self) -> &'static str {
        match self {
            Recording::RestartableSequences => "rseq",
            Recording::Unknown => "unknown",
            _ => "fallback",
        }
    }

    /// Why, in words for an operator.
    pub const fn reason(self) -> &'static str {
        match self {
            Recording::RestartableSequences => "restartable sequences are registered",
            Recording::FallbackTarget => "no restartable sequence for this target",
            Recording::FallbackLibrary => "the C library registers no restartable sequences",
            Recording::FallbackUnregistered => "turned off by the kernel, a tunable or a sandbox",
            Recording::FallbackSelfTest => "the kernel failed the self-test",
            Recording::FallbackUntested => "the self-test of the kernel found nothing out",
            Recording::Unknown => "written by a newer version",
        }
    }

    /// The one that is told by [`Recording::reason`] so.
    pub fn with_reason(reason: &str) -> Recording {
        Recording::KNOWN
            .into_iter()
            .find(|known| known.reason() == reason)
            .unwrap_or(Recording::Unknown)
    }

    pub(crate) fn code(self) -> u64 {
        Recording::KNOWN
            .iter()
            .position(|&known| known == self)
            .map_or(0, |at| at as u64 + 1)
    }

    pub(crate) fn from_code(code: u64) -> Recording {
        let at = usize::try_from(code.wrapping_sub(1)).unwrap_or(usize::MAX);
        Recording::KNOWN
            .get(at)
            .copied()
            .unwrap_or(Recording::Unknown)
    }
}
