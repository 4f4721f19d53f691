//! What standard output can show: colours, block characters, how many columns and rows.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal};

use terminal_size::{Height, Width};

/// Facts about standard output.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    pub(crate) is_tty: bool,
    /// Whether it can be drawn over in place.
    pub(crate) redraws: bool,
    pub(crate) colour: bool,
    pub(crate) utf8: bool,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Where the last column of a table is cut: nowhere unless people look.
    pub(crate) cut_at: Option<usize>,
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Header,
    Dim,
    Good,
    Warning,
    Bad,
}

impl Terminal {
    pub(crate) fn detect(ascii: bool) -> Terminal {
        let is_tty = io::stdout().is_terminal();
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colour = has_colour(|name| env::var(name).ok(), is_tty && !dumb);
        let (width, height) = if is_tty { measure() } else { (80, 24) };
        Terminal {
            is_tty,
            redraws: is_tty && !dumb,
            colour,
            utf8: !ascii && locale_is_utf8(|name| env::var(name).ok()),
            width,
            height,
            cut_at: is_tty.then_some(width),
        }
    }

    #[cfg(test)]
    pub(crate) fn plain(width: usize, utf8: bool) -> Terminal {
        Terminal {
            is_tty: false,
            redraws: false,
            colour: false,
            utf8,
            width,
            height: 24,
            cut_at: None,
        }
    }

    /// Looks at the size again: the window may have changed.
    pub(crate) fn remeasure(&mut self) {
        if self.is_tty {
            (self.width, self.height) = measure();
            self.cut_at = Some(self.width);
        }
    }

    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Paint::Plain => return text.to_owned(),
            Paint::Header => "1",
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Warning => "33",
            Paint::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn measure() -> (usize, usize) {
    match terminal_size::terminal_size_of(io::stdout()) {
        Some((Width(width), Height(height))) if width > 0 && height > 0 => {
            (usize::from(width), usize::from(height))
        }
        _ => (80, 24),
    }
}

/// NO_COLOR turns colours off; CLICOLOR_FORCE turns them on, CLICOLOR=0 off: <https://bixense.com/clicolors/>.
fn has_colour(variable: impl Fn(&str) -> Option<String>, unasked: bool) -> bool {
    let value = |name| variable(name).filter(|value| !value.is_empty());
    let is_on = |value: String| value != "0";
    if value("NO_COLOR").is_some() {
        return false;
    }
    value("CLICOLOR_FORCE").is_some_and(is_on) || (unasked && value("CLICOLOR").is_none_or(is_on))
}

/// The first of the three variables that is set decides, as in the C library.
fn locale_is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Text from a segment, which any process may have written, made harmless for a terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let is_harmless = |c: char| c == ' ' || c.is_ascii_graphic();
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '"' | '\'' | '\\') {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_environment() {
        let colour = |set: &[(&str, &str)], unasked| {
            let value = |name: &str| {
                let found = set.iter().find(|variable| variable.0 == name);
                found.map(|variable| variable.1.to_owned())
            };
            has_colour(value, unasked)
        };
        assert!(colour(&[], true) && !colour(&[], false));
        assert!(!colour(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(colour(&[("NO_COLOR", "")], true));
        assert!(colour(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!colour(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!colour(&[("CLICOLOR", "0")], true) && colour(&[("CLICOLOR", "1")], true));
    }

    #[test]
    fn the_first_set_variable_decides_the_locale() {
        let is_utf8 = |set: &[(&str, &str)]| {
            locale_is_utf8(|name| {
                let found = set.iter().find(|variable| variable.0 == name);
                found.map(|variable| variable.1.to_owned())
            })
        };
        assert!(is_utf8(&[("LANG", "en_GB.UTF-8")]));
        assert!(is_utf8(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]));
        assert!(!is_utf8(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
        assert!(!is_utf8(&[]));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("it's a \"x\\y\" µs"), "it's a \"x\\y\" µs");
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("\u{202e}x\u{9b}"), "\\u{202e}x\\u{9b}");
    }
}
