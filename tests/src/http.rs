//! Just enough HTTP to ask an exporter and a Prometheus server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its head, with all header fields.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// Asks `address` for `target`, accepting `accept`.
///
/// # Errors
/// When the connection fails or the answer is not HTTP.
pub fn get(address: SocketAddr, target: &str, accept: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    // HTTP/1.0: the answer ends with the connection, and nothing is sent in chunks.
    write!(
        stream,
        "GET {target} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other(format!("not HTTP: {answer:.200}")))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        head: head.into(),
        body: body.into(),
    })
}

/// `text` as it stands in a query string.
pub fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = parse("HTTP/1.0 503 Busy\r\nA: b\r\n\r\nx\r\n\r\ny").unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.body, "x\r\n\r\ny");
        assert!(parse("hello").is_none());
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(percent_encoded("a_1{é}"), "a_1%7B%C3%A9%7D");
    }
}
