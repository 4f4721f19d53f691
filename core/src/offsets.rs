//! Where each word is: in the header, in a slot, in a record; and what state words mean.

use crate::loss::Loss;

/// The unit that memory is committed in, and the distance between the shards of a counter.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Words of a page, and cells of a counter block.
pub(crate) const PAGE_WORDS: usize = 512;

/// Word offsets in the header. Everything below [`header::MUTABLE`] is written once, before the segment
/// has a name, and covered by the checksum.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const CHECKSUM: usize = 2;
    pub(crate) const REQUIRED_FEATURES: usize = 3;
    pub(crate) const OPTIONAL_FEATURES: usize = 4;
    pub(crate) const BYTES: usize = 5;
    pub(crate) const BOOT_ID: usize = 6;
    pub(crate) const CREATED_UNIX_NANOS: usize = 8;
    pub(crate) const INSTANCE: usize = 9;
    pub(crate) const SHARDS: usize = 10;
    pub(crate) const PAGE_BYTES: usize = 11;
    /// Device and inode of the file that it was created in.
    pub(crate) const INODE: usize = 12;
    pub(crate) const SECTIONS: usize = 16;
    pub(crate) const SECTION_WORDS: usize = 4;
    pub(crate) const SECTIONS_MAX: usize = 32;
    pub(crate) const MUTABLE: usize = 256;
    /// Next free entry of each section, by kind.
    pub(crate) const NEXT: usize = MUTABLE;
    /// Committed words of each section, by kind.
    pub(crate) const COMMITTED: usize = NEXT + SECTIONS_MAX;
    /// Loss counts, by reason.
    pub(crate) const LOSSES: usize = COMMITTED + SECTIONS_MAX;
    /// Verdict of the restartable-sequence self-test on this boot: 0 unknown, 1 passed, 2 failed.
    pub(crate) const SELF_TEST: usize = LOSSES + 64;
    /// Of a segment of another boot: the instance that shall replace it, 0 for none yet.
    pub(crate) const SUCCESSOR: usize = SELF_TEST + 1;
    /// Removals begun and done: while they differ, one is under way or its process was killed in it.
    pub(crate) const REMOVALS_BEGUN: usize = SELF_TEST + 2;
    pub(crate) const REMOVALS_DONE: usize = SELF_TEST + 3;
    /// Series removed, records of theirs that were freed, and free records waiting for a series.
    pub(crate) const REMOVED: usize = SELF_TEST + 4;
    pub(crate) const RECLAIMED: usize = SELF_TEST + 5;
    pub(crate) const FREE: usize = SELF_TEST + 6;
    /// How often a child was forked whose marks could not be made: nothing is freed then. A shared lock on its first
    /// byte is held by each process that cannot mark series.
    pub(crate) const UNTRACKED: usize = SELF_TEST + 7;
    /// Never written: a lock on its first byte is held by the process that looks for idle series.
    pub(crate) const SWEEPER: usize = SELF_TEST + 8;
    /// Free family records: a word that says that there is a list, its head, and how many they are.
    pub(crate) const FREE_FAMILIES: usize = SELF_TEST + 9;
    pub(crate) const FREE_FAMILIES_COUNT: usize = FREE_FAMILIES + 2;
    /// Free records by class: a word that names the class and the head of its list.
    pub(crate) const CLASSES: usize = SELF_TEST + 16;
    pub(crate) const CLASSES_MAX: usize = 48;
    pub(crate) const WORDS: usize = super::PAGE_WORDS;
}
const _: () = {
    assert!(header::SECTIONS + header::SECTIONS_MAX * header::SECTION_WORDS <= header::MUTABLE);
    assert!(header::CLASSES + 2 * header::CLASSES_MAX <= header::WORDS);
    assert!(Loss::ALL.len() <= 64);
};

/// Word offsets in a process slot.
pub(crate) mod process {
    /// State in the low byte, generation above it.
    pub(crate) const STATE: usize = 0;
    /// Process id in the low half, [`crate::Recording`] code in the high half.
    pub(crate) const PID: usize = 1;
    pub(crate) const START_TICKS: usize = 2;
    pub(crate) const PID_NAMESPACE: usize = 3;
    pub(crate) const ATTACHED_UNIX_NANOS: usize = 4;
    /// How many of the process's own cells are committed.
    pub(crate) const CELLS_COMMITTED: usize = 5;
    pub(crate) const NAME_BYTES: usize = 6;
    pub(crate) const NAME: usize = 7;
    pub(crate) const NAME_WORDS: usize = 8;
    /// How many words of the process's marks are committed.
    pub(crate) const MARKS_COMMITTED: usize = 15;
    pub(crate) const WORDS: usize = 16;
}
const _: () = assert!(process::NAME + process::NAME_WORDS <= process::MARKS_COMMITTED);

