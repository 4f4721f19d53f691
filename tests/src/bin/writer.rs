//! The worker process of the tests: see `tachograph_tests::task`.
#![expect(clippy::print_stdout, reason = "a worker talks to its test by lines")]

use std::error::Error;
use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;

use clap::Parser;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{self, WaitStatus};
use nix::unistd::{self, ForkResult};
use tachograph::{GaugeMode, SegmentOptions, Writer};
use tachograph_tests::ack::AckFile;
use tachograph_tests::churn;
use tachograph_tests::task::{Attach, Count, Fault, Fork, Gauges, Options, Register, Task};
use tachograph_tests::update::Handles;

/// How many updates lie between two that are made twice on purpose.
const TWICE_EVERY: u64 = 100_000;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    // A test that is killed takes its workers along.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let options = Options::parse();
    let writer = SegmentOptions::new()
        .path(&options.segment)
        .process_name("worker")
        .attach()?;
    match options.task {
        Task::Count(count) => run_count(&writer, &count),
        Task::Gauges(gauges) => run_gauges(&writer, &gauges),
        Task::Register(register) => run_register(&writer, &register),
        Task::Churn(churn) => churn::run(&writer, &churn),
        Task::Fork(fork) => run_fork(&writer, &fork),
        Task::Attach(attach) => run_attach(&attach),
    }
}

