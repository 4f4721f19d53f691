//! What `top` costs, itself and the writers. Measured by
//! `cargo test --release -p tachograph-probe --test screen cost -- --ignored --nocapture`.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tachograph::{Counter, SegmentOptions, Writer};

use crate::support::Terminal;

const SERIES: usize = 10_000;
const MEASURED: Duration = Duration::from_secs(30);

/// Processor time of a process so far, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn counters(writer: &Writer) -> Vec<Counter> {
    let family = writer.counter("cells_total", "Cells").series_limit(20_000);
    let family = family.family().unwrap();
    let counter = |index: usize| {
        let (row, column) = ((index / 100).to_string(), (index % 100).to_string());
        family.with(&[("row", &row), ("column", &column)]).unwrap()
    };
    (0..SERIES).map(counter).collect()
}

/// Nanoseconds that an add takes in a thread of its own, as long as `meanwhile` lasts.
fn add_nanos(counter: &Counter, meanwhile: impl FnOnce()) -> f64 {
    const ADDS: u32 = 1_000_000;
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let mut costs = Vec::new();
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                let start = Instant::now();
                (0..ADDS).for_each(|_| counter.inc());
                costs.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(ADDS));
            }
            costs.sort_by(f64::total_cmp);
            costs[costs.len() / 2]
        });
        meanwhile();
        drop(stop);
        worker.join().unwrap()
    })
}

#[test]
#[ignore = "measures for a minute; a figure, not a verdict"]
fn cost() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("cost.seg");
    let writer = SegmentOptions::new().path(&path).attach().unwrap();
    let counters = counters(&writer);
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let all = &counters;
        scope.spawn(move || {
            let pause = Duration::from_millis(500);
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                all.iter().for_each(Counter::inc);
            }
        });
        let hot = writer.counter("hot_total", "Hot").register().unwrap();
        let alone = add_nanos(&hot, || thread::sleep(MEASURED / 3));
        let mut top = Terminal::top(&path, 120, 40, &[]);
        top.press("s");
        top.wait_for("RATE▼");
        top.wait_for("10001 series");
        let before = ticks(top.pid());
        thread::sleep(MEASURED);
        let used = ticks(top.pid()) - before;
        let watched = add_nanos(&hot, || thread::sleep(MEASURED / 3));
        #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
        let share = used as f64 / MEASURED.as_secs_f64();
        eprintln!("top at 1 Hz over {SERIES} series: {share:.1} % of one core");
        eprintln!("an add: {alone:.2} ns alone, {watched:.2} ns while top looks (medians)");
        drop(stop);
    });
}
