//! The demo as its user runs it: the real program, real processes, real signals.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A demo that runs, ended with everything it made when the test fails.
struct Demo {
    child: Child,
    output: BufReader<ChildStdout>,
    segment: PathBuf,
    url: String,
    workers: Vec<u32>,
}

impl Demo {
    /// Starts a demo on `input` and reads its greeting.
    fn start(input: &Path, more: &[&str]) -> Demo {
        let mut child = command(input, more).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut demo = Demo {
            child,
            output,
            segment: PathBuf::new(),
            url: String::new(),
            workers: Vec::new(),
        };
        demo.url = demo.after("  metrics ");
        demo.segment = demo.after("  segment ").into();
        let workers = demo.after("  workers ");
        demo.workers = workers.split(' ').map(|pid| pid.parse().unwrap()).collect();
        assert_eq!(demo.workers.len(), 4);
        demo
    }

    /// The rest of the next line that starts with `prefix`.
    fn after(&mut self, prefix: &str) -> String {
        loop {
            let line = self.line().expect("the demo ended early");
            if let Some(rest) = line.strip_prefix(prefix) {
                return rest.trim().to_owned();
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let bytes = self.output.read_line(&mut line).unwrap();
        (bytes > 0).then(|| line.trim_end().to_owned())
    }

    fn folder(&self) -> &Path {
        self.segment.parent().unwrap()
    }

    fn scrape(&self) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let address = address.strip_suffix("/metrics").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Kills a worker; gives what the demo says of it, and takes note of the worker that replaces it.
    fn kill_worker(&mut self, at: usize) -> String {
        send(self.workers[at], Signal::SIGKILL);
        let line = self.after(&format!("worker {} ", at + 1));
        assert!(line.contains("killed by SIGKILL"), "{line}");
        self.workers[at] = line.rsplit(' ').next().unwrap().parse().unwrap();
        line
    }

    /// Waits for the end; gives the status and what was printed until then.
    fn finish(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            send(self.child.id(), Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

fn command(input: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tachograph-exporter"));
    command
        .args(["--demo", "--listen", "127.0.0.1:0", "--demo-input"])
        .arg(input)
        .args(more);
    command
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// Whether a process runs; one that has ended and waits for its parent does not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The value of a series on a page.
fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| {
        let rest = line.strip_prefix(series)?;
        rest.starts_with(' ').then(|| rest.trim().parse().unwrap())
    })
}

/// Small files of every kind.
fn small_tree() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("target")).unwrap();
    let write = |name: &str, content: &[u8]| fs::write(root.path().join(name), content).unwrap();
    for at in 0..40 {
        let text = format!("file {at} of many: naïve words, 東京, no end").repeat(at);
        write(&format!("text {at}.md"), text.as_bytes());
    }
    write("binary", b"\0\x01\x02");
    write("latin1", b"caf\xe9");
    write("target/skipped", b"not seen");
    root
}

/// Files that take a while, so that a worker is likely to be killed in the middle of one.
fn large_tree() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for at in 0..40 {
        let text: String = (0..12_000)
            .map(|n| format!("word{} ", n * at % 4001))
            .collect();
        fs::write(root.path().join(format!("large{at}")), text).unwrap();
    }
    root
}

#[test]
fn passes_end_with_equal_totals() {
    let input = small_tree();
    let mut demo = Demo::start(input.path(), &["--demo-passes", "2"]);
    let (status, rest) = demo.finish();
    assert!(status.success(), "{rest}");
    assert!(rest.contains("2 passes over 42 documents"), "{rest}");
    assert!(rest.contains("Equal: "), "{rest}");
    let row = |name: &str| {
        let line = rest.lines().find(|line| line.starts_with(name)).unwrap();
        let numbers = line[name.len()..].split_whitespace();
        numbers.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("demo_documents_total "), ["80", "80", "0"]);
    assert_eq!(
        row("demo_left_out_total{kind=\"binary\"} "),
        ["2", "2", "0"]
    );
    assert_eq!(
        row("demo_left_out_total{kind=\"not_utf8\"} "),
        ["2", "2", "0"]
    );
    assert!(!demo.folder().exists());
}

#[test]
fn a_killed_worker_costs_at_most_its_document_in_flight() {
    let input = large_tree();
    let mut demo = Demo::start(input.path(), &["--demo-passes", "8"]);
    let mut obituaries = Vec::new();
    let in_flight = loop {
        let line = demo.kill_worker(obituaries.len() % 4);
        let in_flight = line.split("in flight: ").nth(1).map(str::to_owned);
        obituaries.push(line);
        if let Some(in_flight) = in_flight {
            break in_flight.split(';').next().unwrap().to_owned();
        }
        // Killed between two documents: try another.
        assert!(obituaries.len() < 20, "{obituaries:?}");
        thread::sleep(Duration::from_millis(20));
    };
    let (status, rest) = demo.finish();
    assert!(status.success(), "{rest}");
    assert!(
        rest.contains("Explained: ") || rest.contains("Equal: "),
        "{rest}"
    );
    let named = rest
        .split("In flight when")
        .nth(1)
        .expect("documents in flight");
    assert!(named.contains(&in_flight), "{in_flight}: {rest}");
    assert!(!demo.folder().exists());
}

#[test]
fn files_that_change_during_the_run_are_not_held_against_it() {
    let input = large_tree();
    let mut demo = Demo::start(input.path(), &["--demo-passes", "4"]);
    fs::write(input.path().join("large39"), "another text").unwrap();
    fs::remove_file(input.path().join("large38")).unwrap();
    let (status, rest) = demo.finish();
    assert!(status.success(), "{rest}");
    assert!(rest.contains("Equal: "), "{rest}");
    assert!(rest.contains("Changed on disk"), "{rest}");
}

#[test]
fn without_passes_it_serves_until_it_is_terminated() {
    let input = small_tree();
    let mut demo = Demo::start(input.path(), &[]);
    wait_until("two passes are shown", || {
        value(&demo.scrape(), "demo_passes_total").is_some_and(|passes| passes >= 2.0)
    });

    let page = demo.scrape();
    let number = |series: &str| value(&page, series).unwrap_or_else(|| panic!("{series}: {page}"));
    assert!(number("demo_documents_total") >= 80.0);
    assert!(number("demo_left_out_total{kind=\"binary\"}") >= 2.0);
    assert!(number("demo_stage_duration_seconds_count{stage=\"hash\"}") >= 80.0);
    assert!(number("demo_documents_in_flight") <= 4.0);
    assert_eq!(number("demo_worker_restarts_total"), 0.0);

    demo.kill_worker(2);
    wait_until("the restart is shown", || {
        value(&demo.scrape(), "demo_worker_restarts_total") == Some(1.0)
    });

    assert!(demo.segment.exists() && demo.workers.iter().all(|&pid| runs(pid)));
    send(demo.child.id(), Signal::SIGTERM);
    let (status, rest) = demo.finish();
    assert!(status.success(), "{rest}");
    assert!(!demo.folder().exists());
    assert!(!demo.workers.iter().any(|&pid| runs(pid)));
}

#[test]
fn workers_end_with_a_supervisor_that_is_killed() {
    let input = small_tree();
    let mut demo = Demo::start(input.path(), &[]);
    // Those who have their name end with the supervisor whatever happens.
    wait_until("the workers are ready", || {
        demo.workers.iter().all(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == "tachograph-demo")
        })
    });
    // A stopped worker does not see the end of its input.
    send(demo.workers[0], Signal::SIGSTOP);
    send(demo.child.id(), Signal::SIGKILL);
    demo.child.wait().unwrap();
    wait_until("all workers have ended", || {
        !demo.workers.iter().any(|&pid| runs(pid))
    });
    fs::remove_dir_all(demo.folder()).unwrap();
}

#[test]
fn a_folder_without_files_is_an_error_that_leaves_nothing() {
    let empty = tempfile::tempdir().unwrap();
    for input in [empty.path(), &empty.path().join("missing")] {
        let output = command(input, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(input.to_str().unwrap()), "{message}");
    }
}
