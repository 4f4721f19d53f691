//! What a client may do.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::time;
use crate::cli::LimitArguments;

/// Limits of the connections; section `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Time from the first byte of a request, or from the connection, to the end of its headers.
    #[serde(with = "time")]
    pub header_timeout: Duration,
    /// Time between an answer and the first byte of the next request.
    #[serde(with = "time")]
    pub idle_timeout: Duration,
    /// Time from the end of a request's headers until the client has taken the answer.
    #[serde(with = "time")]
    pub response_timeout: Duration,
    /// Time from the beginning of a connection until it is closed, after the request in flight.
    #[serde(with = "time")]
    pub connection_timeout: Duration,
    /// Connections at a time.
    #[serde(deserialize_with = "within::<1, 65_536, _>")]
    pub max_connections: u32,
    /// Scrapes at a time, each from its request until the client has taken the page.
    #[serde(deserialize_with = "within::<1, 65_536, _>")]
    pub max_scrapes: u32,
    /// Bytes of a request's line and headers.
    #[serde(deserialize_with = "within::<8_192, 1_048_576, _>")]
    pub max_header_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            response_timeout: Duration::from_secs(30),
            connection_timeout: Duration::from_secs(3600),
            max_connections: 128,
            max_scrapes: 40,
            max_header_bytes: 16 * 1024,
        }
    }
}

impl Limits {
    pub(super) fn overlay(&mut self, given: &LimitArguments) {
        let over = |value: &mut Duration, given: Option<Duration>| *value = given.unwrap_or(*value);
        over(&mut self.header_timeout, given.header_timeout);
        over(&mut self.idle_timeout, given.idle_timeout);
        over(&mut self.response_timeout, given.response_timeout);
        over(&mut self.connection_timeout, given.connection_timeout);
        self.max_connections = given.max_connections.unwrap_or(self.max_connections);
        self.max_scrapes = given.max_scrapes.unwrap_or(self.max_scrapes);
        self.max_header_bytes = given.max_header_bytes.unwrap_or(self.max_header_bytes);
    }
}

/// A number from `LEAST` to `MOST`.
pub(super) fn within<'a, const LEAST: u32, const MOST: u32, D: Deserializer<'a>>(
    input: D,
) -> Result<u32, D::Error> {
    let number = u32::deserialize(input)?;
    if (LEAST..=MOST).contains(&number) {
        Ok(number)
    } else {
        Err(D::Error::custom(format!(
            "give a number from {LEAST} to {MOST}"
        )))
    }
}
