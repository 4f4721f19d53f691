//! What a command is doing, on standard error, for a person who waits.

use std::io::{self, IsTerminal, Write};

/// A line that is gone once the work is done. Without a terminal nothing is said.
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new(doing: &str) -> Progress {
        let is_shown = io::stderr().is_terminal();
        if is_shown {
            write(&format!("\r\x1b[K{doing}..."));
        }
        Progress { is_shown }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            write("\r\x1b[K");
        }
    }
}

fn write(text: &str) {
    let mut out = io::stderr().lock();
    // Nobody waits where nothing can be written.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
