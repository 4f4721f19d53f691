//! What is wrong with a configuration, where, and what was meant.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_saphyr::{DefaultMessageFormatter, MessageFormatter};

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    /// Line and column, from 1.
    place: Option<(usize, usize)>,
    what: String,
}

impl ConfigError {
    pub(crate) fn new(what: impl Into<String>) -> ConfigError {
        ConfigError {
            file: None,
            place: None,
            what: what.into(),
        }
    }

    pub(crate) fn unreadable(file: &Path, error: &io::Error) -> ConfigError {
        ConfigError::new(format!("cannot read it: {error}")).in_file(file)
    }

    /// What the TOML parser says of `text`.
    pub(crate) fn in_toml(text: &str, error: &toml::de::Error) -> ConfigError {
        let fault = ConfigError::new(with_nearest(error.message()));
        match error.span() {
            Some(span) => fault.at(line_and_column(text, span.start)),
            None => fault,
        }
    }

    /// What the YAML parser says.
    pub(crate) fn in_yaml(error: &serde_saphyr::Error) -> ConfigError {
        use serde_saphyr::Error;
        let what = match error.without_snippet() {
            Error::SerdeUnknownField {
                field, expected, ..
            } => unknown("field", field, expected),
            Error::SerdeUnknownVariant {
                variant, expected, ..
            } => unknown("variant", variant, expected),
            other => DefaultMessageFormatter.format_message(other).into_owned(),
        };
        let place = error.location().map(|place| (place.line(), place.column()));
        let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
        match place {
            Some((line, column)) => ConfigError::new(what).at((number(line), number(column))),
            None => ConfigError::new(what),
        }
    }

    pub(crate) fn at(self, place: (usize, usize)) -> ConfigError {
        ConfigError {
            place: Some(place),
            ..self
        }
    }

    pub(crate) fn in_file(self, file: &Path) -> ConfigError {
        ConfigError {
            file: Some(file.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
        }
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        let space = if self.file.is_some() || self.place.is_some() {
            " "
        } else {
            ""
        };
        write!(f, "{space}{}", self.what)
    }
}

impl std::error::Error for ConfigError {}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// Makes "unknown field `a`, expected one of `b`, `c`", as serde says it, into a question.
fn with_nearest(message: &str) -> String {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let [name, known @ ..] = names.as_slice() else {
        return message.to_owned();
    };
    if !message.starts_with("unknown ") || known.is_empty() {
        return message.to_owned();
    }
    let kind = message.split(' ').nth(1).unwrap_or_default();
    unknown(kind, name, known)
}

/// Says that nothing is called `name`, and what was probably meant.
pub(crate) fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(meant) => format!("unknown {kind} `{name}`; did you mean `{meant}`?"),
        None => format!("unknown {kind} `{name}`; known are: {}", known.join(", ")),
    }
}

/// The name that `wrong` was probably meant to be.
fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |name| strsim::jaro_winkler(wrong, name);
    let scored = known.iter().map(|name| (score(name), *name));
    scored
        .filter(|(score, _)| *score > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
