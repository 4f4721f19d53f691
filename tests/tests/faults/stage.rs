//! What the faults share: victims, the real exporter and probe, mounts of the test's own, and headers.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tachograph::{Reader, Snapshot};
use tachograph_tests::http;
use tachograph_tests::server::{self, Server};
use tachograph_tests::worker::{PATIENCE, lines_of};

pub(crate) const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// A process of the binary `victim`. Dropping it kills it.
pub(crate) struct Victim {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Victim {
    pub(crate) fn start() -> Victim {
        Victim::below::<&str>(&[])
    }

    /// Starts a victim as the last argument of other commands, such as `prlimit --fsize=4096`.
    pub(crate) fn below<S: AsRef<OsStr>>(wrapper: &[S]) -> Victim {
        let mut words = wrapper.iter().map(AsRef::as_ref).chain([VICTIM.as_ref()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        Victim::spawn(command)
    }

    /// A victim that has attached the segment at `path`.
    pub(crate) fn attached(path: &Path) -> Victim {
        let mut victim = Victim::start();
        victim.attach(path);
        victim
    }

    pub(crate) fn spawn(mut command: Command) -> Victim {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = lines_of(child.stdout.take().expect("a pipe"));
        Victim {
            input: child.stdin.take(),
            lines,
            child,
        }
    }

    /// Tells it to do something, and gives its answer.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!(
                "no answer to `{command}`: {error}, {:?}",
                self.child.try_wait()
            ),
        }
    }

    /// Tells it to do something that it may not outlive.
    pub(crate) fn tell(&mut self, command: &str) {
        let input = self.input.as_mut().expect("input is open");
        writeln!(input, "{command}").expect("the victim listens");
    }

    /// Tells it to do something that works.
    pub(crate) fn must(&mut self, command: &str) {
        assert_eq!(self.ask(command), "ok", "`{command}`");
    }

    /// Tells it to do something that fails, with a message that holds all of `expected`.
    pub(crate) fn fails(&mut self, command: &str, expected: &[&str]) {
        let answer = self.ask(command);
        let message = answer.strip_prefix("error: ");
        let message = message.unwrap_or_else(|| panic!("`{command}` works: {answer}"));
        assert_says(message, expected);
    }

    pub(crate) fn attach(&mut self, path: &Path) {
        self.must(&format!("attach path={}", path.display()));
    }

    /// Registers a counter, which must be a series, and adds to it.
    pub(crate) fn count(&mut self, name: &str, times: u64) {
        assert_eq!(self.ask(&format!("counter {name}")), "Series");
        self.must(&format!("add {name} {times}"));
    }

