//! The terminal while it is drawn on: taken at the start, given back at the end, at a panic, and for a suspension.

use std::io::{self, BufWriter, Stdout, Write as _};
use std::panic;
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    is_raw_mode_enabled,
};
use ratatui::text::Line;
use signal_hook::consts::SIGTSTP;
use signal_hook::low_level::emulate_default_handler;

/// A terminal in raw mode, on its alternate screen, without a cursor.
pub(super) struct Tty {
    screen: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Tty {
    pub(super) fn enter() -> io::Result<Tty> {
        give_back_at_panic();
        take()?;
        let screen = Terminal::new(CrosstermBackend::new(BufWriter::new(io::stdout())));
        match screen {
            Ok(screen) => Ok(Tty { screen }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws what `lines` gives for the terminal's width and height; only what changed is sent.
    pub(super) fn draw(
        &mut self,
        lines: impl FnOnce(usize, usize) -> Vec<Line<'static>>,
    ) -> io::Result<()> {
        self.screen.draw(|frame| {
            let area = frame.area();
            let lines = lines(area.width.into(), area.height.into());
            let buffer = frame.buffer_mut();
            for (row, line) in (area.y..area.bottom()).zip(&lines) {
                buffer.set_line(area.x, row, line, area.width);
            }
        })?;
        Ok(())
    }

    /// Stops the process as Ctrl-Z does elsewhere. It goes on here when it is continued.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        emulate_default_handler(SIGTSTP)?;
        self.resume()
    }

    /// Takes the terminal again, which others used while the process was stopped.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        disable_raw_mode()?;
        take()?;
        self.redraw()
    }

    /// Sends everything at the next drawing: nobody knows what is on the screen.
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        // `clear` would ask the terminal for the cursor's place, and the answer would go to the keys.
        let size = self.screen.size()?;
        self.screen.resize(size.into())
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    let taken = execute!(io::stdout(), EnterAlternateScreen, Hide);
    if taken.is_err() {
        give_back();
    }
    taken
}

/// Does nothing where the terminal is not taken. Nobody is left to tell when it cannot be had any more.
fn give_back() {
    if is_raw_mode_enabled().unwrap_or(false) {
        let mut out = io::stdout();
        let _ = execute!(out, Show, LeaveAlternateScreen).and_then(|()| out.flush());
        let _ = disable_raw_mode();
    }
}

/// A panic's message must not go to the screen that is given up, nor into raw mode.
fn give_back_at_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            tell(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use portable_pty::{CommandBuilder, PtySize, native_pty_system};
    use std::env;
    use std::io::Read as _;

    const CHILD: &str = "TACHOGRAPH_PANICS";

    /// Runs in a terminal only, for the test below.
    #[test]
    fn panics_on_the_screen() {
        if env::var_os(CHILD).is_some() {
            let mut tty = Tty::enter().unwrap();
            tty.draw(|_, _| vec![Line::from("drawn")]).unwrap();
            panic!("told");
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        let pair = native_pty_system().openpty(PtySize::default()).unwrap();
        let before = pair.master.get_termios().unwrap();
        let mut command = CommandBuilder::new(env::current_exe().unwrap());
        command.args([
            "top::tty::tests::panics_on_the_screen",
            "--exact",
            "--nocapture",
        ]);
        command.env(CHILD, "1");
        command.env("RUST_BACKTRACE", "0");
        let mut child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().unwrap();
        let mut bytes = Vec::new();
        // The end of a terminal is an error of input and output.
        let _ = output.read_to_end(&mut bytes);
        assert!(!child.wait().unwrap().success());
        let text = String::from_utf8(bytes).unwrap();
        let place = |wanted: &str| {
            let found = text.find(wanted);
            found.unwrap_or_else(|| panic!("no {wanted:?} in {text:?}"))
        };
        assert!(place("\x1b[?1049h") < place("drawn"));
        assert!(place("drawn") < place("\x1b[?1049l"));
        assert!(place("\x1b[?25h") < place("told"));
        assert!(place("\x1b[?1049l") < place("told"));
        assert_eq!(text.matches("\x1b[?1049l").count(), 1);
        assert_eq!(pair.master.get_termios().unwrap(), before);
    }
}
