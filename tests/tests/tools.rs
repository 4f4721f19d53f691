//! Debuggers, tracers and unloaded libraries: recording goes on, and counts once.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tachograph::{Reader, Recording, Snapshot};
use tachograph_tests::ack::AckFile;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::skip;
use tachograph_tests::update::OWN_COUNTER;
use tachograph_tests::verdict::{self, Instance, Shown};
#[cfg(tachograph_proof)]
use tachograph_tests::worker::NO_RSEQ;
use tachograph_tests::worker::{PATIENCE, Worker, lines_of};

const STORM: &str = env!("CARGO_BIN_EXE_storm");
const PLUGIN_HOST: &str = env!("CARGO_BIN_EXE_plugin_host");

/// A process that records in `threads` threads until it is stopped.
struct Recorder {
    worker: Worker,
    acks: AckFile,
    reader: Reader,
    threads: usize,
    _scratch: Scratch,
}

impl Recorder {
    fn start(threads: usize, arguments: &[&str]) -> Recorder {
        let scratch = Scratch::new();
        let acks = AckFile::create(&scratch.acks(), 2 * threads).unwrap();
        let mut given = vec!["--acks".into(), scratch.acks().into_os_string()];
        given.extend([format!("--threads={threads}").into(), "--calm".into()]);
        given.extend(arguments.iter().map(Into::into));
        let mut worker = Worker::start(STORM, &scratch.segment(), &[], given);
        worker.wait_ready();
        worker.go();
        tachograph_tests::eventually("all threads record", PATIENCE, || {
            (0..threads).all(|thread| acks.acked(thread) > 0)
        });
        let reader = Reader::attach(scratch.segment()).unwrap();
        Recorder {
            worker,
            acks,
            reader,
            threads,
            _scratch: scratch,
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        self.reader.snapshot().unwrap()
    }

    fn count_of_first(&mut self) -> u64 {
        verdict::counter_value(&self.snapshot(), OWN_COUNTER, &[("thread", "0")])
    }

    /// Stops it and sees that every update counted once.
    fn finish(mut self) {
        self.acks.stop();
        self.worker.finish(PATIENCE);
        let snapshot = self.reader.snapshot().unwrap();
        let instance = |thread| Instance {
            acked: self.acks.acked(thread),
            killed: false,
        };
        let all: Vec<Instance> = (0..self.threads).map(instance).collect();
        for (thread, &instance) in all.iter().enumerate() {
            let shown = Shown::own(&snapshot, thread);
            assert_eq!(verdict::own(&Shown::nothing(), &shown, instance), Ok(()));
        }
        assert_eq!(verdict::shared(&Shown::shared(&snapshot), &all), Ok(()));
    }
}

/// A debugger that has stopped a process. Dropping it ends it, and lets the process go.
struct Debugger {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Debugger {
    fn attach(pid: u32) -> Debugger {
        let mut child = Command::new("gdb")
            .args(["-q", "-nx", "-p", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`gdb` is installed; ./check does it");
        let mut debugger = Debugger {
            input: child.stdin.take().unwrap(),
            lines: lines_of(child.stdout.take().unwrap()),
            child,
        };
        debugger.run("set confirm off");
        debugger.run("set pagination off");
        debugger.run("set scheduler-locking on");
        debugger
    }

    /// Runs a command to its end; what it said.
    fn run(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}\necho \\nran\\n").unwrap();
        let next = || self.lines.recv_timeout(4 * PATIENCE).expect(command);
        let said = std::iter::repeat_with(next).take_while(|line| line != "ran");
        said.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = writeln!(self.input, "detach\nquit");
        let _ = self.child.wait();
    }
}

/// How much the counter of a thread grows in so many steps of one instruction.
fn growth_by_steps(recorder: &mut Recorder, steps: u32) -> u64 {
    let mut debugger = Debugger::attach(recorder.worker.pid());
    let threads = debugger.run("info threads");
    let switched = debugger.run("thread 2");
    assert!(
        switched.contains("Switching to thread 2"),
        "{threads}\n{switched}"
    );
    let before = recorder.count_of_first();
    let said = debugger.run(&format!("stepi {steps}"));
    let growth = recorder.count_of_first() - before;
    eprintln!("{steps} steps: {growth} more; {said}");
    growth
}

#[test]
fn a_thread_that_is_stepped_through_makes_progress() {
    let mut recorder = Recorder::start(1, &[]);
    let recording = recorder.snapshot().processes[0].recording;
    if recording != Recording::RestartableSequences {
        skip(&format!(
            "not stepped through a sequence: {}",
            recording.reason()
        ));
    }
    for _ in 0..2 {
        assert!(growth_by_steps(&mut recorder, 2_000) > 0);
    }
    recorder.finish();
}

/// An abort that goes back to the start of the sequence would leave the thread there for ever.
#[cfg(tachograph_proof)]
#[test]
fn control_sequences_that_start_again_stand_still() {
    let mut recorder = Recorder::start(1, &["--fault=retry", "--length=0"]);
    if recorder.snapshot().processes[0].recording != Recording::RestartableSequences {
        skip("no restartable sequences here");
        return;
    }
    assert_eq!(growth_by_steps(&mut recorder, 2_000), 0);
    recorder.finish();
}

#[test]
fn a_tracer_comes_and_goes() {
    let recorder = Recorder::start(4, &[]);
    for _ in 0..40 {
        let mut tracer = Command::new("strace")
            .args([
                "-f",
                "-o",
                "/dev/null",
                "-p",
                &recorder.worker.pid().to_string(),
            ])
            .stderr(Stdio::piped())
            .spawn()
            .expect("`strace` is installed; ./check does it");
        let said = lines_of(tracer.stderr.take().unwrap());
        let line = said.recv_timeout(PATIENCE).unwrap();
        assert!(line.contains("attached"), "{line}");
        std::thread::sleep(std::time::Duration::from_millis(20));
        let tracer_pid = Pid::from_raw(tracer.id().cast_signed());
        signal::kill(tracer_pid, Signal::SIGINT).unwrap();
        tracer.wait().unwrap();
    }
    recorder.finish();
}

const THREADS: u64 = 4;
const ROUNDS: u64 = 100;
const ADDS: u64 = 1_000;

/// Lets a process load and close the library; how it ended, what it said, and what the segment shows.
fn load_and_close(
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> (ExitStatus, String, Option<Snapshot>) {
    let scratch = Scratch::new();
    let output = Command::new(PLUGIN_HOST)
        .arg("--segment")
        .arg(scratch.segment())
        .arg("--library")
        .arg(library())
        .args([format!("--rounds={ROUNDS}"), format!("--adds={ADDS}")])
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let snapshot = Reader::attach(scratch.segment()).and_then(|mut reader| reader.snapshot());
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status, said, snapshot.ok())
}

/// The shared object of the example `plugin`: beside the tests, built by ./check.
fn library() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).map(Path::to_owned).unwrap();
    let library = profile.join("examples/libplugin.so");
    assert!(
        library.exists(),
        "{} is missing; ./check builds it",
        library.display()
    );
    library
}

#[test]
fn a_library_that_records_is_loaded_and_closed() {
    let (status, said, snapshot) = load_and_close(&[], &[&format!("--threads={THREADS}")]);
    assert!(status.success(), "{status}: {said}");
    assert_eq!(said.trim(), "loaded", "it stays");
    let snapshot = snapshot.unwrap();
    let counted = verdict::counter_value(&snapshot, "plugin_total", &[]);
    assert_eq!(counted, THREADS * ROUNDS * ADDS);
    // Attaches at once may each take a slot, of which one stays; a library that goes takes one each time.
    let slots = snapshot.processes.len() as u64;
    assert!(slots <= THREADS, "{slots} slots");
}

#[cfg(tachograph_proof)]
#[test]
fn control_a_library_that_goes_takes_its_threads_along() {
    use std::os::unix::process::ExitStatusExt as _;
    let unpinned = ["--threads=1", "--unpinned"];
    let (status, said, snapshot) = load_and_close(&[], &unpinned);
    if snapshot.unwrap().processes[0].recording != Recording::RestartableSequences {
        skip("no restartable sequences here");
        return;
    }
    assert_eq!(
        status.signal(),
        Some(Signal::SIGSEGV as i32),
        "{status}: {said}"
    );
    // It is the sequences that bring it down: without them the library may go.
    let (status, said, _) = load_and_close(&[NO_RSEQ], &unpinned);
    assert!(status.success(), "{status}: {said}");
    assert_eq!(said.trim(), "gone");
}
