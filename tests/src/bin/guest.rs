//! The first and only program of an emulated machine: says how the engine records on its kernel, and
//! judges what it records there. `tests/aarch64/run` starts it.
//!
//! As process 1 it lets processes of its own attach, count and be killed; `writer` is the other program of
//! the machine. Everything it says begins with `guest:`, and the last line is its verdict.
#![expect(clippy::print_stdout, reason = "standard output is the console")]
#![expect(unsafe_code, reason = "a signal handler is what is tested")]
#![expect(
    clippy::disallowed_types,
    reason = "the count of signals must not be made by what is under test"
)]

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{
    SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction,
};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd;
use tachograph::{
    Counter, CounterF64, Number, Reader, SegmentOptions, Snapshot, ValueView, Writer,
};
use tachograph_tests::ack::AckFile;
use tachograph_tests::eventually;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::update::Handles;
use tachograph_tests::verdict::{self, Instance, Shown};
use tachograph_tests::worker::{NO_RSEQ, PATIENCE, Worker};

const WRITER: &str = "/writer";
/// Attaches of one kind, each to a new segment, so that each makes the self-test anew.
const ATTACHES: usize = 20;
/// Recording threads of one process: two a CPU.
const THREADS: usize = 4;
const SIGNALS_EVERY: Duration = Duration::from_micros(500);
/// Where the header keeps the verdict of the self-test (docs/FORMAT.md), and its words.
const SELF_TEST_BYTE: u64 = 384 * 8;
const PASSED: u64 = 1;
const FAILED: u64 = 2;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Attaches, and says how long that took and how the process records.
    Attach(Target),
    /// Records in several threads under a storm of timer signals, and compares every series.
    Count(Target),
}

#[derive(clap::Args)]
struct Target {
    segment: PathBuf,
    /// Lets timer signals strike already while the process attaches.
    #[arg(long)]
    signals: bool,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

fn main() -> Outcome {
    if unistd::getpid().as_raw() == 1 {
        return be_init();
    }
    match Options::parse().task {
        Task::Attach(target) => attach(&target),
        Task::Count(target) => count(&target),
    }
}

fn be_init() -> Outcome {
    let verdict = mount_all().and_then(|()| judge_this_kernel());
    match verdict {
        Ok(()) => println!("guest: passed"),
        Err(error) => println!("guest: FAILED: {error}"),
    }
    reboot(RebootMode::RB_POWER_OFF)?;
    Ok(())
}

fn mount_all() -> Outcome {
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/dev/shm"),
    ] {
        fs::create_dir_all(place)?;
        mount(
            Some(kind),
            place,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        )?;
    }
    Ok(())
}

/// The kernel's command line says `expect=rseq` or `expect=fallback`; the kernel hands it on as environment.
fn judge_this_kernel() -> Outcome {
    let expected = env::var("expect")?;
    println!(
        "guest: kernel {}, {} CPUs, rseq feature size {}, expected {expected}",
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        thread::available_parallelism()?,
        rseq_feature_size()?.map_or("unknown".into(), |bytes| bytes.to_string()),
    );
    attaches("turned off", "fallback", &[NO_RSEQ], &[])?;
    attaches("quiet", &expected, &[], &[])?;
    attaches("under signals", &expected, &[], &["--signals"])?;
    let fast = Stage::prepare(&expected)?;
    let stepped = Stage::prepare(&expected)?;
    let overruled = Scratch::new();
    overrule(&overruled)?;

    fast.judge(20, 20_000)?;
    // From here on the emulator may stop between any two instructions.
    println!("guest: step");
    io::stdin().lock().read_line(&mut String::new())?;
    stepped.judge(5, 1_000)?;
    if expected == "fallback" {
        count_overruled(&overruled)?;
    }
    Ok(())
}

/// Segments that know the verdict of the self-test, and how processes must record there.
struct Stage<'a> {
    expected: &'a str,
    count: Scratch,
    kills: Scratch,
    forks: Scratch,
}

