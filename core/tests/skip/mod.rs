//! What a test leaves out on this host.

use std::fs::File;
use std::io::Write;
use std::process;
use std::thread;

/// Says that the calling test leaves something out, and why. `./check` names a file for these in
/// `TACHOGRAPH_SKIPS`, and counts the test as skipped.
///
/// # Panics
/// Where that file cannot be written.
pub fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
    let Some(path) = std::env::var_os("TACHOGRAPH_SKIPS") else {
        return;
    };
    // One write: others append to the same file.
    let test = thread::current();
    let test = test.name().unwrap_or("?");
    let line = format!("{} {test}\t{reason}\n", process::id());
    let file = File::options().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.expect("a skip can be noted");
}
