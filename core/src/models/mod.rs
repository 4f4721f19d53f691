//! Models of the protocols, run by loom through every interleaving, or every one that a bound allows.
//!
//! A model that cannot fail proves nothing. So whatever a protocol rests on has a name (see [`crate::sync`]),
//! each model says which names it needs, and is run once more without each of them: it must fail then.
//! `coverage` sees to it that no name is left out.
//!
//! The models run the production functions, most of them over a small segment on the heap.

pub(crate) mod atomic;
mod catalogue;
mod claims;
mod coverage;
mod creation;
mod gauges;
mod guard;
mod histograms;
mod index;
mod overflow;
mod registration;
mod seats;
mod slots;
mod stage;

use std::cell::Cell;
use std::panic;
use std::sync::{Arc, Mutex, Once};

use atomic::AtomicU64;

std::thread_local! {
    static WEAKENED: Cell<&'static str> = const { Cell::new("") };
}

/// Whether the running model weakens the place called `at`.
pub(crate) fn is_weakened(at: &'static str) -> bool {
    WEAKENED.get() == at
}

/// How many interleavings are tried.
#[derive(Clone, Copy)]
enum Bound {
    /// Every one that can differ.
    Exhaustive,
    /// Those with at most `LOOM_MAX_PREEMPTIONS` (3) switches away from a thread that could go on.
    Preemptions,
}

/// Runs a model, which must hold, and again with each of `needs` weakened, which must fail.
fn prove<F: Fn() + Copy + Send + Sync + 'static>(bound: Bound, model: F, needs: &[&'static str]) {
    let began = std::time::Instant::now();
    let (outcome, executions) = run(bound, model, "");
    eprintln!(
        "{} {executions} in {:?}",
        std::any::type_name::<F>(),
        began.elapsed()
    );
    if let Err(cause) = outcome {
        panic::resume_unwind(cause);
    }
    let survived = |place: &&&'static str| {
        let r = run(bound, model, place);
        eprintln!(
            "{} {place} {} in {:?} {}",
            std::any::type_name::<F>(),
            r.1,
            began.elapsed(),
            r.0.is_ok()
        );
        r.0.is_ok()
    };
    let unnoticed: Vec<_> = needs.iter().filter(survived).collect();
    let path = std::any::type_name::<F>();
    let mut names = path.rsplit("::");
    let (name, protocol) = (names.next().unwrap_or(path), names.next().unwrap_or(path));
    assert!(unnoticed.is_empty(), "{name} holds without {unnoticed:?}");
    let bound = match bound {
        Bound::Exhaustive => "all".into(),
        Bound::Preemptions => format!(
            "{} preemptions",
            builder(bound).preemption_bound.unwrap_or(0)
        ),
    };
    let needs = needs.join(", ");
    println!(
        "| {protocol} | {} | {bound} | {executions} | {needs} |",
        name.replace('_', " ")
    );
}

fn builder(bound: Bound) -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = match bound {
        Bound::Exhaustive => None,
        Bound::Preemptions => builder.preemption_bound.or(Some(3)),
    };
    builder
}

/// How a model ended with the place called `weakened` weakened, and after how many executions.
fn run(
    bound: Bound,
    model: impl Fn() + Send + Sync + 'static,
    weakened: &'static str,
) -> (std::thread::Result<()>, u64) {
    let executions = Arc::new(Mutex::new(0));
    let count = Arc::clone(&executions);
    keep_quiet();
    WEAKENED.set(weakened);
    let check = panic::AssertUnwindSafe(move || {
        builder(bound).check(move || {
            *count.lock().unwrap() += 1;
            atomic::begin();
            model();
        });
    });
    let outcome = panic::catch_unwind(check);
    WEAKENED.set("");
    let executions = *executions.lock().unwrap();
    (outcome, executions)
}

/// Failures that are asked for say nothing.
fn keep_quiet() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WEAKENED.get().is_empty() {
                loud(info);
            }
        }));
    });
}

/// Starts a thread of the model. What was done before the first one is set-up.
fn spawn<T: 'static>(body: impl FnOnce() -> T + 'static) -> loom::thread::JoinHandle<T> {
    atomic::go_live();
    loom::thread::spawn(body)
}

fn words(count: usize) -> Arc<[AtomicU64]> {
    let words: Arc<[AtomicU64]> = (0..count).map(|_| AtomicU64::new(0)).collect();
    atomic::share(words.iter());
    words
}