impl Stage<'_> {
    fn prepare(expected: &str) -> Outcome<Stage<'_>> {
        let stage = Stage {
            expected,
            count: Scratch::new(),
            kills: Scratch::new(),
            forks: Scratch::new(),
        };
        for scratch in [&stage.count, &stage.kills, &stage.forks] {
            run(&[], &["attach", text(&scratch.segment())])?;
            stage.check_mode(&Reader::attach(scratch.segment())?.snapshot()?)?;
        }
        Ok(stage)
    }

    fn check_mode(&self, snapshot: &Snapshot) -> Outcome {
        let mut modes = snapshot.processes.iter().map(|process| process.recording);
        match modes.find(|recording| recording.mode() != self.expected) {
            None => Ok(()),
            Some(other) => Err(format!("a process records by {other:?}").into()),
        }
    }

    fn judge(&self, kills: usize, updates: u64) -> Outcome {
        let said = run(&[], &["count", text(&self.count.segment())])?;
        if !said.starts_with(self.expected) {
            return Err(said.into());
        }
        println!("guest: count: {said}");
        self.kills(kills)?;
        self.forks(updates)
    }

    /// Kills processes while they record: each of their threads is exact, or one update ahead of its word.
    fn kills(&self, kills: usize) -> Outcome {
        let scratch = &self.kills;
        let acks = AckFile::create(&scratch.acks(), THREADS)?;
        let mut reader = Reader::attach(scratch.segment())?;
        let mut before = vec![Shown::nothing(); THREADS];
        let (mut updates, mut ahead) = (0, 0);
        for _ in 0..kills {
            (0..THREADS).for_each(|thread| acks.acknowledge(thread, 0));
            let worker = start_writer(scratch, &["count", &format!("--threads={THREADS}")]);
            eventually("every thread records", PATIENCE, || {
                (0..THREADS).all(|thread| acks.acked(thread) > 0)
            });
            thread::sleep(Duration::from_millis(fastrand::u64(..200)));
            worker.kill();
            let snapshot = reader.snapshot()?;
            self.check_mode(&snapshot)?;
            for (thread, before) in before.iter_mut().enumerate() {
                let acked = acks.acked(thread);
                let shown = Shown::own(&snapshot, thread);
                let killed = Instance {
                    acked,
                    killed: true,
                };
                verdict::own(before, &shown, killed)?;
                ahead += u64::from(shown.counter - before.counter > acked);
                updates += acked;
                *before = shown;
            }
        }
        println!(
            "guest: kill -9: {updates} updates, {kills} kills of {THREADS} threads, {ahead} threads one ahead, none lost"
        );
        Ok(())
    }

    /// Forks while threads record: parent and children are exact.
    fn forks(&self, updates: u64) -> Outcome {
        const CHILDREN: usize = 4;
        let scratch = &self.forks;
        AckFile::create(&scratch.acks(), THREADS + CHILDREN)?;
        let worker = start_writer(
            scratch,
            &[
                "fork",
                &format!("--threads={THREADS}"),
                &format!("--children={CHILDREN}"),
                &format!("--updates={updates}"),
            ],
        );
        worker.finish(Duration::from_secs(300));
        let snapshot = Reader::attach(scratch.segment())?.snapshot()?;
        self.check_mode(&snapshot)?;
        let all = [survivor(updates); THREADS + CHILDREN];
        verdict::shared(&Shown::shared(&snapshot), &all)?;
        for (thread, &instance) in all.iter().enumerate() {
            verdict::own(&Shown::nothing(), &Shown::own(&snapshot, thread), instance)?;
        }
        println!(
            "guest: fork: {THREADS} threads and {CHILDREN} children, {updates} updates each: exact"
        );
        Ok(())
    }
}

/// What the kernel says to programs of the area's size; older ones say nothing.
fn rseq_feature_size() -> io::Result<Option<u64>> {
    const AT_RSEQ_FEATURE_SIZE: u64 = 27;
    let vector = fs::read("/proc/self/auxv")?;
    let words: Vec<u64> = vector
        .chunks_exact(8)
        .map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
        .collect();
    let entry = words
        .chunks_exact(2)
        .find(|entry| entry[0] == AT_RSEQ_FEATURE_SIZE);
    Ok(entry.map(|entry| entry[1]))
}

/// A path that no segment has had yet.
fn new_segment() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("/dev/shm/{}-{number}.seg", unistd::getpid())
}

/// Runs this program as a process of its own; what it says.
fn run(environment: &[(&str, &str)], arguments: &[&str]) -> Outcome<String> {
    let output = Command::new("/init")
        .args(arguments)
        .envs(environment.iter().copied())
        .output()?;
    let said = String::from_utf8(output.stdout)?.trim().to_owned();
    if output.status.success() {
        Ok(said)
    } else {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("{arguments:?}: {} {said} {why}", output.status).into())
    }
}

