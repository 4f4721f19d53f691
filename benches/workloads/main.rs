//! Runs every workload, or those whose name matches the argument: `cargo bench -p tachograph-benches -- counter`.

mod churn;
mod counter;
mod gauge;
mod histogram;
mod register;
mod scrape;

fn main() {
    let mut criterion = tachograph_benches::criterion();
    for run in [
        counter::run,
        histogram::run,
        gauge::run,
        register::run,
        scrape::run,
        churn::run,
    ] {
        run(&mut criterion);
    }
    criterion.final_summary();
}
