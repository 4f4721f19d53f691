//! A live segment with known values, and the program run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tachograph::{Buckets, GaugeMode, SegmentOptions, Unit, Writer};
use tempfile::TempDir;

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Run {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The lines of a run that went well and had nothing to say.
    pub(crate) fn lines(&self) -> Vec<&str> {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout.lines().collect()
    }
}

/// The program with a known environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tachograph-probe"));
    command
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("TACHOGRAPH_SEGMENT")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn run(mut command: Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program on the segment at `path`.
pub(crate) fn probe(path: &Path, arguments: &[&str]) -> Run {
    let mut command = command(arguments);
    command.arg("--segment").arg(path);
    run(command)
}

pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("tachograph-probe-")
        .tempdir_in("/dev/shm")
        .unwrap()
}

pub(crate) fn attach(path: &Path) -> Writer {
    let options = SegmentOptions::new().path(path).process_name("tester");
    options.attach().unwrap()
}

/// A segment with one series or more of every type.
pub(crate) struct Demo {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) writer: Writer,
}

impl Demo {
    pub(crate) fn new() -> Demo {
        let folder = folder();
        let path = folder.path().join("demo.seg");
        let writer = attach(&path);
        fill(&writer);
        Demo {
            folder,
            path,
            writer,
        }
    }

    pub(crate) fn probe(&self, arguments: &[&str]) -> Run {
        probe(&self.path, arguments)
    }
}

fn fill(writer: &Writer) {
    let requests = writer
        .counter("requests_total", "Requests served")
        .family()
        .unwrap();
    requests
        .with(&[("method", "get"), ("code", "200")])
        .unwrap()
        .add(u64::from(u32::MAX) << 20);
    requests
        .with(&[("method", "post"), ("code", "503")])
        .unwrap()
        .add(2);
    let cpu = writer.counter_f64("cpu_seconds_total", "Processor time");
    cpu.unit(Unit::SECONDS).register().unwrap().add(0.25);
    let queue = writer.gauge("queue_bytes", "Bytes waiting");
    let queue = queue.unit(Unit::BYTES).mode(GaugeMode::Sum);
    queue.register().unwrap().set(2048);
    let jobs = writer.gauge("worker_jobs", "Jobs of each worker");
    jobs.mode(GaugeMode::Each).register().unwrap().set(-7);
    let stages = writer.histogram("stage_duration_seconds", "Time of a stage");
    let stages = stages
        .unit(Unit::NANOSECONDS)
        .buckets(Buckets::explicit([1_000_000, 10_000_000, 100_000_000]).unwrap())
        .label("stage", "read")
        .register()
        .unwrap();
    stages.record_n(500_000, 2);
    stages.record(5_000_000);
    stages.record(50_000_000);
    writer
        .info("build_info", "The build")
        .label("version", "1.2")
        .register()
        .unwrap();
    let state = writer.state_set("worker_state", "What it does", &["idle", "busy"]);
    state.register().unwrap().set(1);
}

/// The first `length` bytes of `from`; its holes stay holes.
pub(crate) fn copy(from: &Path, to: &Path, length: u64) {
    let status = Command::new("cp")
        .arg("--sparse=auto")
        .args([from, to])
        .status();
    assert!(status.unwrap().success());
    let target = fs::OpenOptions::new().write(true).open(to).unwrap();
    let full = target.metadata().unwrap().len();
    target.set_len(full.min(length)).unwrap();
}
