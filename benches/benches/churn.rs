//! Whether ten thousand processes that came and went cost anything: an add and a page before and after them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use criterion::Criterion;
use tachograph::Counter;
use tachograph_benches::ours::{self, Many};
use tachograph_benches::page::TextRenderer;
use tachograph_benches::{Role, Workload, criterion};

const SERIES: usize = 10_000;
/// Processes that are there at the same time.
const AT_ONCE: usize = 8;

#[expect(clippy::print_stdout, reason = "a bench prints")]
fn main() {
    let mut criterion = criterion();
    let mut many = ours::many_counters(SERIES, 2);
    measure(&mut criterion, Role::Limit, "before them", &mut many);

    // Without `--bench` it is a test: a few are enough.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let visits = if is_bench { 10_000 } else { 2 * AT_ONCE };
    let start = Instant::now();
    visit(&many.folder.path(ours::FILE), visits);
    println!(
        "{visits} processes came and went in {:.1?}",
        start.elapsed()
    );
    let seen = many.snapshot().number("visits_total", &[]);
    assert_eq!(seen, visits as f64, "every visit was counted");

    measure(&mut criterion, Role::Ours, "after them", &mut many);
    criterion.final_summary();
}

fn visit(segment: &Path, visits: usize) {
    for _ in 0..visits / AT_ONCE {
        let visitors = [(); AT_ONCE].map(|()| {
            Command::new(env!("CARGO_BIN_EXE_visitor"))
                .arg(segment)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        for mut visitor in visitors {
            assert!(visitor.wait().unwrap().success());
        }
    }
}

fn measure(criterion: &mut Criterion, role: Role, name: &str, many: &mut Many<Counter>) {
    let counter = many.handles[0];
    Workload::new(criterion, "counter add after 10k dead processes", 1)
        .lone_op(role, name, || move |_| counter.inc());

    let handles = many.handles.clone();
    let workload = "text page, 10k counters, after 10k dead processes";
    Workload::bulk(criterion, workload, SERIES).prepared(role, name, || {
        let mut text = TextRenderer::new();
        (
            move || handles.iter().for_each(|counter| counter.inc()),
            move |()| text.render(&[(None, &many.snapshot())]).len(),
        )
    });
}
