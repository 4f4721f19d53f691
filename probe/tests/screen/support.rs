//! A program in a pseudo-terminal, the screen that it draws, and segments for it to show.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use tachograph::{Buckets, GaugeMode, SegmentOptions, Unit, Writer};
use tempfile::TempDir;

/// What nothing here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program in a pseudo-terminal.
pub(crate) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
    before: String,
    /// All keys so far.
    pressed: String,
}

/// The screen, and all bytes that made it.
struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// The probe with a known environment.
pub(crate) fn probe(arguments: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tachograph-probe"));
    command.args(arguments);
    command.env("LC_ALL", "C.UTF-8");
    command.env("TERM", "xterm-256color");
    command.env_remove("TACHOGRAPH_SEGMENT");
    command.env_remove("NO_COLOR");
    command
}

impl Terminal {
    pub(crate) fn start(command: CommandBuilder, columns: u16, rows: u16) -> Terminal {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let before = settings(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(rows, columns, 0),
            bytes: Vec::new(),
        }));
        let mut output = pair.master.try_clone_reader().unwrap();
        let seen = Arc::clone(&screen);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let mut seen = seen.lock().unwrap();
                seen.parser.process(&bytes[..count]);
                seen.bytes.extend_from_slice(&bytes[..count]);
            }
        });
        Terminal {
            keys: pair.master.take_writer().unwrap(),
            master: pair.master,
            child,
            screen,
            reader: Some(reader),
            before,
            pressed: String::new(),
        }
    }

    /// `top` on the segment of `path`, once it shows something.
    pub(crate) fn top(path: &Path, columns: u16, rows: u16, more: &[&str]) -> Terminal {
        let mut command = probe(&["top", "--segment", path.to_str().unwrap()]);
        command.args(more);
        let mut terminal = Terminal::start(command, columns, rows);
        terminal.wait_for("alive");
        terminal
    }

    /// All keys that were pressed so far.
    pub(crate) fn pressed(&self) -> &str {
        &self.pressed
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.pressed.push_str(keys);
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        // As terminals do: what is drawn for the new size meets a screen of that size.
        let mut seen = self.screen.lock().unwrap();
        seen.parser.screen_mut().set_size(rows, columns);
        self.master.resize(size(columns, rows)).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().parser.screen().contents()
    }

    pub(crate) fn with_screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.screen.lock().unwrap().parser.screen())
    }

    /// All that the program wrote so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.screen.lock().unwrap().bytes.clone()
    }

    pub(crate) fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// Presses a key again and again: what it leads to may still grow.
    pub(crate) fn press_until(&mut self, key: &str, what: &str, is_so: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(&self.text()) {
            assert!(Instant::now() < end, "{what}: never in\n{}", self.text());
            self.press(key);
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn wait_until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(&self.text()) {
            assert!(Instant::now() < end, "{what}: never in\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The text once nothing more comes, of a screen that does not move by itself.
    pub(crate) fn settled(&mut self) -> String {
        loop {
            let count = self.bytes().len();
            thread::sleep(Duration::from_millis(300));
            if self.bytes().len() == count {
                return self.text();
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits until the program ends and everything it wrote was read.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// Whether the terminal is as it was before the program ran.
    pub(crate) fn is_restored(&self) -> bool {
        let is_plain =
            self.with_screen(|screen| !screen.alternate_screen() && !screen.hide_cursor());
        is_plain && settings(&*self.master) == self.before
    }

    /// Whether the program has the terminal for itself.
    pub(crate) fn is_taken(&self) -> bool {
        let is_full = self.with_screen(|screen| screen.alternate_screen() && screen.hide_cursor());
        is_full && settings(&*self.master) != self.before
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the line discipline treats input and output.
fn settings(master: &dyn MasterPty) -> String {
    let termios = master.get_termios().unwrap();
    format!(
        "{:?} {:?} {:?} {:?}",
        termios.input_flags, termios.output_flags, termios.control_flags, termios.local_flags
    )
}

/// A segment in which things happen until it is dropped.
pub(crate) struct Busy {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    _writer: Writer,
    stop: Option<std::sync::mpsc::Sender<()>>,
    worker: Option<JoinHandle<()>>,
}

impl Busy {
    pub(crate) fn new() -> Busy {
        let folder = tempfile::Builder::new()
            .prefix("tachograph-screen-")
            .tempdir_in("/dev/shm")
            .unwrap();
        let path = folder.path().join("shop.seg");
        let writer = SegmentOptions::new()
            .path(&path)
            .process_name("shop")
            .attach()
            .unwrap();
        let (stop, stopped) = std::sync::mpsc::channel();
        let mut work = work(&writer);
        let worker = thread::spawn(move || {
            let mut step = 0u64;
            let pause = Duration::from_millis(5);
            while stopped.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                work(step);
                step += 1;
            }
        });
        Busy {
            folder,
            path,
            _writer: writer,
            stop: Some(stop),
            worker: Some(worker),
        }
    }

    pub(crate) fn top(&self, columns: u16, rows: u16, more: &[&str]) -> Terminal {
        Terminal::top(&self.path, columns, rows, more)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(worker) = self.worker.take() {
            worker.join().unwrap();
        }
    }
}

/// What a shop records: every type, labels, an overflowed family.
fn work(writer: &Writer) -> impl FnMut(u64) + Send + use<> {
    let requests = writer.counter("http_requests_total", "Requests served");
    let requests = requests.family().unwrap();
    let requests: Vec<_> = [
        ("get", "200"),
        ("get", "404"),
        ("post", "200"),
        ("post", "503"),
    ]
    .iter()
    .map(|(method, code)| {
        requests
            .with(&[("method", *method), ("code", *code)])
            .unwrap()
    })
    .collect();
    let sent = writer.counter("sent_bytes_total", "Bytes sent");
    let sent = sent.unit(Unit::BYTES).register().unwrap();
    let waiting = writer.gauge("waiting_requests", "Requests that wait");
    let waiting = waiting.register().unwrap();
    let jobs = writer.gauge("worker_jobs", "Jobs of each worker");
    let jobs = jobs.mode(GaugeMode::Each).register().unwrap();
    let queue = writer.gauge("queue_bytes", "Bytes in the queue");
    let queue = queue.unit(Unit::BYTES).register().unwrap();
    queue.set(1 << 21);
    let times = writer.histogram("http_request_duration_seconds", "Time to serve a request");
    let times = times.unit(Unit::NANOSECONDS).label("method", "get");
    let times = times.register().unwrap();
    let stages = writer.histogram("stage_duration_seconds", "Time of a stage");
    let stages = stages
        .unit(Unit::NANOSECONDS)
        .buckets(Buckets::explicit([1_000_000, 10_000_000, 100_000_000]).unwrap())
        .label("stage", "größe")
        .register()
        .unwrap();
    let state = writer.state_set("shop_state", "What it does", &["open", "closed"]);
    let state = state.register().unwrap();
    let build = writer
        .info("build_info", "The build")
        .label("version", "1.2");
    build.register().unwrap();
    let tenants = writer
        .counter("tenant_orders_total", "Orders")
        .series_limit(3);
    let tenants = tenants.family().unwrap();
    for tenant in ["a", "b", "c", "d", "e"] {
        tenants.with(&[("tenant", tenant)]).unwrap().inc();
    }
    move |step| {
        let wave = step % 200;
        let wave = if wave < 100 { wave } else { 200 - wave };
        requests[0].add(20 + wave);
        requests[2].add(5 + wave / 4);
        if step % 16 == 0 {
            requests[1].inc();
        }
        sent.add(4096 * (1 + wave));
        waiting.set(i64::try_from(wave / 5).unwrap());
        jobs.set(i64::try_from(step % 7).unwrap());
        for turn in 0..20 {
            let spread = (step * 7919 + turn * 104_729) % 1000;
            times.record(200_000 + spread * spread * 4 + wave * 20_000);
        }
        stages.record(5_000_000);
        state.set(usize::from(step / 400 % 2 == 1));
    }
}
