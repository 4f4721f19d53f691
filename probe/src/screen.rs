//! A terminal that is drawn over in place, and given back as it was.

use std::io::{self, Write};

use crate::table::cut;
use crate::terminal::Terminal;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The alternate screen while it lives. When it goes, the last frame stays on the ordinary screen.
#[derive(Debug)]
pub(crate) struct Screen {
    last: Vec<String>,
}

impl Screen {
    pub(crate) fn enter() -> io::Result<Screen> {
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(Screen { last: Vec::new() })
    }

    /// Shows `lines`, as many as fit; they must be no wider than the terminal.
    pub(crate) fn draw(&mut self, lines: Vec<String>, terminal: &Terminal) -> io::Result<()> {
        let lines = fit(lines, terminal);
        // Each line clears what it leaves free, so nothing flickers.
        let frame = format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\n"));
        self.last = lines;
        let mut out = io::stdout().lock();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut text = LEAVE.to_owned();
        for line in &self.last {
            text.push_str(line);
            text.push('\n');
        }
        let mut out = io::stdout().lock();
        // Nobody is left to tell when the terminal is gone.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// `lines`, or the first of them and a line that says how many are missing.
fn fit(mut lines: Vec<String>, terminal: &Terminal) -> Vec<String> {
    if lines.len() > terminal.height {
        let kept = terminal.height.saturating_sub(1);
        let note = format!(
            "({} more lines: give a name or --label)",
            lines.len() - kept
        );
        lines.truncate(kept);
        lines.push(cut(&note, terminal.width, terminal));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_lines_are_counted() {
        let terminal = Terminal {
            height: 3,
            ..Terminal::plain(80, true)
        };
        let lines = |count: usize| (0..count).map(|line| line.to_string()).collect();
        assert_eq!(fit(lines(3), &terminal), ["0", "1", "2"]);
        assert_eq!(
            fit(lines(5), &terminal),
            ["0", "1", "(3 more lines: give a name or --label)"]
        );
    }
}
