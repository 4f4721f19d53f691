//! Where a page comes from.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Dialect;
use crate::failure::Failure;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// No page is larger.
const BYTES_MAX: u64 = 1 << 30;
const OPENMETRICS: &str = "application/openmetrics-text";

/// A page, and what its server says that it is.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) bytes: Vec<u8>,
    pub(crate) dialect: Option<Dialect>,
}

/// Reads the page at `place`: an address, a file, or `-`.
pub(crate) fn page(place: &str, wanted: Option<Dialect>) -> Result<Page, Failure> {
    if place.starts_with("https://") {
        return message(format!(
            "{place}: only http is spoken here; curl -s {place} | tachograph-probe lint -"
        ));
    }
    let read = match place.strip_prefix("http://") {
        Some(address) => ask(address, wanted),
        None => file(place).map(|bytes| Page {
            bytes,
            dialect: None,
        }),
    };
    read.or_else(|error| message(format!("{place}: {error}")))
}

fn message<T>(text: String) -> Result<T, Failure> {
    Err(Failure::Message(text))
}

fn file(path: &str) -> io::Result<Vec<u8>> {
    match path {
        "-" => text(io::stdin()),
        path => text(File::open(path)?),
    }
}

/// All of a text. What has a zero byte at its start is none, and may be as large as a segment.
fn text(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.by_ref().take(4096).read_to_end(&mut bytes)?;
    if bytes.contains(&0) {
        return Err(io::Error::other("it is no text, but a segment or the like"));
    }
    from.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ask(address: &str, wanted: Option<Dialect>) -> io::Result<Page> {
    let (host, path) = match address.split_once('/') {
        Some((host, path)) => (host, format!("/{path}")),
        None => (address, "/metrics".to_owned()),
    };
    let mut stream = connect(host)?;
    let accept = match wanted {
        Some(Dialect::Text) => "text/plain;version=0.0.4".to_owned(),
        Some(Dialect::OpenMetrics) => format!("{OPENMETRICS};version=1.0.0"),
        None => format!("{OPENMETRICS};version=1.0.0,text/plain;version=0.0.4;q=0.5"),
    };
    // The old version: the answer ends with the connection and does not come in chunks.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(BYTES_MAX).read_to_end(&mut answer)?;
    body(answer)
}

fn connect(host: &str) -> io::Result<TcpStream> {
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = if has_port {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut last = io::Error::other("it has no address");
    for address in target.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn body(mut answer: Vec<u8>) -> io::Result<Page> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    let bytes = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let text = String::from_utf8_lossy(&bytes);
        let reason = text.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!(
            "the answer is {status}: {reason}"
        )));
    }
    let field = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    if field("transfer-encoding:").is_some() || field("content-encoding:").is_some() {
        return Err(io::Error::other("the answer is coded; curl decodes it"));
    }
    let length = field("content-length:").and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|length| bytes.len() < length) {
        return Err(io::Error::other("the answer ended early"));
    }
    let kind = field("content-type:").unwrap_or_default();
    let dialect = match () {
        () if kind.starts_with(OPENMETRICS) => Some(Dialect::OpenMetrics),
        () if kind.starts_with("text/plain") => Some(Dialect::Text),
        () => {
            return Err(io::Error::other(format!(
                "it is of type {kind:?}, which is no page"
            )));
        }
    };
    Ok(Page { bytes, dialect })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<Page, String> {
        body(text.as_bytes().to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn answers() {
        let page =
            answer("HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\na 1\n")
                .unwrap();
        assert_eq!(
            (page.bytes.as_slice(), page.dialect),
            (&b"a 1\n"[..], Some(Dialect::Text))
        );
        let page = answer("HTTP/1.0 200 OK\r\ncontent-type: application/openmetrics-text\r\n\r\n")
            .unwrap();
        assert_eq!(page.dialect, Some(Dialect::OpenMetrics));
        for (wrong, why) in [
            ("hello", "not HTTP"),
            ("HTTP/1.0 503 No\r\n\r\ntoo busy\n", "503: too busy"),
            (
                "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n",
                "no page",
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nx", "early"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
                "coded",
            ),
        ] {
            let error = answer(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
