//! Whether ten thousand processes that came and went cost anything: an add and a page before and after them.

use std::cell::LazyCell;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use criterion::Criterion;
use tachograph::{Counter, Reader};
use tachograph_benches::ours::{self, Many};
use tachograph_benches::{Role, Workload};
use tachograph_exporter::text::TextRenderer;

const SERIES: usize = 10_000;
/// Processes that are there at the same time.
const AT_ONCE: usize = 8;

pub(super) fn run(criterion: &mut Criterion) {
    let mut many = ours::many_counters(SERIES, 2);
    let segment = many.folder.path(ours::FILE);
    let visits = LazyCell::new(|| visit(&segment));
    measure(criterion, Role::Limit, "before them", &mut many, || ());
    measure(criterion, Role::Ours, "after them", &mut many, || *visits);
}

/// Lets the visitors come and go.
#[expect(clippy::print_stdout, reason = "a bench prints")]
fn visit(segment: &Path) {
    // Without `--bench` it is a test: a few are enough.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let visits = if is_bench { 10_000 } else { 2 * AT_ONCE };
    let start = Instant::now();
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
    let snapshot = Reader::attach(segment).unwrap().snapshot().unwrap();
    println!(
        "{visits} processes came and went in {:.1?}; {} slots are in use",
        start.elapsed(),
        snapshot.processes.len()
    );
    let seen = snapshot.number("visits_total", &[]);
    assert_eq!(seen, visits as f64, "every visit was counted");
}

fn measure(
    criterion: &mut Criterion,
    role: Role,
    name: &str,
    many: &mut Many<Counter>,
    before: impl Fn(),
) {
    let counter = many.handles[0];
    Workload::new(criterion, "counter add after 10k dead processes", 1).lone_op(role, name, || {
        before();
        move |_| counter.inc()
    });

    let handles = many.handles.clone();
    let workload = "text page, 10k counters, after 10k dead processes";
    Workload::bulk(criterion, workload, SERIES).prepared(role, name, || {
        before();
        let mut text = TextRenderer::new();
        (
            move || handles.iter().for_each(|counter| counter.inc()),
            move |()| text.render(&[(None, &many.snapshot())]).len(),
        )
    });
}