/// Word offsets in a family record.
pub(crate) mod family {
    /// State in the low byte, generation above it.
    pub(crate) const STATE: usize = 0;
    pub(crate) const HASH: usize = 1;
    /// Type and gauge mode.
    pub(crate) const KIND: usize = 2;
    /// Word offset of its texts in the string arena: name, help, unit, states, one after another.
    pub(crate) const TEXT: usize = 3;
    /// Bytes of name (low half) and help (high half).
    pub(crate) const NAME_HELP_BYTES: usize = 4;
    /// Bytes of unit (low half) and states (high half; each state ends with a newline).
    pub(crate) const UNIT_STATES_BYTES: usize = 5;
    pub(crate) const SCALE: usize = 6;
    /// Log-linear: precision + 1. Explicit: 0.
    pub(crate) const PRECISION: usize = 7;
    /// Log-linear: highest value. Explicit: how many bounds.
    pub(crate) const BUCKETS: usize = 8;
    /// Word offset of explicit bounds in the string arena.
    pub(crate) const BOUNDS: usize = 9;
    /// Shards of a histogram: CPU shards (low half) and fallback shards (high half).
    pub(crate) const SHARDS: usize = 10;
    pub(crate) const SERIES_LIMIT: usize = 11;
    /// How many series it has, and the number of the last operation in that count.
    pub(crate) const SEATS: usize = 12;
    /// The overflow series, plus one.
    pub(crate) const OVERFLOW: usize = 13;
    /// Registrations folded into the overflow series.
    pub(crate) const OVERFLOWED: usize = 14;
    pub(crate) const CREATED_UNIX_NANOS: usize = 15;
    /// Its link in the index.
    pub(crate) const LINK: usize = 16;
    /// How long a series is kept that nobody writes to, in nanoseconds; 0 for ever.
    pub(crate) const KEEP_NANOS: usize = 17;
    /// The series that is being added or removed.
    pub(crate) const OPERATION: usize = 18;
    /// How many words of the string arena its texts may take (low half), and its bounds (high half).
    pub(crate) const ROOM: usize = 19;
    /// How many registrations were refused for their definition, and when the last was.
    pub(crate) const REFUSED: usize = 20;
    pub(crate) const REFUSED_UNIX_NANOS: usize = 21;
    /// The first refused definition: its state in the low byte and the process id above it, the bytes of its text, and
    /// that text.
    pub(crate) const REFUSAL: usize = 22;
    pub(crate) const REFUSAL_BYTES: usize = 23;
    /// How many exemplars a series keeps.
    pub(crate) const EXEMPLARS: usize = 24;
    pub(crate) const REFUSAL_TEXT: usize = 25;
    pub(crate) const REFUSAL_WORDS: usize = 7;
    pub(crate) const WORDS: usize = 32;
}
const _: () = assert!(family::REFUSAL_TEXT + family::REFUSAL_WORDS <= family::WORDS);

/// Word offsets in a series record.
pub(crate) mod series {
    /// State in the low byte, generation above it.
    pub(crate) const STATE: usize = 0;
    pub(crate) const HASH: usize = 1;
    /// Index of its family (low half), and how many words its label set may take (high half).
    pub(crate) const FAMILY: usize = 2;
    /// Word offset of its label set in the string arena (low half) and its bytes (high half).
    pub(crate) const LABELS: usize = 3;
    /// First sharded cell (low half): an index of the counter section or a page of the histogram section. First
    /// exemplar (high half), 0 for none.
    pub(crate) const CELL: usize = 4;
    /// Per-process cell (low half) and shared cell (high half), 0 for none.
    pub(crate) const OWN_SHARED: usize = 5;
    pub(crate) const CREATED_UNIX_NANOS: usize = 6;
    /// Its link in the index or in a list of free records.
    pub(crate) const LINK: usize = 7;
    pub(crate) const WORDS: usize = 8;
}

/// Word offsets in an exemplar.
pub(crate) mod exemplar {
    /// Its last writer's number (low half) and time in milliseconds (high half), both wrapping.
    pub(crate) const CLAIM: usize = 0;
    /// Trace id, span id, value and time by halves of words: each half (low) with its writer's number (high).
    pub(crate) const DATA: usize = 1;
    pub(crate) const HALVES: usize = 10;
    pub(crate) const WORDS: usize = DATA + HALVES;
}

/// States of a record or slot, in the low byte of its state word.
pub(crate) mod state {
    /// Not in use, or claimed and not published: whoever claimed it may be dead, nobody waits for it.
    pub(crate) const FREE: u64 = 0;
    /// Filled and visible.
    pub(crate) const PUBLISHED: u64 = 1;
    /// Out of sight; processes may still write to its cells.
    pub(crate) const REMOVED: u64 = 2;

    pub(crate) const fn of(word: u64) -> u64 {
        word & 0xff
    }
    pub(crate) const fn generation(word: u64) -> u64 {
        word >> 8
    }
    pub(crate) const fn word(state: u64, generation: u64) -> u64 {
        (generation << 8) | state
    }
    /// The word of another state in the same generation.
    pub(crate) const fn to(before: u64, state: u64) -> u64 {
        word(state, generation(before))
    }
}

/// First cells of the counter section: where updates go that have no series.
pub(crate) mod sink {
    pub(crate) const COUNTER: usize = 0;
    pub(crate) const COUNTER_F64: usize = 1;
    /// Sum, then the one bucket.
    pub(crate) const HISTOGRAM: usize = 2;
    pub(crate) const CELLS: usize = 4;
}
