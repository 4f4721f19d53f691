//! What a client may do.

use std::time::Duration;

/// Limits of the connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time from the first byte of a request, or from the connection, to the end of its headers.
    pub header_timeout: Duration,
    /// Time between an answer and the first byte of the next request.
    pub idle_timeout: Duration,
    /// Time from the end of a request's headers until the client has taken the answer.
    pub response_timeout: Duration,
    /// Connections at a time.
    pub connections: u32,
    /// Scrapes at a time, each from its request until the client has taken the page.
    pub scrapes: u32,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            response_timeout: Duration::from_secs(30),
            connections: 128,
            scrapes: 40,
            header_bytes: 16 * 1024,
        }
    }
}
