//! Where there are no restartable sequences: sums stay exact, and reader and probe say how each process
//! records and why.

use std::env;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use tachograph::{Reader, Recording, Snapshot};
use tachograph_tests::ack::AckFile;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server;
use tachograph_tests::skip;
use tachograph_tests::verdict::{self, Instance, Shown};
use tachograph_tests::worker::{NO_RSEQ, Worker};

const WRITER: &str = env!("CARGO_BIN_EXE_writer");
const DENY_RSEQ: &str = env!("CARGO_BIN_EXE_deny_rseq");
const THREADS: usize = 2;
const UPDATES: u64 = 20_000;
const LIMIT: Duration = Duration::from_secs(240);

/// What a worker runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Native,
    Tunable,
    Sandbox(Errno),
    Valgrind,
    /// Another architecture, emulated: its C library asks and the emulator refuses.
    Aarch64,
    /// A C library that has never heard of restartable sequences.
    Musl,
}

const WITHOUT: [Host; 6] = [
    Host::Tunable,
    Host::Sandbox(Errno::ENOSYS),
    Host::Sandbox(Errno::EPERM),
    Host::Valgrind,
    Host::Aarch64,
    Host::Musl,
];

impl Host {
    /// The start of a worker's command line; `None` where there is no such worker here, and says so.
    fn command(self) -> Option<Command> {
        let mut command = match self {
            Host::Native | Host::Tunable => Command::new(WRITER),
            Host::Sandbox(errno) => {
                let mut command = Command::new(DENY_RSEQ);
                command.arg((errno as i32).to_string()).arg(WRITER);
                command
            }
            Host::Valgrind => {
                let mut command = Command::new("valgrind");
                command.args(["-q", "--error-exitcode=99", WRITER]);
                command
            }
            Host::Aarch64 => {
                let mut command = Command::new("qemu-aarch64-static");
                command.args(["-L", "/usr/aarch64-linux-gnu"]);
                command.arg(built("TACHOGRAPH_AARCH64_WRITER")?);
                command
            }
            Host::Musl => Command::new(built("TACHOGRAPH_MUSL_WRITER")?),
        };
        if self == Host::Tunable {
            command.env(NO_RSEQ.0, NO_RSEQ.1);
        }
        Some(command)
    }

    fn expected(self) -> Recording {
        match self {
            Host::Native => Recording::RestartableSequences,
            Host::Musl => Recording::FallbackTarget,
            _ => Recording::FallbackUnregistered,
        }
    }
}

/// A worker built for another target.
fn built(variable: &str) -> Option<std::ffi::OsString> {
    let path = env::var_os(variable);
    if path.is_none() {
        skip(&format!("no {variable}; ./check builds it where it can"));
    }
    path
}

/// A worker on `host`, ready to make so many updates, or to go on until it is stopped.
fn start(host: Host, scratch: &Scratch, place: usize, updates: Option<u64>) -> Option<Worker> {
    let mut arguments = vec![
        "count".into(),
        "--acks".into(),
        scratch.acks().into_os_string(),
    ];
    arguments.push(format!("--threads={THREADS}").into());
    arguments.push(format!("--first={}", place * THREADS).into());
    arguments.extend(updates.map(|updates| format!("--updates={updates}").into()));
    let worker = Worker::start_as(host.command()?, &scratch.segment(), arguments);
    worker.wait_ready();
    Some(worker)
}

fn judge(snapshot: &Snapshot, acks: &AckFile, threads: usize) {
    let instance = |thread| Instance {
        acked: acks.acked(thread),
        killed: false,
    };
    let all: Vec<Instance> = (0..threads).map(instance).collect();
    for (thread, &instance) in all.iter().enumerate() {
        assert!(instance.acked > 0, "thread {thread} did nothing");
        let shown = Shown::own(snapshot, thread);
        assert_eq!(verdict::own(&Shown::nothing(), &shown, instance), Ok(()));
    }
    assert_eq!(verdict::shared(&Shown::shared(snapshot), &all), Ok(()));
}

fn recording_of(snapshot: &Snapshot, pid: u32) -> Recording {
    let mut processes = snapshot.processes.iter();
    let process = processes.find(|process| process.pid == pid);
    process.expect("it is attached").recording
}

