//! Files that the probe writes: none takes the place of a segment.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// What every segment begins with.
const MAGIC: &[u8; 8] = b"TACHOGRF";

/// Refuses a path at which there is a segment: its writers would lose what they record from then on.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    if is_segment(path) {
        return Err(io::Error::other("it is a segment; name another file"));
    }
    Ok(())
}

fn is_segment(path: &Path) -> bool {
    let is_file = fs::metadata(path).is_ok_and(|there| there.is_file());
    let mut start = [0; MAGIC.len()];
    let read = |start: &mut [u8]| File::open(path)?.read_exact(start);
    is_file && read(&mut start).is_ok() && start == *MAGIC
}
