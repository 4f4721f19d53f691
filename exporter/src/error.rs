//! What can go wrong when the exporter starts.

use std::fmt;
use std::io;

use crate::config::ConfigError;

/// Why the exporter cannot run.
#[derive(Debug)]
pub enum Error {
    /// The configuration makes no sense. The message names the place.
    Config(ConfigError),
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

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Error {
        Error::Config(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(error) => write!(f, "{error}"),
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
            Error::Config(error) => Some(error),
            Error::Listen { source, .. } | Error::System { source, .. } => Some(source),
        }
    }
}
