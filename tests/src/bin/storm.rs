//! A process whose threads record while everything that can abort a restartable sequence happens to them: too many
//! threads for its CPUs, a timer of their own whose handler records too, and a change of CPU every 50 µs.
//!
//! Each second it says `aborts N`, where it is a build for proof that counts them.
#![expect(unsafe_code, reason = "a signal handler records")]
#![expect(clippy::print_stdout, reason = "a worker talks to its test by lines")]

use std::cell::Cell;
use std::error::Error;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::signal::{
    self, SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal,
};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::{Pid, gettid};
use tachograph::{SegmentOptions, Writer};
use tachograph_tests::ack::AckFile;
use tachograph_tests::storm::{BY_HANDLER, BY_THREAD, Floats};
use tachograph_tests::update::Handles;

const TIMER: Duration = Duration::from_micros(100);
const MOVE: Duration = Duration::from_micros(50);
const CPUS: usize = 2;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    segment: PathBuf,
    #[arg(long)]
    acks: PathBuf,
    /// Threads; the handlers' words of acknowledgement and series follow those of the threads.
    #[arg(long)]
    threads: usize,
    /// No timers: nothing but the threads and their moves.
    #[arg(long)]
    calm: bool,
    /// Length of the sequences, in a build for proof.
    #[arg(long)]
    length: Option<u64>,
    /// A fault to plant, in a build for proof.
    #[arg(long)]
    fault: Option<String>,
}

/// What a thread and its handler need. Lives for ever: a handler has no say in when it runs.
struct Station {
    acks: &'static AckFile,
    floats: Floats,
    by_thread: (usize, Handles),
    by_handler: (usize, Handles),
}

thread_local!(static STATION: Cell<Option<&'static Station>> = const { Cell::new(None) });

fn main() -> Result<(), Box<dyn Error>> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let options = Options::parse();
    plant(&options)?;
    let writer = SegmentOptions::new()
        .path(&options.segment)
        .process_name("storm")
        .attach()?;
    let acks = Box::leak(Box::new(AckFile::open(&options.acks)?));
    let stations = stations(&writer, acks, options.threads)?;
    handle_timers()?;
    println!("ready");
    io::stdin().lock().read_line(&mut String::new())?;
    let (ids, threads) = mpsc::channel();
    thread::scope(|scope| {
        for station in &stations {
            let ids = ids.clone();
            scope.spawn(move || record(station, &ids, options.calm));
        }
        let threads: Vec<Pid> = threads.iter().take(options.threads).collect();
        let outcome = meddle(&threads, acks);
        acks.stop();
        outcome
    })
}

#[cfg(not(tachograph_proof))]
fn plant(options: &Options) -> Result<(), Box<dyn Error>> {
    let asked = options.length.is_some() || options.fault.is_some();
    (!asked)
        .then_some(())
        .ok_or_else(|| "this is no build for proof".into())
}

#[cfg(tachograph_proof)]
fn plant(options: &Options) -> Result<(), Box<dyn Error>> {
    use tachograph::PlantedFault;
    if let Some(rounds) = options.length {
        tachograph::lengthen_sequences(rounds);
    }
    match options.fault.as_deref() {
        None => PlantedFault::None,
        Some("no-sequence") => PlantedFault::NoSequence,
        Some("mixed-shards") => PlantedFault::MixedShards,
        Some("retry") => PlantedFault::Retry,
        Some(other) => return Err(format!("no fault is called {other}").into()),
    }
    .plant();
    Ok(())
}

fn aborts() -> u64 {
    #[cfg(tachograph_proof)]
    return tachograph::aborted_sequences();
    #[cfg(not(tachograph_proof))]
    0
}

fn stations(
    writer: &Writer,
    acks: &'static AckFile,
    threads: usize,
) -> Result<Vec<&'static Station>, tachograph::Error> {
    let station = |thread| {
        let station = Station {
            acks,
            floats: Floats::register(writer, thread)?,
            by_thread: (thread, Handles::register(writer, thread)?),
            by_handler: (
                threads + thread,
                Handles::register(writer, threads + thread)?,
            ),
        };
        Ok(&*Box::leak(Box::new(station)))
    };
    (0..threads).map(station).collect()
}

impl Station {
    fn update(&self, (number, handles): &(usize, Handles), n: u64, share: f64) {
        handles.update(n);
        self.floats.add(share);
        self.acks.acknowledge(*number, n + 1);
    }
}

/// Updates until all are asked to stop, interrupted by a timer that updates too.
fn record(station: &'static Station, ids: &mpsc::Sender<Pid>, calm: bool) {
    STATION.set(Some(station));
    ids.send(gettid()).expect("the meddler listens");
    let _timer = (!calm).then(|| start_timer().expect("a timer for each thread"));
    for n in 0.. {
        if station.acks.stopped() {
            return;
        }
        station.update(&station.by_thread, n, BY_THREAD);
    }
}

extern "C" fn on_timer(_: libc::c_int) {
    if let Some(station) = STATION.get() {
        let n = station.acks.acked(station.by_handler.0);
        station.update(&station.by_handler, n, BY_HANDLER);
    }
}

fn handle_timers() -> nix::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(on_timer),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler records, which takes no lock and allocates nothing, and reads a word of its thread.
    unsafe { signal::sigaction(Signal::SIGALRM, &action) }.map(drop)
}

fn start_timer() -> nix::Result<Timer> {
    let here = SigevNotify::SigevThreadId {
        signal: Signal::SIGALRM,
        thread_id: gettid().as_raw(),
        si_value: 0,
    };
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(here))?;
    timer.set(
        Expiration::Interval(TIMER.into()),
        TimerSetTimeFlags::empty(),
    )?;
    Ok(timer)
}

/// Moves one thread after another between the first CPUs, until all are asked to stop.
fn meddle(threads: &[Pid], acks: &AckFile) -> Result<(), Box<dyn Error>> {
    // Without it a sleep takes as long again.
    prctl::set_timerslack(1)?;
    let places = places()?;
    let mut said = Instant::now();
    while !acks.stopped() {
        let thread = threads[fastrand::usize(..threads.len())];
        // A CPU may be offline at this moment.
        let _ = sched_setaffinity(thread, &places[fastrand::usize(..places.len())]);
        thread::sleep(MOVE);
        if said.elapsed() > Duration::from_secs(1) {
            println!("aborts {}", aborts());
            said = Instant::now();
        }
    }
    Ok(())
}

/// Each of the first CPUs, and all of them.
fn places() -> nix::Result<Vec<CpuSet>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let mut all = CpuSet::new();
    let mut places = Vec::new();
    let cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
    for cpu in cpus.take(CPUS) {
        let mut one = CpuSet::new();
        one.set(cpu)?;
        all.set(cpu)?;
        places.push(one);
    }
    places.push(all);
    Ok(places)
}