/// Says that everything is registered, and waits for the word to start.
fn wait_for_go() -> io::Result<()> {
    println!("ready");
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

fn run_count(writer: &Writer, count: &Count) -> Outcome {
    let acks = Arc::new(AckFile::open(&count.acks)?);
    let handles = register(writer, count, count.threads)?;
    if count.gauges {
        let each = writer.gauge("each_worker", "One a worker");
        each.mode(GaugeMode::Each).register()?.set(1);
        writer.gauge("workers", "Workers").register()?.set(1);
    }
    wait_for_go()?;
    let threads = start(&acks, &handles, count);
    threads.into_iter().for_each(|thread| {
        thread.join().expect("recording does not panic");
    });
    Ok(())
}

/// Handles of `count` threads, the first of them numbered as asked for.
fn register(
    writer: &Writer,
    count: &Count,
    threads: usize,
) -> Result<Vec<Handles>, tachograph::Error> {
    (0..threads)
        .map(|thread| Handles::register(writer, count.first + thread))
        .collect()
}

fn start(acks: &Arc<AckFile>, handles: &[Handles], count: &Count) -> Vec<thread::JoinHandle<()>> {
    let start_one = |(thread, handles): (usize, &Handles)| {
        let (acks, handles) = (Arc::clone(acks), *handles);
        let (number, updates, fault) = (count.first + thread, count.updates, count.fault);
        thread::spawn(move || update_until_stopped(&acks, handles, number, updates, fault))
    };
    handles.iter().enumerate().map(start_one).collect()
}

fn update_until_stopped(
    acks: &AckFile,
    handles: Handles,
    thread: usize,
    updates: Option<u64>,
    fault: Option<Fault>,
) {
    let mut n = 0;
    while n < updates.unwrap_or(u64::MAX) && !acks.stopped() {
        if fault == Some(Fault::AckFirst) {
            acks.acknowledge(thread, n + 1);
        }
        handles.update(n);
        if fault == Some(Fault::Racy) {
            acks.add_without_atomicity();
        }
        if fault == Some(Fault::Twice) && n % TWICE_EVERY == 0 {
            handles.update(n);
        }
        n += 1;
        acks.acknowledge(thread, n);
    }
}

/// The name of the gauge of one mode.
fn gauge_name(prefix: &str, mode: GaugeMode) -> String {
    format!("{}_{prefix}", mode.name().replace('-', "_"))
}

fn set_gauges(writer: &Writer, value: i32) -> Result<(), tachograph::Error> {
    for mode in GaugeMode::ALL {
        writer
            .gauge(&gauge_name("level", mode), "A level")
            .mode(mode)
            .register()?
            .set(value.into());
        writer
            .gauge_f64(&gauge_name("share", mode), "A share")
            .mode(mode)
            .register()?
            .set(f64::from(value) / 4.0);
    }
    let name = format!("worker{value}");
    writer
        .info("worker_info", "A worker")
        .label("name", &name)
        .register()?;
    writer
        .state_set("worker_state", "What a worker does", &["idle", "busy"])
        .register()?
        .set(1);
    Ok(())
}

fn run_gauges(writer: &Writer, gauges: &Gauges) -> Outcome {
    set_gauges(writer, gauges.value)?;
    wait_for_go()?;
    Ok(())
}

/// Everybody registers in the same order, so that they meet at the first registration of each series. The
/// label values are long, so that a text takes its time and a kill can hit it.
fn register_one(writer: &Writer, register: &Register, n: usize) -> Result<(), tachograph::Error> {
    let family = format!("registered_{}_total", n % register.families);
    let value = format!("{:0>200}", n / register.families % register.values);
    writer
        .counter(&family, "Registered again and again")
        .label("value", &value)
        .label("other", "x")
        .register()?
        .inc();
    Ok(())
}

fn run_register(writer: &Writer, register: &Register) -> Outcome {
    let acks = AckFile::open(&register.acks)?;
    wait_for_go()?;
    thread::scope(|scope| {
        for thread in register.first..register.first + register.threads {
            let acks = &acks;
            scope.spawn(move || {
                for n in 0.. {
                    if acks.stopped() {
                        return;
                    }
                    register_one(writer, register, n).expect("registration works");
                    acks.acknowledge(thread, n as u64 + 1);
                }
            });
        }
        let child = register.first + register.threads;
        for made in (0..).step_by(10) {
            if !register.forks || acks.stopped() {
                break;
            }
            fork_child(false, || {
                for n in made..made + 10 {
                    register_one(writer, register, n).expect("registration works");
                    acks.acknowledge(child, n as u64 + 1);
                }
            })?;
            wait_for_children(1)?;
        }
        Ok(())
    })
}

/// The parent's threads use the first numbers, the children the next ones.
fn run_fork(writer: &Writer, fork: &Fork) -> Outcome {
    let count = &fork.count;
    let acks = Arc::new(AckFile::open(&count.acks)?);
    let handles = register(writer, count, count.threads + fork.children)?;
    let gauge = writer
        .gauge("each_level", "A level")
        .mode(GaugeMode::Each)
        .register()?;
    gauge.set(1);
    wait_for_go()?;
    let (of_threads, of_children) = handles.split_at(count.threads);
    let threads = start(&acks, of_threads, count);
    for (child, handles) in of_children.iter().enumerate() {
        let number = count.first + count.threads + child;
        fork_child(fork.linger, || {
            gauge.set(2);
            let updates = count.updates.filter(|_| !fork.linger);
            update_until_stopped(&acks, *handles, number, updates, None);
        })?;
    }
    for thread in threads {
        thread.join().expect("recording does not panic");
    }
    if !fork.linger {
        wait_for_children(fork.children)?;
    }
    Ok(())
}

/// The children stay until they are killed.
fn run_attach(attach: &Attach) -> Outcome {
    let (going_on, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut segments = (0..).map(|n| attach.folder.join(format!("{n}.seg")));
            while over.try_recv() == Err(TryRecvError::Empty) {
                let options = SegmentOptions::new().path(segments.next().expect("no end"));
                let options = options.cpu_shards(1).processes(256).families(8).series(16);
                options.attach().expect("attaching works");
            }
        });
        for _ in 0..attach.children {
            fork_child(true, unistd::pause)?;
        }
        drop(going_on);
        Ok::<(), nix::Error>(())
    })?;
    wait_for_go()?;
    Ok(())
}

/// Forks a child that does `work` and ends.
#[expect(unsafe_code, reason = "fork is what is tested")]
fn fork_child(linger: bool, work: impl Fn()) -> nix::Result<()> {
    // SAFETY: other threads run, so the child may only do what needs no lock of theirs. It records and
    // registers, which take no lock of the process; memory comes from the C library, which makes its
    // allocator ready for the child; and it leaves by `_exit`.
    match unsafe { unistd::fork() }? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            if !linger {
                let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            }
            work();
            // SAFETY: `_exit` may be called at any time; nothing of the parent's is left half-written,
            // since no destructor and no exit handler runs.
            unsafe { nix::libc::_exit(0) }
        }
    }
}

fn wait_for_children(children: usize) -> Outcome {
    for _ in 0..children {
        match wait::wait()? {
            WaitStatus::Exited(_, 0) => {}
            other => return Err(format!("a child ended as {other:?}").into()),
        }
    }
    Ok(())
}
