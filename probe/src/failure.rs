//! Why a command failed, in words for standard error.

use std::fmt;
use std::io;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing could be written.
    Output(io::Error),
    /// The segment could not be found or read.
    Segment(tachograph::Error),
    /// Said already, by the command itself; only the exit status is left.
    Told,
    /// What was waited for did not come.
    Unmet(String),
    /// Anything else.
    Message(String),
}

impl Failure {
    /// Whether the reader of our output went away, as `head` does: no failure of ours.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Output(error) => write!(f, "cannot write: {error}"),
            Failure::Segment(error) => write!(f, "{error}"),
            Failure::Told => Ok(()),
            Failure::Unmet(message) | Failure::Message(message) => f.write_str(message),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::Output(error.into())
    }
}

impl From<tachograph::Error> for Failure {
    fn from(error: tachograph::Error) -> Failure {
        Failure::Segment(error)
    }
}