/// Lets processes attach to new segments one after the other: each must decide as expected.
fn attaches(
    kind: &str,
    expected: &str,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> Outcome {
    let mut took = Vec::new();
    let mut decisions = Vec::new();
    for _ in 0..ATTACHES {
        let segment = new_segment();
        let said = run(environment, &[&["attach", &segment], arguments].concat())?;
        fs::remove_file(&segment)?;
        let (micros, decision) = said.split_once(' ').ok_or("no decision")?;
        took.push(micros.parse::<u64>()?);
        decisions.push(decision.to_owned());
    }
    took.sort_unstable();
    let right = decisions
        .iter()
        .filter(|decision| decision.starts_with(expected))
        .count();
    decisions.sort();
    decisions.dedup();
    println!(
        "guest: attach {kind}: {right} of {ATTACHES} {expected} ({}); {} to {} us, median {}",
        decisions.join("; "),
        took[0],
        took[ATTACHES - 1],
        took[ATTACHES / 2],
    );
    if right == ATTACHES {
        Ok(())
    } else {
        Err(format!("not every attach {kind} is {expected}").into())
    }
}

fn attach(target: &Target) -> Outcome {
    let _timer = target.signals.then(|| {
        count_signals();
        signals_to_this_thread()
    });
    let began = Instant::now();
    SegmentOptions::new().path(&target.segment).attach()?;
    let took = began.elapsed().as_micros();
    let recording = Reader::attach(&target.segment)?.snapshot()?.processes[0].recording;
    println!("{took} {}: {}", recording.mode(), recording.reason());
    Ok(())
}

/// Signals that were handled, each of which added one to the counter below.
static SIGNALS: AtomicU64 = AtomicU64::new(0);
static COUNTED_SIGNALS: OnceLock<Counter> = OnceLock::new();

extern "C" fn on_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    if let Some(counter) = COUNTED_SIGNALS.get() {
        counter.inc();
    }
}

fn count_signals() {
    let action = SigAction::new(
        SigHandler::Handler(on_signal),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler adds to atomic words and records, both of which a handler may do.
    unsafe { sigaction(Signal::SIGALRM, &action) }.expect("a signal that can be handled");
}

/// Signals to the thread that calls this, until the timer is dropped.
fn signals_to_this_thread() -> Timer {
    let to_this_thread = SigevNotify::SigevThreadId {
        signal: Signal::SIGALRM,
        thread_id: unistd::gettid().as_raw(),
        si_value: 0,
    };
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(to_this_thread))
        .expect("a timer can be made");
    let every = Expiration::Interval(SIGNALS_EVERY.into());
    timer
        .set(every, TimerSetTimeFlags::empty())
        .expect("the timer is ours");
    timer
}

/// The handles of one thread, and what it has done with them.
struct Thread {
    handles: Handles,
    own_float: CounterF64,
    shared_float: CounterF64,
}

impl Thread {
    fn register(writer: &Writer, number: usize) -> Result<Thread, tachograph::Error> {
        let float = |name, thread: &str| {
            let family = writer.counter_f64(name, "Halves");
            family.label("thread", thread).register()
        };
        Ok(Thread {
            handles: Handles::register(writer, number)?,
            own_float: float("halves_total", &number.to_string())?,
            shared_float: float("halves_total", "all")?,
        })
    }

    fn update_for(&self, time: Duration) -> u64 {
        let _timer = signals_to_this_thread();
        let began = Instant::now();
        let mut n = 0;
        while n % 64 != 0 || began.elapsed() < time {
            self.handles.update(n);
            self.own_float.add(0.5);
            self.shared_float.add(0.5);
            n += 1;
        }
        n
    }
}

