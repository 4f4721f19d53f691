//! No place that a protocol rests on is without a model that fails when it is weakened.
//!
//! Reads the source: what is named in `sync`'s words, what the models need, and what has no name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The words that name a place.
const DOORS: [&str; 9] = [
    "release(",
    "acquire(",
    "release_fence(",
    "acquire_fence(",
    "full_fence(",
    "one_step(",
    "check(",
    "does(",
    "in_order(",
];

/// Files whose atomics no model reaches, and why.
const UNREACHED: &[(&str, &str)] = &[
    ("sync", "it is the door"),
    (
        "held",
        "a lock of this process around a count and its mark; a kill ends all of it",
    ),
    (
        "expiry",
        "what one process remembers; what it misses it removes later",
    ),
    ("holding", "words of this process"),
    (
        "fork",
        "a flag, and the turn of threads that fork or attach: what it is for is the kernel's",
    ),
    (
        "create",
        "its steps are the kernel's, and those between two creators are modelled on a copy",
    ),
    (
        "fault",
        "a flag and a count in a signal handler; the ranges it looks up are in `watched`",
    ),
    (
        "lookup",
        "one mark of a table that is reached through its box; boxes are once_cell's",
    ),
    ("proof", "hooks of a build for tests"),
    ("rseq_storm", "hooks of a build for tests"),
    ("heap_tests", "tests"),
    (
        "rseq_aarch64",
        "the self-test runs the processor's own instructions",
    ),
];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files of a folder of the source, by name, without comments and tests.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\nmod tests {").next().unwrap();
        let code = code
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line));
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, code.collect::<Vec<_>>().join("\n"))
    };
    files.map(read).collect()
}

/// The names in calls of the doors: `door("name"`, also over two lines.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for door in DOORS {
        for (at, _) in code.match_indices(door) {
            let is_whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = code[at + door.len()..].trim_start();
            if let Some(rest) = rest.strip_prefix('"').filter(|_| is_whole) {
                names.extend(rest.split('"').next().map(str::to_owned));
            }
        }
    }
    names
}

/// The names in the models' calls of `prove`.
fn needed(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for call in code.split("prove(").skip(1) {
        let list = call
            .split("&[")
            .nth(1)
            .and_then(|rest| rest.split(']').next());
        let quoted = list.unwrap_or_default().split('"').skip(1).step_by(2);
        names.extend(quoted.map(str::to_owned));
    }
    names
}

/// Orderings and updates without a name.
fn unnamed(code: &str) -> Vec<&str> {
    let orderings = [
        "Ordering::Acquire",
        "Ordering::Release",
        "AcqRel",
        "SeqCst",
        " fence(",
    ];
    let updates = [".compare_exchange", ".fetch_", ".swap("];
    let line = |at: usize| code[..at].lines().last().unwrap_or_default().trim();
    let orderings = orderings.iter().flat_map(|word| code.match_indices(word));
    let updates = updates.iter().flat_map(|word| code.match_indices(word));
    let updates = updates.filter(|&(at, _)| {
        let statement = code[..at]
            .rsplit([';', '{', '}'])
            .next()
            .unwrap_or_default();
        !statement.contains("one_step(")
    });
    orderings.chain(updates).map(|(at, _)| line(at)).collect()
}

#[test]
fn every_named_place_is_needed_by_a_model() {
    let mut models = sources(&folder().join("models"));
    models.retain(|(name, _)| name != "coverage");
    let needed: BTreeSet<String> = models.iter().flat_map(|(_, code)| needed(code)).collect();
    let source = sources(&folder());
    let reached = source.iter().filter(|(name, _)| name != "sync");
    // The steps of `create` are the kernel's, so that their names stand in the model.
    let creation = models.iter().filter(|(name, _)| name == "creation");
    let named: BTreeSet<String> = reached
        .chain(creation)
        .flat_map(|(_, code)| named(code))
        .collect();
    assert!(named.len() > 50, "only {} places have names", named.len());
    let missing: Vec<_> = named.difference(&needed).collect();
    assert!(missing.is_empty(), "no model needs {missing:?}");
    let unknown: Vec<_> = needed.difference(&named).collect();
    assert!(unknown.is_empty(), "no source names {unknown:?}");
}

#[test]
fn every_ordering_and_update_has_a_name() {
    let is_reached = |name: &str| UNREACHED.iter().all(|(unreached, _)| *unreached != name);
    let mut faults = Vec::new();
    for (name, code) in sources(&folder()) {
        if is_reached(&name) {
            let found = unnamed(&code).into_iter();
            faults.extend(found.map(|line| format!("{name}.rs: {line}")));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn control_the_rules_find_planted_faults() {
    let code =
        "let a = x.load(acquire(\"a\"));\none_step(\n  \"b\", w).swap(1, Ordering::Relaxed);";
    assert_eq!(named(code).into_iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(unnamed(code).is_empty());
    assert_eq!(unnamed("a;\nx.fetch_add(1, Ordering::Release);").len(), 2);
    let model = "prove(Bound::Exhaustive, model, &[\"a\", \"b\"]);";
    assert_eq!(needed(model).len(), 2);
}
