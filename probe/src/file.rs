//! Regular files, by what they begin with.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// What every segment begins with.
const SEGMENT: &[u8] = b"TACHOGRF";

/// The first bytes of a regular file; `None` where there is none that can be read. Opening a pipe would wait for its
/// other end.
pub(crate) fn start(path: &Path) -> Option<Vec<u8>> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut first = Vec::new();
    let file = File::open(path).ok()?;
    file.take(16).read_to_end(&mut first).ok()?;
    Some(first)
}

/// Refuses to write where there is a segment: its writers would lose what they record from then on.
pub(crate) fn refuse_segment(path: &Path) -> io::Result<()> {
    match start(path) {
        Some(first) if first.starts_with(SEGMENT) => {
            Err(io::Error::other("it is a segment; name another file"))
        }
        _ => Ok(()),
    }
}
