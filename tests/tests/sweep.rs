//! A process is killed, and stopped, at every system call and at every step between two shared writes.
//!
//! Whatever happens to it, nobody else is held up, nothing is shown by half, and at most one record is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use clap::ValueEnum;
use tachograph_tests::play::{Clean, Fate, Place, play, play_clean};
use tachograph_tests::scenario::Scenario;
use tachograph_tests::tracer;
use tachograph_tests::{long, skip};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

/// Passes of one step in one act that the short form tries: its first ones and its last one.
const PASSES: usize = 3;

/// Plays a scenario once for each place and fate.
fn sweep(scenario: Scenario, places: &[Place], clean: &Clean) {
    assert!(!places.is_empty(), "there is no place to try");
    let fates = [Fate::Killed, Fate::Stopped];
    let runs = places
        .iter()
        .flat_map(|place| fates.map(|fate| (place, fate)));
    let runs = Mutex::new(runs);
    let faults = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some((place, fate)) = runs.lock().unwrap().next() else {
                return;
            };
            if let Err(fault) = play(ACTOR, scenario, place, fate, clean) {
                let fault = format!("{scenario:?}, {fate:?} at {place:?}: {fault}");
                faults.lock().unwrap().push(fault);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    let faults = faults.into_inner().unwrap();
    eprintln!(
        "{scenario:?}: {} runs, {} faults",
        places.len() * fates.len(),
        faults.len()
    );
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The names of the steps in the source, each of which stands there once.
fn steps_of_source() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let calls = text.match_indices("step(\"");
        for (at, call) in calls.filter(|&(at, _)| !text[..at].ends_with('_')) {
            let rest = &text[at + call.len()..];
            let name = rest.split('"').next().unwrap();
            assert!(names.insert(name.to_owned()), "two steps are called {name}");
        }
    }
    assert!(names.len() > 20, "{names:?}");
    names
}

/// The places to try: all of them, or the first passes of each step and its last one.
fn chosen(steps: &[Place]) -> Vec<Place> {
    let is_same =
        |a: &Place, b: &Place| matches!((a, b), (Place::Step(a, _), Place::Step(b, _)) if a == b);
    let of_step = |at: usize, range: &[Place]| {
        range
            .iter()
            .filter(|other| is_same(other, &steps[at]))
            .count()
    };
    (0..steps.len())
        .filter(|&at| {
            long() || of_step(at, &steps[..at]) < PASSES || of_step(at, &steps[at + 1..]) == 0
        })
        .map(|at| steps[at].clone())
        .collect()
}

fn clean(scenario: Scenario, with_steps: bool) -> Clean {
    play_clean(ACTOR, scenario, with_steps).unwrap_or_else(|fault| panic!("{scenario:?}: {fault}"))
}

fn at_every_step(scenario: Scenario) {
    let clean = clean(scenario, true);
    let places = chosen(&clean.steps);
    let all = clean.steps.len();
    eprintln!("{scenario:?}: {} of {all} passes of steps", places.len());
    sweep(scenario, &places, &clean);
}

fn at_every_call(scenario: Scenario) {
    if !tracer::is_permitted() {
        skip("tracing is not permitted here");
        return;
    }
    let clean = clean(scenario, false);
    let places: Vec<Place> = (0..clean.calls).map(Place::Call).collect();
    eprintln!(
        "{scenario:?}: {} beginnings and ends of system calls",
        places.len()
    );
    sweep(scenario, &places, &clean);
}

/// The sweeps find a leak, and a place that the act does not pass.
#[test]
#[cfg_attr(
    not(tachograph_proof),
    ignore = "needs a build with --cfg tachograph_proof"
)]
fn control_what_is_wrong_is_found() {
    let clean = clean(Scenario::Counter, true);
    let play = |name: &str, clean: &Clean| {
        let place = Place::Step(name.into(), 1);
        play(ACTOR, Scenario::Counter, &place, Fate::Killed, clean)
    };
    assert_eq!(play("operation-begun", &clean), Ok(()));
    let nothing = Clean::default();
    let leak = play("operation-begun", &nothing).unwrap_err();
    assert!(leak.contains("are lost"), "{leak}");
    let never = play("no-such-step", &clean).unwrap_err();
    assert!(never.contains("was over"), "{never}");
}

macro_rules! sweeps {
    ($when:ident: $($name:ident $scenario:ident,)+) => {$(
        #[test]
        #[cfg_attr(not(tachograph_proof), ignore = "needs a build with --cfg tachograph_proof")]
        fn $name() {
            $when(Scenario::$scenario);
        }
    )+};
}

mod step {
    use super::{Scenario, at_every_step};

    sweeps! { at_every_step:
        create Create,
        create_for_group CreateForGroup,
        attach Attach,
        replace Replace,
        lost_replace LostReplace,
        remove Remove,
        first First,
        counter Counter,
        log_linear LogLinear,
        bounds Bounds,
        gauge Gauge,
        latest Latest,
        lasting_sum LastingSum,
        info Info,
        states States,
        exemplar Exemplar,
        passing Passing,
        families Families,
        overflow Overflow,
        full Full,
        lost_family LostFamily,
        lost_series LostSeries,
        fork Fork,
    }
}

/// The other registrations make no system call, because there is memory already.
mod call {
    use super::{Scenario, at_every_call};

    sweeps! { at_every_call:
        create Create,
        create_for_group CreateForGroup,
        attach Attach,
        replace Replace,
        remove Remove,
        first First,
        log_linear LogLinear,
        gauge Gauge,
        overflow Overflow,
        full Full,
        fork Fork,
    }
}

#[test]
#[cfg_attr(
    not(tachograph_proof),
    ignore = "needs a build with --cfg tachograph_proof"
)]
fn no_step_of_the_source_is_missed() {
    let mut exercised = BTreeSet::new();
    for &scenario in Scenario::value_variants() {
        for place in chosen(&clean(scenario, true).steps) {
            if let Place::Step(name, _) = place {
                exercised.insert(name);
            }
        }
    }
    let source = steps_of_source();
    eprintln!(
        "{} steps in the source, {} exercised",
        source.len(),
        exercised.len()
    );
    assert_eq!(
        exercised, source,
        "the steps of the scenarios, and those of the source"
    );
}
