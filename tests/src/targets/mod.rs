//! What the fuzzers run and what their corpus is replayed through: each target takes any bytes, and panics
//! where a promise is broken.

pub mod forge;
pub mod names;
pub mod page;
pub mod reader;
pub mod scribble;
pub mod text;

/// Most memory that a target may take from the allocator, its own included. The segments that it reads hold
/// less than 1 MiB.
pub const MEMORY_MAX: usize = 64 << 20;

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 4] = [
    ("reader", reader::run),
    ("scribble", scribble::run),
    ("names", names::run),
    ("text", text::run),
];
