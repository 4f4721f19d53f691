//! An exporter's page: fetched, and its samples.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::lint::Dialect;
use crate::lint::line::{self, Line};

const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of a page.
const BYTES_MAX: u64 = 1 << 30;

/// Text, with all names as they are; else as they are escaped.
const ACCEPT: &str =
    "text/plain; version=1.0.0; escaping=allow-utf-8, text/plain; version=0.0.4; q=0.5";

/// A name with its labels in order, as text.
pub(super) type Samples = BTreeMap<String, f64>;

/// The page at `http://HOST:PORT/PATH` or `unix:PATH`.
pub(super) fn fetch(url: &str) -> io::Result<String> {
    if let Some(path) = url.strip_prefix("unix:") {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        return ask(stream, "localhost", "/metrics");
    }
    let wrong = || io::Error::other("give http://HOST:PORT/PATH or unix:PATH");
    if url.starts_with("https://") {
        let reason = "the doctor speaks no TLS";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/metrics"),
    };
    let address = host.to_socket_addrs()?.next().ok_or_else(wrong)?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    ask(stream, host, path)
}

fn ask(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<String> {
    // HTTP/1.0: the body ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {ACCEPT}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(BYTES_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("it does not speak HTTP"))?;
    let status = head.lines().next().unwrap_or_default();
    let reason = || {
        let reason = body.lines().next().unwrap_or_default();
        format!("it answers {status:?}: {reason}")
    };
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("401" | "403" | "421") => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, reason()))
        }
        _ => Err(io::Error::other(reason())),
    }
}

/// The samples of a page in the text format; lines that are none are left out.
pub(super) fn samples(page: &str) -> Samples {
    let lines = page.lines().map(|line| line::parse(line, Dialect::Text));
    let samples = lines.filter_map(|line| match line {
        Ok(Line::Sample(sample)) => Some((key(&sample.name, sample.labels), sample.value)),
        _ => None,
    });
    samples.collect()
}

/// One text for a name and its labels, whatever their order.
pub(super) fn key(name: &str, mut labels: Vec<(String, String)>) -> String {
    labels.sort();
    format!("{name}{labels:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_escapes() {
        let page = "# HELP x X\nx_total{b=\"1\",a=\"q\\\"\\\\\\n,}\"} 5\ny 1e3 1700\nodd\nz{ 1\n\
                    {\"o.dd_total\",\"a b\"=\"1\"} 6\n";
        let samples = samples(page);
        let labels = vec![("a".into(), "q\"\\\n,}".into()), ("b".into(), "1".into())];
        assert_eq!(samples.get(&key("x_total", labels)), Some(&5.0));
        assert_eq!(samples.get(&key("y", Vec::new())), Some(&1000.0));
        let labels = vec![("a b".into(), "1".into())];
        assert_eq!(samples.get(&key("o.dd_total", labels)), Some(&6.0));
        assert_eq!(samples.len(), 3);
    }
}
