//! The runner: one [`Workload`] is one row of the table.
#![expect(
    clippy::disallowed_types,
    reason = "the flag stops a thread; it is not the engine's"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, Bencher, BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput,
};

use crate::input::INPUTS;

/// Every workload, in the order of the table.
pub const WORKLOADS: [&str; 38] = [
    "counter add, 1 thread",
    "counter add, 2 threads, one series",
    "counter add, random of 16 series, 1 thread",
    "counter add, random of 16 series, 2 threads",
    "counter add by label strings, 16 series, 1 thread",
    "counter add by label strings, 16 series, 2 threads",
    "counter add by label enums, 16 series, 1 thread",
    "counter add by label enums, 16 series, 2 threads",
    "counter add by label pairs, 16 series, 1 thread",
    "counter add by label pairs, 16 series, 2 threads",
    "histogram record, log-linear, 1 thread",
    "histogram record, log-linear, 2 threads",
    "histogram record, 12 bounds, 1 thread",
    "histogram record, 12 bounds, 2 threads",
    "histogram record with an exemplar each time, 1 thread",
    "histogram record with an exemplar each time, 2 threads",
    "gauge set, 1 thread",
    "gauge set, 2 threads",
    "attach a reader",
    "attach a writer",
    "register a series",
    "register a series by its type of labels",
    "look up a series",
    "snapshot, 1k counters, 2 CPUs",
    "snapshot, 10k counters, 2 CPUs",
    "snapshot, 100k counters, 2 CPUs",
    "snapshot, 1k counters, 256 CPUs",
    "snapshot, 10k counters, 256 CPUs",
    "snapshot, 100k counters, 256 CPUs",
    "text page, 1k counters, 2 CPUs",
    "text page, 10k counters, 2 CPUs",
    "text page, 100k counters, 2 CPUs",
    "text page, 1k counters, 256 CPUs",
    "text page, 10k counters, 256 CPUs",
    "text page, 100k counters, 256 CPUs",
    "text page, 1k histograms, 2 CPUs",
    "counter add after 10k dead processes",
    "text page, 10k counters, after 10k dead processes",
];

/// What a measured thing is to its workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What the machine allows: the work without which the result cannot be had.
    Limit,
    /// Another figure to compare with.
    Reference,
    /// tachograph.
    Ours,
    /// Another library.
    Peer,
}

impl Role {
    /// The role as it stands in criterion's files.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Limit => "limit",
            Role::Reference => "reference",
            Role::Ours => "ours",
            Role::Peer => "peer",
        }
    }
}

/// One row of the table: things that do the same work.
pub struct Workload<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    threads: usize,
}

impl<'a> Workload<'a> {
    /// The workload `name` with one thread, or with two that do the same to the same metric.
    pub fn new(criterion: &'a mut Criterion, name: &str, threads: usize) -> Workload<'a> {
        assert!(WORKLOADS.contains(&name), "{name} is not in WORKLOADS");
        let group = criterion.benchmark_group(name);
        Workload { group, threads }
    }

    /// A workload whose every call makes `elements`, and takes long enough to be timed by itself.
    pub fn bulk(criterion: &'a mut Criterion, name: &str, elements: usize) -> Workload<'a> {
        let mut workload = Workload::new(criterion, name, 1);
        let throughput = Throughput::Elements(elements as u64);
        workload.group.throughput(throughput);
        workload.group.sampling_mode(SamplingMode::Flat);
        workload.group.sample_size(20);
        workload
    }

    /// Measures an operation that takes the number of an input.
    pub fn op<O>(&mut self, role: Role, name: &str, make: impl FnOnce() -> O)
    where
        O: FnMut(usize) + Clone + Send,
    {
        let beside = self.threads == 2;
        self.measure(role, name, make, |bencher, op: &mut O| match beside {
            true => time_beside(bencher, op),
            false => time(bencher, op),
        });
    }

    /// Measures an operation that only one thread can do; with two threads it is left out.
    pub fn lone_op<O: FnMut(usize) + Clone>(
        &mut self,
        role: Role,
        name: &str,
        make: impl FnOnce() -> O,
    ) {
        if self.threads == 1 {
            self.measure(role, name, make, |bencher, op| time(bencher, op));
        }
    }

    /// Measures a call.
    pub fn call<R, F: FnMut() -> R>(&mut self, role: Role, name: &str, make: impl FnOnce() -> F) {
        self.measure(role, name, make, |bencher, call| bencher.iter(&mut *call));
    }

    /// Measures the second of two calls, the first of which prepares its input.
    pub fn prepared<I, R, P: FnMut() -> I, F: FnMut(I) -> R>(
        &mut self,
        role: Role,
        name: &str,
        make: impl FnOnce() -> (P, F),
    ) {
        self.measure(role, name, make, |bencher, (prepare, call)| {
            bencher.iter_batched(&mut *prepare, &mut *call, BatchSize::PerIteration);
        });
    }

    /// Collects what a costly call says that it took.
    pub fn told<F: FnMut() -> Duration>(
        &mut self,
        role: Role,
        name: &str,
        make: impl FnOnce() -> F,
    ) {
        self.group.sample_size(10);
        self.group.warm_up_time(Duration::from_millis(100));
        self.group.measurement_time(Duration::from_millis(100));
        self.measure(role, name, make, |bencher, call| {
            bencher.iter_custom(|calls| (0..calls).map(|_| call()).sum());
        });
    }

    /// Makes the subject when it is first run, for criterion calls once a sample and a filter may leave it out.
    fn measure<S>(
        &mut self,
        role: Role,
        name: &str,
        make: impl FnOnce() -> S,
        mut run: impl FnMut(&mut Bencher<'_>, &mut S),
    ) {
        let mut make = Some(make);
        let mut subject = None;
        self.group
            .bench_function(BenchmarkId::new(role.name(), name), |bencher| {
                if let Some(make) = make.take() {
                    subject = Some(make());
                }
                run(bencher, subject.as_mut().expect("made on the first call"));
            });
    }
}

/// Does `op` so many times, on one input after another.
///
/// Criterion's own loop hides every result from the compiler, which then keeps the loop's state in memory:
/// a nanosecond for each operation. These operations have their effect in memory and need no hiding. This is
/// the only place that calls them, so that they are inlined here as they would be in a program's loop.
#[inline(never)]
fn repeat<O: FnMut(usize)>(mut op: O, count: usize) -> O {
    for turn in 0..count {
        op(turn % INPUTS);
    }
    op
}

fn time<O: FnMut(usize) + Clone>(bencher: &mut Bencher<'_>, op: &O) {
    bencher.iter_custom(|count| {
        let op = op.clone();
        let count = usize::try_from(count).expect("a count");
        let start = Instant::now();
        let op = repeat(op, count);
        let elapsed = start.elapsed();
        drop(op);
        elapsed
    });
}

/// Times `op` while another thread does the same without a pause.
fn time_beside<O: FnMut(usize) + Clone + Send>(bencher: &mut Bencher<'_>, op: &O) {
    let stop = &AtomicBool::new(false);
    let (running, wait) = mpsc::channel();
    thread::scope(|scope| {
        let mut other = op.clone();
        scope.spawn(move || {
            let mut running = Some(running);
            while !stop.load(Ordering::Relaxed) {
                other = repeat(other, INPUTS);
                running.take().map(|running| running.send(()));
            }
        });
        wait.recv().expect("the other thread runs");
        time(bencher, op);
        stop.store(true, Ordering::Relaxed);
    });
}
