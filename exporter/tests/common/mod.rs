//! Runs the command and talks to it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of this one"
)]

pub mod certificates;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No step of a test takes longer, even on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

/// The command with no segment of its own to find.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tachograph-exporter"));
    command.env("TACHOGRAPH_SEGMENT", "/nonexistent/tachograph/test.seg");
    command.env_remove("COLUMNS");
    command
}

/// Waits for what must come.
pub struct Patience(Instant);

impl Default for Patience {
    fn default() -> Patience {
        Patience(Instant::now() + PATIENCE)
    }
}

impl Patience {
    pub fn until(&self, why_not: &str, mut is_there: impl FnMut() -> bool) {
        while !is_there() {
            assert!(Instant::now() < self.0, "{why_not}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A running exporter; killed when dropped.
pub struct Exporter {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// The addresses it printed.
    pub addresses: Vec<String>,
}

/// What an HTTP server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The value of a sample, by all that stands before it.
    pub fn sample(&self, beginning: &str) -> Option<&str> {
        self.body
            .lines()
            .find_map(|line| line.strip_prefix(beginning)?.strip_prefix(' '))
    }
}

impl Exporter {
    /// Starts it on a free port.
    pub fn start<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Exporter {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Exporter::spawn(command, 1)
    }

    /// Starts `command` and waits until it listens on `listeners` addresses.
    pub fn spawn(mut command: Command, listeners: usize) -> Exporter {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut exporter = Exporter {
            child,
            lines,
            seen: Vec::new(),
            addresses: Vec::new(),
        };
        for _ in 0..listeners {
            let line = exporter.wait_for_line("listening on ");
            let address = line.strip_prefix("listening on ").unwrap().to_owned();
            exporter.addresses.push(address);
        }
        exporter
    }

    /// The next line on stderr that has `text` in it.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with {text:?} ({error}); saw {:#?}", self.seen),
            }
        }
    }

    /// All lines so far that have `text` in them.
    pub fn lines_with(&mut self, text: &str) -> Vec<String> {
        self.seen.extend(self.lines.try_iter());
        let with = self.seen.iter().filter(|line| line.contains(text));
        with.cloned().collect()
    }

    pub fn host(&self) -> &str {
        let (_, address) = self.addresses[0].split_once("://").unwrap();
        address.strip_suffix("/metrics").unwrap()
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.host())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path)
    }

    pub fn request(&self, method: &str, path: &str) -> Answer {
        exchange(self.connect(), method, path)
    }

    /// Sends this and reads to the end of the connection.
    pub fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(stream)
    }

    /// Asks for the page with more headers, each with its line end; the body as bytes.
    pub fn get_with(&self, headers: &str) -> (Answer, Vec<u8>) {
        let mut stream = self.connect();
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let head = bytes.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
        let body = bytes.split_off(head);
        (read_answer(bytes.as_slice()), body)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success());
    }

    /// Signals the exporter where something else has started it.
    pub fn signal_child(&self, name: &str) {
        let script = format!(
            "kill -{name} $(cat /proc/{0}/task/{0}/children)",
            self.pid()
        );
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended on its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(host: &str) -> TcpStream {
    let stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub fn get(host: &str, path: &str) -> Answer {
    exchange(connect(host), "GET", path)
}

/// Sends one request and reads to the end of the connection.
pub fn exchange<S: Read + Write>(mut stream: S, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_answer(stream)
}

/// Reads an answer that ends with the connection.
pub fn read_answer<S: Read>(mut stream: S) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Reads one answer from a connection that is kept.
pub fn read_kept_answer<S: Read>(stream: &mut S) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut answer = Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: String::new(),
    };
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer.body = String::from_utf8(body).unwrap();
    answer
}

pub fn get_unix(path: &Path, target: &str) -> Answer {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, "GET", target)
}

/// Asks until `is_there` holds for the page.
pub fn wait_for_page(exporter: &Exporter, is_there: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = exporter.get("/metrics");
        if is_there(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never came: {}", answer.body);
        std::thread::sleep(Duration::from_millis(20));
    }
}
