//! What can go wrong when the exporter starts.

use std::fmt;
use std::io;

/// Why the exporter cannot run.
#[derive(Debug)]
pub enum Error {
    /// It cannot listen. Name another address, or stop the program that has this one.
    Listen {
        /// Where.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refuses what every program needs: threads, a poll descriptor, signal handlers.
    System {
        /// What was asked for.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn listen(address: impl Into<String>, source: io::Error) -> Error {
        Error::Listen {
            address: address.into(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Listen { address, source } => write!(
                f,
                "cannot listen on {address}: {source}; name another address with --listen"
            ),
            Error::System { what, source } => {
                write!(
                    f,
                    "the system gives no {what}: {source}; check the process's limits"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Listen { source, .. } | Error::System { source, .. } => Some(source),
        }
    }
}
