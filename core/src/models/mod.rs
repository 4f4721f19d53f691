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
mod exemplars;
mod families;
mod gauges;
mod guard;
mod histograms;
mod overflow;
mod refusal;
mod registration;
mod removal;
mod seats;
mod slots;
mod stage;

use std::cell::Cell;
use std::panic;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

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
    /// As `Preemptions`, and with `TACHOGRAPH_LONG` every one.
    ExhaustiveIfLong,
    /// Those with at most `LOOM_MAX_PREEMPTIONS` (2) switches away from a thread that could go on, and with
    /// `TACHOGRAPH_LONG` those with one more.
    Preemptions,
}

/// The interleavings of one run of a model.
#[derive(Clone, Copy)]
struct Reach {
    preemptions: Option<usize>,
    /// Where it ends before all are tried.
    time: Option<Duration>,
}

impl Bound {
    /// What is tried to its end, and what is given the model's weakened forms.
    fn whole(self) -> Reach {
        let bounded = loom::model::Builder::new().preemption_bound.or(Some(2));
        let preemptions = match self {
            Bound::Exhaustive => None,
            Bound::ExhaustiveIfLong | Bound::Preemptions => bounded,
        };
        Reach {
            preemptions,
            time: None,
        }
    }

    /// What is tried beyond that in the long form, for `LOOM_MAX_DURATION` (120) seconds.
    fn deeper(self) -> Option<Reach> {
        std::env::var_os("TACHOGRAPH_LONG")?;
        let preemptions = match self {
            Bound::Exhaustive => return None,
            Bound::ExhaustiveIfLong => None,
            Bound::Preemptions => self.whole().preemptions.map(|most| most + 1),
        };
        let time = loom::model::Builder::new().max_duration;
        Some(Reach {
            preemptions,
            time: time.or(Some(Duration::from_secs(120))),
        })
    }
}

/// What a run came to.
struct Outcome {
    end: std::thread::Result<()>,
    executions: u64,
    is_whole: bool,
}

impl Outcome {
    /// Executions, and of which interleavings.
    fn describe(&self, reach: Reach) -> String {
        let most = match reach.preemptions {
            None => String::new(),
            Some(most) => format!(" (≤ {most})"),
        };
        let rest = if self.is_whole { "" } else { " and more" };
        format!("{}{most}{rest}", self.executions)
    }
}

/// Runs a model, which must hold, and again with each of `needs` weakened, which must fail. Prints its line
/// of the table of models.
#[expect(
    clippy::print_stdout,
    reason = "the line is for the table of the models"
)]
fn prove<F: Fn() + Copy + Send + Sync + 'static>(bound: Bound, model: F, needs: &[&'static str]) {
    let path = std::any::type_name::<F>();
    let mut names = path.rsplit("::");
    let (name, protocol) = (names.next().unwrap_or(path), names.next().unwrap_or(path));
    let whole = holds(bound.whole(), model);
    let survives = |place: &&&'static str| run(bound.whole(), model, place).end.is_ok();
    let unnoticed: Vec<_> = needs.iter().filter(survives).collect();
    assert!(unnoticed.is_empty(), "{name} holds without {unnoticed:?}");
    let deeper = bound.deeper().map(|reach| holds(reach, model));
    let deeper = deeper.as_ref().unwrap_or(&whole);
    let (name, needs) = (name.replace('_', " "), needs.join(", "));
    println!("| {protocol} | {name} | {whole} | {deeper} | {needs} |");
}

/// Runs a model, which must hold. Returns the executions, and of which interleavings.
fn holds<F: Fn() + Copy + Send + Sync + 'static>(reach: Reach, model: F) -> String {
    let outcome = run(reach, model, "");
    let described = outcome.describe(reach);
    if let Err(cause) = outcome.end {
        panic::resume_unwind(cause);
    }
    described
}

/// Runs a model with the place called `weakened` weakened.
fn run(reach: Reach, model: impl Fn() + Send + Sync + 'static, weakened: &'static str) -> Outcome {
    let executions = Arc::new(Mutex::new(0));
    let count = Arc::clone(&executions);
    keep_quiet();
    WEAKENED.set(weakened);
    let check = panic::AssertUnwindSafe(move || {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 20_000;
        builder.preemption_bound = reach.preemptions;
        builder.max_duration = reach.time;
        builder.checkpoint_interval = 100;
        builder.check(move || {
            *count.lock().unwrap() += 1;
            atomic::begin();
            model();
        });
    });
    let began = Instant::now();
    let end = panic::catch_unwind(check);
    WEAKENED.set("");
    let executions = *executions.lock().unwrap();
    Outcome {
        end,
        executions,
        is_whole: reach.time.is_none_or(|time| began.elapsed() < time),
    }
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
