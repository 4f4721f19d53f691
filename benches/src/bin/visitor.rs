//! A process that attaches to the segment at the given path, records a little, prints the nanoseconds that the
//! attach took, and goes.
#![expect(clippy::print_stdout, reason = "a program prints")]

use std::time::Instant;

use tachograph::{SegmentOptions, Unit};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("give the path of a segment")?;
    let options = SegmentOptions::new().path(path).process_name("visitor");
    let start = Instant::now();
    let writer = options.attach()?;
    println!("{}", start.elapsed().as_nanos());
    writer.counter("visits_total", "Visits").register()?.inc();
    writer
        .gauge("visitors", "Visitors there are")
        .register()?
        .set(1);
    writer
        .histogram("visit_duration_seconds", "Length of a visit")
        .unit(Unit::NANOSECONDS)
        .register()?
        .record(1_000);
    Ok(())
}
