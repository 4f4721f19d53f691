//! A shop in trouble, to practise on: three workers record, then payments get slow, a worker dies, and a label
//! explodes. `docs/OPERATIONS.md` tells how to find all of that with the probe.

use std::error::Error;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use tachograph::{SegmentOptions, Unit};

const WORKERS: u32 = 3;
/// When things begin to go wrong.
const CALM: Duration = Duration::from_secs(3);
/// The end of it all.
const END: Duration = Duration::from_secs(300);

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(number) => work(number.parse()?),
        None => supervise(),
    }
}

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn supervise() -> Result<(), Box<dyn Error>> {
    let start = |number: u32| {
        Command::new(std::env::current_exe()?)
            .arg(number.to_string())
            .spawn()
    };
    let mut workers = (1..=WORKERS)
        .map(start)
        .collect::<Result<Vec<Child>, _>>()?;
    println!("segment {}", tachograph::default_path().display());
    println!(
        "something will go wrong in {} s; Ctrl-C ends it",
        CALM.as_secs()
    );
    for worker in &mut workers {
        worker.wait()?;
    }
    Ok(())
}

/// Records what a worker would; nobody waits as long as is recorded.
fn work(number: u32) -> Result<(), Box<dyn Error>> {
    let writer = SegmentOptions::new()
        .process_name(format!("shop-worker-{number}"))
        .attach()?;
    let durations = writer.histogram("shop_request_duration_seconds", "Time to serve a request");
    let durations = durations.unit(Unit::NANOSECONDS).family()?;
    let [home, cart, pay] = [("path", "/home"), ("path", "/cart"), ("path", "/pay")];
    let [home, cart, pay] = [
        durations.with(&[home])?,
        durations.with(&[cart])?,
        durations.with(&[pay])?,
    ];
    let carts = writer
        .counter("shop_cart_updates_total", "Changes of carts")
        .series_limit(200);
    let carts = carts.family()?;
    let busy = writer
        .gauge("shop_busy_workers", "Workers that serve a request")
        .register()?;
    busy.set(1);
    let start = Instant::now();
    for request in 0u64.. {
        let is_calm = start.elapsed() < CALM;
        home.record(2_000_000 + request % 7 * 100_000);
        cart.record(5_000_000 + request % 5 * 300_000);
        let is_slow = !is_calm && number == 2 && request % 10 == 0;
        pay.record(if is_slow { 900_000_000 } else { 20_000_000 });
        // A release that labels by cart instead of by action.
        let label = if is_calm { 0 } else { request % 1000 };
        carts
            .with(&[("cart", &label.to_string()), ("action", "add")])?
            .inc();
        if number == 3 && !is_calm {
            std::process::abort();
        }
        if start.elapsed() > END {
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