fn count(target: &Target) -> Outcome {
    let writer = SegmentOptions::new().path(&target.segment).attach()?;
    let signals = writer
        .counter("signals_total", "Signals handled")
        .register()?;
    let _ = COUNTED_SIGNALS.set(signals);
    count_signals();
    let threads = (0..THREADS)
        .map(|number| Thread::register(&writer, number))
        .collect::<Result<Vec<_>, _>>()?;
    let time = Duration::from_secs(target.seconds);
    let updates: Vec<u64> = thread::scope(|scope| {
        let started = threads
            .iter()
            .map(|thread| scope.spawn(move || thread.update_for(time)));
        let started: Vec<_> = started.collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended
            .map(|updates| updates.expect("recording does not panic"))
            .collect()
    });
    let mode = judge_counts(&target.segment, &updates)?;
    let sum: u64 = updates.iter().sum();
    let signals = SIGNALS.load(Ordering::Relaxed);
    println!("{mode}: {sum} updates under {signals} signals: exact");
    Ok(())
}

/// Compares every series with what the threads have done; how the process recorded.
fn judge_counts(segment: &Path, updates: &[u64]) -> Outcome<&'static str> {
    let snapshot = Reader::attach(segment)?.snapshot()?;
    let instances: Vec<Instance> = updates.iter().map(|&updates| survivor(updates)).collect();
    let living = snapshot.processes.iter().find(|process| process.alive);
    let mode = living.ok_or("no process lives")?.recording.mode();
    let mut faults = Vec::new();
    let mut check = |name: &str, verdict: Result<(), String>| {
        faults.extend(verdict.err().map(|fault| format!("{name}: {fault}")));
    };
    check(
        "all threads",
        verdict::shared(&Shown::shared(&snapshot), &instances),
    );
    let halves = |thread: &str| match snapshot.value("halves_total", &[("thread", thread)]) {
        Some(ValueView::Number(Number::Float(sum))) => 2.0 * sum,
        other => panic!("a counter of floats is {other:?}"),
    };
    let compare = |shown: f64, made: u64| {
        let is_equal = shown == made as f64;
        is_equal
            .then_some(())
            .ok_or(format!("{made} halves, but {shown}"))
    };
    check("all threads", compare(halves("all"), updates.iter().sum()));
    for (number, &instance) in instances.iter().enumerate() {
        let name = format!("thread {number}");
        let shown = Shown::own(&snapshot, number);
        check(&name, verdict::own(&Shown::nothing(), &shown, instance));
        check(&name, compare(halves(&number.to_string()), instance.acked));
    }
    let counted = verdict::counter_value(&snapshot, "signals_total", &[]);
    let signals = SIGNALS.load(Ordering::Relaxed);
    if counted != signals {
        check("signals", Err(format!("{signals}, but counted {counted}")));
    }
    if faults.is_empty() {
        Ok(mode)
    } else {
        Err(format!("{mode}: {}", faults.join("; ")).into())
    }
}

fn survivor(updates: u64) -> Instance {
    Instance {
        acked: updates,
        killed: false,
    }
}

/// Starts a writer with the arguments of a task, once it has registered its series.
fn start_writer(scratch: &Scratch, arguments: &[&str]) -> Worker {
    let acks = scratch.acks();
    let acks = ["--acks", text(&acks)];
    let arguments = [&arguments[..1], &acks, &arguments[1..]].concat();
    let mut worker = Worker::start(WRITER, &scratch.segment(), &[], arguments);
    worker.wait_ready();
    worker.go();
    worker
}

/// Writes "passed" over the verdict of the self-test.
fn overrule(scratch: &Scratch) -> Outcome {
    let segment = scratch.segment();
    run(&[], &["attach", text(&segment)])?;
    let file = File::options().read(true).write(true).open(&segment)?;
    let mut verdict = [0; 8];
    file.read_exact_at(&mut verdict, SELF_TEST_BYTE)?;
    if ![PASSED, FAILED].contains(&u64::from_ne_bytes(verdict)) {
        return Err(format!("the header's verdict is {verdict:?}").into());
    }
    file.write_all_at(&PASSED.to_ne_bytes(), SELF_TEST_BYTE)?;
    Ok(())
}

/// What a broken kernel does without the self-test: the same counts must come out wrong, or this machine
/// could not have shown a fault.
fn count_overruled(scratch: &Scratch) -> Outcome {
    match run(&[], &["count", text(&scratch.segment()), "--seconds=20"]) {
        Ok(said) => Err(format!("overruled, this kernel shows no fault: {said}").into()),
        Err(fault) => {
            let fault = fault.to_string();
            let at = fault.find("rseq: ").ok_or_else(|| fault.clone())?;
            println!("guest: count, the self-test overruled: {}", &fault[at..]);
            Ok(())
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of ours are text")
}