    /// Waits until it ends.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.input = None;
        let mut status = None;
        tachograph_tests::eventually("a victim ends", PATIENCE, || {
            status = self.child.try_wait().expect("the victim is ours");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Ends it; it must have lived to its end.
    pub(crate) fn finish(self) {
        let status = self.end();
        assert_eq!(status.code(), Some(0), "{status}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        signal::kill(pid, signal).expect("the victim is ours");
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the victim is ours");
        self.child.wait().expect("the victim is ours");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have been waited for; then there is nothing to kill.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// Asserts that a message holds everything that helps.
pub(crate) fn assert_says(message: &str, expected: &[&str]) {
    for part in expected {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

/// The real exporter and probe, as an operator sees a segment.
pub(crate) struct Operator {
    exporter: Server,
    path: PathBuf,
}

impl Operator {
    pub(crate) fn of(path: &Path) -> Operator {
        Operator::by(Server::exporter(path), path)
    }

    pub(crate) fn by(exporter: Server, path: &Path) -> Operator {
        let path = path.into();
        Operator { exporter, path }
    }

    /// The exporter's page, which is always served.
    pub(crate) fn page(&self) -> String {
        for probe in ["/-/healthy", "/"] {
            assert_eq!(self.get(probe).status, 200, "{probe}");
        }
        self.scrape()
    }

    pub(crate) fn scrape(&self) -> String {
        let page = self.get("/metrics");
        assert_eq!(page.status, 200);
        page.body
    }

    fn get(&self, target: &str) -> http::Answer {
        http::get(self.exporter.address, target, "*/*").expect("the exporter lives")
    }

    /// The value of a sample on the exporter's page.
    pub(crate) fn sample(&self, name: &str) -> Option<f64> {
        let page = self.page();
        let mut lines = page.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    pub(crate) fn is_up(&self) -> bool {
        let page = self.page();
        let mut lines = page.lines();
        let up = lines.find(|line| line.starts_with("tachograph_segment_up{"));
        up.expect("it is always there").ends_with(" 1")
    }

    /// The segment cannot be read, and the exporter and the probe say why.
    pub(crate) fn sees_nothing(&self, reasons: &[&str]) {
        assert!(!self.is_up());
        let ready = self.get("/-/ready");
        assert_eq!(ready.status, 503);
        assert_says(&ready.body, reasons);
        for command in ["ls", "procs", "check"] {
            let (code, text) = probe(&self.path, command);
            assert_eq!(code, 1, "{command}: {text}");
            assert_says(&text, reasons);
        }
    }

    /// The segment is read, and the exporter and the probe say what is damaged.
    pub(crate) fn sees_damage(&self, reasons: &[&str]) {
        assert!(self.is_up());
        let found = self.sample("tachograph_damaged_records{segment=\"test\"}");
        assert!(found.is_some_and(|found| found >= 1.0), "{found:?}");
        for (command, expected) in [("ls", 0), ("procs", 0), ("check", 1)] {
            let (code, text) = probe(&self.path, command);
            assert_eq!(code, expected, "{command}: {text}");
            if command == "check" {
                assert_says(&text, reasons);
            }
        }
    }

    /// The segment is read, and the probe's commands work on it.
    pub(crate) fn sees_all(&self) {
        assert!(self.is_up());
        for command in ["ls", "procs", "check"] {
            let (code, text) = probe(&self.path, command);
            assert_eq!(code, 0, "{command}: {text}");
        }
    }
}

/// The exit status and all the output of a command of the real probe.
pub(crate) fn probe(path: &Path, command: &str) -> (i32, String) {
    let mut probe = Command::new(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
    probe.args(["--segment".as_ref(), path.as_os_str(), command.as_ref()]);
    let output = server::run(probe, "");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let code = output.status.code();
    let code = code.unwrap_or_else(|| panic!("the probe ended by {:?}: {text}", output.status));
    (code, text)
}

pub(crate) fn snapshot(path: &Path) -> Snapshot {
    Reader::attach(path)
        .and_then(|mut reader| reader.snapshot())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What was counted, over all series of a family.
pub(crate) fn counted(snapshot: &Snapshot, family: &str) -> f64 {
    let families = snapshot.families().filter(|it| it.family.name == family);
    families
        .flat_map(|family| family.series())
        .map(|series| match series.value {
            tachograph::ValueView::Number(tachograph::Number::Unsigned(n)) => n as f64,
            other => panic!("{family} is {other:?}"),
        })
        .sum()
}

/// Whether this is root; says so where not.
pub(crate) fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        tachograph_tests::skip("needs root");
    }
    is_root
}

/// Gives the calling thread, and what it starts, mounts of their own: they end with it, however it ends.
pub(crate) fn own_mounts() {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).expect("root may have a namespace");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None, Path::new("/"), private, None);
}

pub(crate) fn mount(from: Option<&Path>, at: &Path, flags: MsFlags, options: Option<&str>) {
    let kind = options.map(|_| "tmpfs");
    nix::mount::mount(from, at, kind, flags, options)
        .unwrap_or_else(|error| panic!("mount at {}: {error}", at.display()));
}

/// A tmpfs of its own for one test. Dropping it unmounts it, so that its folder can be removed.
pub(crate) struct Tmpfs {
    pub(crate) folder: PathBuf,
    /// Where a segment goes.
    pub(crate) segment: PathBuf,
}

impl Tmpfs {
    /// Mounts one at `folder`, which is made.
    pub(crate) fn new(folder: PathBuf, options: &str) -> Tmpfs {
        own_mounts();
        fs::create_dir(&folder).expect("room for a folder");
        mount(None, &folder, MsFlags::empty(), Some(options));
        let segment = folder.join("test.seg");
        Tmpfs { folder, segment }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Even where that fails the mount ends with the test: it is in a namespace of its own.
        let _ = nix::mount::umount2(&self.folder, MntFlags::MNT_DETACH);
    }
}

/// How much room the file system of `folder` has.
pub(crate) fn free_bytes(folder: &Path) -> u64 {
    let free = nix::sys::statfs::statfs(folder).expect("a mounted folder");
    let block = u64::try_from(free.block_size()).expect("a positive size");
    free.blocks_free() * block
}

/// Fills the file system of `folder`, but for `spare` bytes; `None` where it has less.
pub(crate) fn fill(folder: &Path, spare: u64) -> Option<PathBuf> {
    let path = folder.join("filler");
    let file = File::create(&path).expect("room for a file");
    let bytes = free_bytes(folder).checked_sub(spare)?;
    if bytes > 0 {
        reserve(&file, 0, bytes);
    }
    Some(path)
}

pub(crate) fn reserve(file: &File, offset: u64, bytes: u64) {
    use nix::fcntl::{FallocateFlags, fallocate};
    let signed = |bytes: u64| i64::try_from(bytes).expect("a small file");
    fallocate(file, FallocateFlags::empty(), signed(offset), signed(bytes))
        .expect("what is free can be had");
}

pub(crate) fn punch(path: &Path, offset: u64, bytes: u64) {
    use nix::fcntl::{FallocateFlags, fallocate};
    let file = open(path);
    let signed = |bytes: u64| i64::try_from(bytes).expect("a small file");
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(file, flags, signed(offset), signed(bytes)).expect("a hole can be punched");
}

pub(crate) fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(path);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn blocks(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").blocks()
}

/// Words of the immutable part of a header: see docs/FORMAT.md.
const HEADER_WORDS: usize = 256;
const CHECKSUM: usize = 2;
pub(crate) const VERSION: usize = 1;
pub(crate) const BOOT_ID: usize = 6;
const SECTIONS: usize = 16;

fn header(path: &Path) -> [u64; HEADER_WORDS] {
    let mut bytes = [0; HEADER_WORDS * 8];
    open(path).read_exact_at(&mut bytes, 0).expect("a header");
    let mut words = [0; HEADER_WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*chunk);
    }
    words
}

/// Where a section lies: `(offset, bytes)`.
pub(crate) fn section(path: &Path, kind: u64) -> (u64, u64) {
    let header = header(path);
    let entries = header[SECTIONS..].chunks_exact(4);
    let mut found = entries.filter(|entry| entry[0] & 0xff == kind);
    let entry = found.next().expect("every section is there");
    (entry[1] * 8, entry[2] * 8)
}

/// Changes a word of a header, and makes its checksum right again.
pub(crate) fn change_header(path: &Path, word: usize, change: impl FnOnce(u64) -> u64) {
    let mut words = header(path);
    words[word] = change(words[word]);
    let covered = words.iter().enumerate().filter(|&(at, _)| at != CHECKSUM);
    words[CHECKSUM] = covered.fold(0xcbf2_9ce4_8422_2325, |hash, (_, word)| {
        let bytes = word.to_le_bytes().into_iter();
        bytes.fold(hash, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    });
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    open(path).write_all_at(&bytes, 0).expect("a header");
}

/// Long enough for a thread to have run.
pub(crate) fn let_run() {
    std::thread::sleep(Duration::from_millis(30));
}