fn probe(scratch: &Scratch, format: &str) -> String {
    let mut command = Command::new(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
    command.arg("--segment").arg(scratch.segment());
    command.args(["--format", format, "procs"]);
    let output = server::run(command, "");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the probe names a process's mode and reason, in both its formats.
fn assert_probe_says(scratch: &Scratch, pid: u32, recording: Recording) {
    let json: serde_json::Value = serde_json::from_str(&probe(scratch, "json")).unwrap();
    let mut processes = json["processes"].as_array().unwrap().iter();
    let process = processes.find(|process| process["pid"] == pid).unwrap();
    assert_eq!(process["recording"], recording.mode());
    assert_eq!(process["reason"], recording.reason());
    let text = probe(scratch, "text");
    let named = match recording {
        Recording::RestartableSequences => "rseq".into(),
        _ => format!("{}: {}", recording.mode(), recording.reason()),
    };
    let is_its = |line: &&str| line.split_whitespace().any(|word| word == pid.to_string());
    let line = text.lines().find(is_its).unwrap();
    assert!(line.contains(&named), "{line}");
}

/// Whether sequences work here at all, so that turning them off means something; says so where not.
fn is_restartable() -> bool {
    let scratch = Scratch::new();
    AckFile::create(&scratch.acks(), THREADS).unwrap();
    let native = start(Host::Native, &scratch, 0, Some(1)).unwrap();
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let recording = recording_of(&reader.snapshot().unwrap(), native.pid());
    if recording != Recording::RestartableSequences {
        skip(&format!(
            "no sequences beside the others: {}",
            recording.reason()
        ));
    }
    recording == Recording::RestartableSequences
}

fn alone(host: Host) {
    let scratch = Scratch::new();
    let acks = AckFile::create(&scratch.acks(), THREADS).unwrap();
    let Some(mut worker) = start(host, &scratch, 0, Some(UPDATES)) else {
        return;
    };
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let recording = recording_of(&reader.snapshot().unwrap(), worker.pid());
    assert_eq!(recording, host.expected());
    assert_probe_says(&scratch, worker.pid(), recording);
    worker.go();
    worker.finish(LIMIT);
    judge(&reader.snapshot().unwrap(), &acks, THREADS);
}

#[test]
fn turned_off_by_a_tunable() {
    alone(Host::Tunable);
}

#[test]
fn refused_by_a_sandbox_as_unknown() {
    alone(Host::Sandbox(Errno::ENOSYS));
}

#[test]
fn refused_by_a_sandbox_as_forbidden() {
    alone(Host::Sandbox(Errno::EPERM));
}

#[test]
fn under_valgrind() {
    alone(Host::Valgrind);
}

#[test]
fn on_emulated_aarch64() {
    alone(Host::Aarch64);
}

#[test]
fn with_another_c_library() {
    alone(Host::Musl);
}

/// Processes of every kind write to the same series at once, while two native ones never rest.
#[test]
fn all_at_once_beside_restartable_sequences() {
    let scratch = Scratch::new();
    let places = 2 + WITHOUT.len();
    let acks = AckFile::create(&scratch.acks(), places * THREADS).unwrap();
    let restartable = is_restartable();
    let hosts = [Host::Native, Host::Native].into_iter().chain(WITHOUT);
    let mut workers = Vec::new();
    for host in hosts {
        let updates = (host != Host::Native).then_some(UPDATES);
        let place = workers.len();
        workers.extend(start(host, &scratch, place, updates).map(|worker| (host, worker)));
    }
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let snapshot = reader.snapshot().unwrap();
    for (host, worker) in &workers {
        let recording = recording_of(&snapshot, worker.pid());
        assert!(
            recording == host.expected() || !restartable,
            "{host:?}: {recording:?}"
        );
        assert_probe_says(&scratch, worker.pid(), recording);
    }
    workers.iter_mut().for_each(|(_, worker)| worker.go());
    let count = workers.len();
    let (tireless, others): (Vec<_>, Vec<_>) = workers
        .into_iter()
        .partition(|(host, _)| *host == Host::Native);
    others
        .into_iter()
        .for_each(|(_, worker)| worker.finish(LIMIT));
    acks.stop();
    tireless
        .into_iter()
        .for_each(|(_, worker)| worker.finish(LIMIT));
    judge(&reader.snapshot().unwrap(), &acks, count * THREADS);
}
