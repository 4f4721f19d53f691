//! Models of the protocols, run by loom through every interleaving, or every one that a bound allows.
//!
//! A model that cannot fail proves nothing. So whatever a protocol rests on has a name (see [`crate::sync`]),
//! each model says which names it needs, and is run once more without each of them: it must fail then.
//! `coverage` sees to it that no name is left out, and that no ordering or update is without a name.
//!
//! The models run the production functions, most of them over a small segment on the heap.

pub(crate) mod atomic;
mod catalogue;
mod claims;
mod coverage;
mod creation;
mod families;
mod gauges;
mod guard;
mod histograms;
mod overflow;
mod registration;
mod removal;
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
    /// Every one with `TACHOGRAPH_LONG`, else as `Preemptions`.
    ExhaustiveIfLong,
    /// Those with at most `LOOM_MAX_PREEMPTIONS` (2) switches away from a thread that could go on.
    Preemptions,
}

impl Bound {
    fn preemptions(self) -> Option<usize> {
        let bounded = loom::model::Builder::new().preemption_bound.or(Some(2));
        let is_long = std::env::var_os("TACHOGRAPH_LONG").is_some();
        match self {
            Bound::Exhaustive => None,
            Bound::ExhaustiveIfLong if is_long => None,
            Bound::ExhaustiveIfLong | Bound::Preemptions => bounded,
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the line is for the table of the models"
)]
fn report(protocol: &str, model: &str, bound: Bound, executions: u64, needs: &[&str]) {
    let bound = match bound.preemptions() {
        None => "all".into(),
        Some(most) => format!("≤ {most} preemptions"),
    };
    let (model, needs) = (model.replace('_', " "), needs.join(", "));
    println!("| {protocol} | {model} | {bound} | {executions} | {needs} |");
}

/// Runs a model, which must hold, and again with each of `needs` weakened, which must fail.
fn prove<F: Fn() + Copy + Send + Sync + 'static>(bound: Bound, model: F, needs: &[&'static str]) {
    let (outcome, executions) = run(bound, model, "");
    if let Err(cause) = outcome {
        panic::resume_unwind(cause);
    }
    let survives = |place: &&&'static str| run(bound, model, place).0.is_ok();
    let unnoticed: Vec<_> = needs.iter().filter(survives).collect();
    let path = std::any::type_name::<F>();
    let mut names = path.rsplit("::");
    let (name, protocol) = (names.next().unwrap_or(path), names.next().unwrap_or(path));
    assert!(unnoticed.is_empty(), "{name} holds without {unnoticed:?}");
    report(protocol, name, bound, executions, needs);
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
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 20_000;
        builder.preemption_bound = bound.preemptions();
        builder.check(move || {
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

/// What each of some threads came to.
fn join<T>(threads: impl IntoIterator<Item = loom::thread::JoinHandle<T>>) -> Vec<T> {
    let threads = threads.into_iter();
    threads.map(|thread| thread.join().unwrap()).collect()
}

fn words(count: usize) -> Arc<[AtomicU64]> {
    let words: Arc<[AtomicU64]> = (0..count).map(|_| AtomicU64::new(0)).collect();
    atomic::share(words.iter());
    words
}
