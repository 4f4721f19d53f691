//! An exporter's page: fetched, and its samples.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of a page.
const BYTES_MAX: u64 = 1 << 30;

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
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: text/plain; version=0.0.4\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(BYTES_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("it does not speak HTTP"))?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        let reason = body.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("it answers {status:?}: {reason}")));
    }
    Ok(body.to_owned())
}

/// The samples of a page in the text format; lines that are none are left out.
pub(super) fn samples(page: &str) -> Samples {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(sample).collect()
}

fn sample(line: &str) -> Option<(String, f64)> {
    let (name, labels, rest) = match line.find('{') {
        None => {
            let (name, rest) = line.split_once(' ')?;
            (name, Vec::new(), rest)
        }
        Some(at) => {
            let (labels, rest) = labels(&line[at + 1..])?;
            (&line[..at], labels, rest)
        }
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((key(name, labels), value))
}

/// One text for a name and its labels, whatever their order.
pub(super) fn key(name: &str, mut labels: Vec<(String, String)>) -> String {
    labels.sort();
    format!("{name}{labels:?}")
}

/// What stands between the braces, and what follows them.
fn labels(mut text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let (value, rest) = quoted(rest)?;
        labels.push((name.to_owned(), value));
        text = rest;
    }
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_escapes() {
        let page = "# HELP x X\nx_total{b=\"1\",a=\"q\\\"\\\\\\n,}\"} 5\ny 1e3 1700\nodd\nz{ 1\n";
        let samples = samples(page);
        let labels = vec![("a".into(), "q\"\\\n,}".into()), ("b".into(), "1".into())];
        assert_eq!(samples.get(&key("x_total", labels)), Some(&5.0));
        assert_eq!(samples.get(&key("y", Vec::new())), Some(&1000.0));
        assert_eq!(samples.len(), 2);
    }
}
