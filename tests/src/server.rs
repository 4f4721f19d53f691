//! The exporter and other programs that the tests start beside the workers.

use std::env;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::worker::lines_of;

const LIMIT: Duration = Duration::from_secs(30);

/// A server on a port of the loopback. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

impl Server {
    /// Starts the exporter on `segment` and waits until it says where it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn exporter(segment: &Path) -> Server {
        Server::exporter_below(&[], segment)
    }

    /// As [`Server::exporter`], as the last argument of another command.
    ///
    /// # Panics
    /// When it does not.
    pub fn exporter_below(wrapper: &[&str], segment: &Path) -> Server {
        let program = program("tachograph-exporter", "TACHOGRAPH_EXPORTER");
        let words = wrapper.iter().map(OsStr::new);
        let mut words = words.chain([program.as_os_str()]);
        let child = Command::new(words.next().expect("a program"))
            .args(words)
            .arg("--segment")
            .arg(segment)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; ./check builds it", program.display()));
        let mut server = Server {
            child,
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        let lines = lines_of(server.child.stderr.take().expect("a pipe"));
        while server.address.port() == 0 {
            let line = lines.recv_timeout(LIMIT).expect("the exporter's address");
            server.address = address_in(&line).unwrap_or(server.address);
        }
        server
    }

    /// Starts a Prometheus server that scrapes `target` each second and keeps its files in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn prometheus(target: SocketAddr, folder: &Path) -> Server {
        Server::prometheus_with(&[], target, folder)
    }

    /// As [`Server::prometheus`], with more arguments.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn prometheus_with(arguments: &[&str], target: SocketAddr, folder: &Path) -> Server {
        let job = job(target);
        Server::prometheus_scraping(&[job], arguments, folder)
    }

    /// Starts a Prometheus server that does these jobs each second.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn prometheus_scraping(jobs: &[String], arguments: &[&str], folder: &Path) -> Server {
        let (config, address) = scraping(jobs, folder);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("`prometheus` is installed; ./check does it");
        Server { child, address }
    }

    /// Starts a VictoriaMetrics server that keeps its files in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn victoria_metrics(folder: &Path) -> Server {
        Server::victoria_metrics_with(&[], free_address(), folder)
    }

    /// Starts a VictoriaMetrics server that scrapes `target` each second and keeps its files in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn victoria_metrics_scraping(target: SocketAddr, folder: &Path) -> Server {
        let (config, address) = scraping(&[job(target)], folder);
        let config = format!("-promscrape.config={}", config.display());
        Server::victoria_metrics_with(&[config], address, &folder.join("data"))
    }

    fn victoria_metrics_with(arguments: &[String], address: SocketAddr, data: &Path) -> Server {
        let child = Command::new("victoria-metrics")
            .args(arguments)
            .arg(format!("-httpListenAddr={address}"))
            .arg(format!("-storageDataPath={}", data.display()))
            // Otherwise it answers with values of half a minute ago.
            .args(["-search.latencyOffset=1ms", "-search.disableCache"])
            .args(["-loggerLevel=ERROR", "-memory.allowedPercent=5"])
            .stdin(Stdio::null())
            .spawn()
            .expect("`victoria-metrics` is installed; ./check does it");
        Server { child, address }
    }
}

/// An address at which nobody listens. Somebody else could take it before the test does, which then fails.
///
/// # Panics
/// When no port is free.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// The job of a server that scrapes `target`.
fn job(target: SocketAddr) -> String {
    format!("{{job_name: test, static_configs: [{{targets: ['{target}']}}]}}")
}

/// The file that tells a server to do these jobs each second, and a free address for the server.
fn scraping(jobs: &[String], folder: &Path) -> (PathBuf, SocketAddr) {
    let config = folder.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: [{}]\n",
        jobs.join(", ")
    );
    std::fs::write(&config, text).expect("room for a file");
    (config, free_address())
}

/// A program of this workspace: named by the environment, or beside the tests.
///
/// # Panics
/// When the test has no path.
pub fn program(name: &str, variable: &str) -> PathBuf {
    env::var_os(variable).map_or_else(
        || {
            let test = env::current_exe().expect("a path");
            test.ancestors().nth(2).expect("target/profile").join(name)
        },
        Into::into,
    )
}

pub(crate) fn address_in(line: &str) -> Option<SocketAddr> {
    let from = line.find("127.0.0.1:")?;
    let rest = &line[from..];
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// Runs a program to its end with `input` on its standard input.
///
/// # Panics
/// When it cannot be started.
pub fn run(mut command: Command, input: impl AsRef<[u8]> + Send) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; ./check installs it"));
    let mut pipe = child.stdin.take().expect("a pipe");
    let mut errors = child.stderr.take().expect("a pipe");
    thread::scope(|scope| {
        // It may end before it has read all.
        scope.spawn(move || pipe.write_all(input.as_ref()));
        let stderr = scope.spawn(move || {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).map(|_| text)
        });
        let mut output = child.wait_with_output().expect("it is ours");
        output.stderr = stderr
            .join()
            .expect("no panic")
            .expect("a pipe can be read");
        output
    })
}

/// The Python that has the official client.
pub fn python() -> PathBuf {
    env::var_os("TACHOGRAPH_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python"),
        Into::into,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_a_line() {
        let expected = "127.0.0.1:9464".parse().ok();
        assert_eq!(address_in("on http://127.0.0.1:9464/metrics"), expected);
        assert_eq!(address_in("127.0.0.1:9464"), expected);
        assert_eq!(address_in("nothing"), None);
    }
}
