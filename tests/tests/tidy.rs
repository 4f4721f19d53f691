//! Rules about the source that no compiler checks: which module may use which, how long a file may be,
//! where unsafe code may stand.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tachograph::Loss;

/// Which module of the core may use which others, from the bottom up: a module may use only what stands
/// above it in this table, so there can be no circle.
const MAY_USE: &[(&str, &[&str])] = &[
    ("allocator", &[]),
    ("error", &[]),
    ("host", &[]),
    ("loss", &[]),
    ("schema", &[]),
    ("sets", &[]),
    ("sync", &[]),
    ("unit", &[]),
    ("word", &[]),
    ("proof", &["sync"]),
    ("trace", &["error", "word"]),
    ("buckets", &["error", "unit", "word"]),
    ("claim", &["proof", "sync"]),
    ("offsets", &["loss"]),
    ("layout", &["error", "host", "offsets", "word"]),
    ("lookup", &["sync", "word"]),
    ("rseq_aarch64", &["sync"]),
    ("rseq_pin", &["word"]),
    ("rseq_storm", &["sync"]),
    ("rseq_x86_64", &["sync"]),
    ("text", &["proof", "sync"]),
    ("cell", &["buckets", "layout", "schema"]),
    ("watched", &["sync"]),
    ("fault", &["layout", "loss", "sync", "watched"]),
    ("index", &["layout", "proof", "sync"]),
    ("free", &["index", "layout", "proof", "sync"]),
    ("seats", &["index", "layout", "proof", "sync"]),
    ("options", &["error", "host", "layout"]),
    ("looked", &["layout"]),
    (
        "segment",
        &[
            "claim", "error", "fault", "host", "layout", "looked", "loss", "proof", "sync",
        ],
    ),
    ("held", &["segment", "sync"]),
    ("lock", &["layout", "segment", "sync"]),
    (
        "marks",
        &[
            "claim", "error", "layout", "lock", "proof", "segment", "sync",
        ],
    ),
    ("memory", &["claim", "layout", "proof", "segment", "sync"]),
    ("recording", &[]),
    ("shelf", &[]),
    (
        "snapshot",
        &[
            "buckets",
            "loss",
            "recording",
            "schema",
            "shelf",
            "trace",
            "unit",
        ],
    ),
    (
        "exemplar",
        &[
            "host", "layout", "proof", "segment", "sync", "trace", "word",
        ],
    ),
    ("split", &["snapshot"]),
    (
        "create",
        &[
            "error", "fault", "host", "layout", "options", "proof", "segment", "sync",
        ],
    ),
    (
        "assembly",
        &[
            "buckets", "error", "layout", "loss", "schema", "shelf", "snapshot", "unit",
        ],
    ),
    ("labels", &["error", "shelf", "unit"]),
    ("merge", &["cell", "loss", "schema", "shelf", "snapshot"]),
    ("rseq", &["layout", "recording", "sync"]),
    ("window", &["buckets", "schema", "snapshot", "unit"]),
    (
        "process",
        &[
            "claim",
            "error",
            "host",
            "layout",
            "lock",
            "marks",
            "proof",
            "recording",
            "rseq",
            "segment",
            "snapshot",
            "sync",
            "text",
        ],
    ),
    ("definition", &["buckets", "schema", "snapshot", "unit"]),
    (
        "record",
        &[
            "buckets",
            "cell",
            "claim",
            "definition",
            "error",
            "host",
            "labels",
            "layout",
            "proof",
            "schema",
            "segment",
            "snapshot",
            "sync",
            "text",
            "unit",
        ],
    ),
    (
        "refusal",
        &[
            "error", "host", "layout", "record", "snapshot", "sync", "text",
        ],
    ),
    (
        "tables",
        &[
            "error", "free", "index", "labels", "layout", "record", "seats", "segment", "sync",
            "text",
        ],
    ),
    ("by_process", &["schema"]),
    ("budget", &["cell", "layout", "record", "segment"]),
    (
        "catalogue",
        &[
            "budget",
            "by_process",
            "cell",
            "claim",
            "labels",
            "layout",
            "marks",
            "record",
            "schema",
            "seats",
            "segment",
            "shelf",
            "snapshot",
            "sync",
            "tables",
        ],
    ),
    (
        "supply",
        &[
            "cell", "claim", "error", "layout", "lock", "proof", "record", "schema", "segment",
            "sync", "tables", "text",
        ],
    ),
    ("seats", &["layout", "sync"]),
    (
        "register",
        &[
            "error", "index", "labels", "layout", "proof", "record", "seats", "segment", "supply",
            "sync", "tables",
        ],
    ),
    (
        "removal",
        &[
            "error", "index", "labels", "layout", "marks", "proof", "record", "segment", "supply",
            "sync", "tables", "text",
        ],
    ),
    (
        "family_removal",
        &[
            "error", "index", "layout", "marks", "proof", "record", "register", "removal",
            "segment", "supply", "sync", "tables", "text",
        ],
    ),
    (
        "expiry",
        &[
            "error",
            "family_removal",
            "index",
            "labels",
            "layout",
            "lock",
            "marks",
            "record",
            "removal",
            "segment",
            "supply",
            "sync",
            "tables",
            "text",
        ],
    ),
    ("list", &[]),
    (
        "shape",
        &[
            "buckets", "cell", "layout", "record", "rseq", "segment", "unit", "word",
        ],
    ),
    (
        "attached",
        &[
            "cell", "error", "expiry", "held", "index", "labels", "layout", "list", "lock", "loss",
            "marks", "process", "proof", "record", "register", "rseq", "schema", "segment",
            "shape", "sync", "tables",
        ],
    ),
    (
        "holding",
        &[
            "attached",
            "error",
            "family_removal",
            "held",
            "index",
            "layout",
            "lock",
            "marks",
            "record",
            "refusal",
            "register",
            "removal",
            "sync",
            "tables",
        ],
    ),
    (
        "values",
        &[
            "catalogue",
            "cell",
            "claim",
            "exemplar",
            "layout",
            "process",
            "schema",
            "segment",
            "snapshot",
            "split",
            "sync",
            "trace",
        ],
    ),
    ("home", &["attached", "layout", "sync"]),
    (
        "counter",
        &[
            "attached", "home", "layout", "loss", "record", "rseq", "schema", "segment", "shape",
        ],
    ),
    (
        "fork",
        &[
            "attached", "list", "loss", "marks", "proof", "segment", "sync",
        ],
    ),
    (
        "missing",
        &["catalogue", "cell", "layout", "schema", "snapshot"],
    ),
    (
        "reader",
        &[
            "by_process",
            "catalogue",
            "create",
            "error",
            "host",
            "layout",
            "lock",
            "loss",
            "memory",
            "missing",
            "process",
            "proof",
            "refusal",
            "segment",
            "snapshot",
            "split",
            "sync",
            "values",
        ],
    ),
    (
        "gauge",
        &[
            "attached", "cell", "counter", "home", "record", "schema", "sync",
        ],
    ),
    (
        "histogram",
        &[
            "attached", "buckets", "cell", "counter", "home", "layout", "record", "rseq", "schema",
            "shape",
        ],
    ),
    ("queries", &["lookup", "sets"]),
    (
        "family",
        &[
            "attached", "error", "held", "index", "labels", "layout", "lookup", "loss", "queries",
            "record", "sets", "sync",
        ],
    ),
    ("dense", &["error", "family", "record", "sets"]),
    (
        "traced",
        &[
            "attached",
            "buckets",
            "counter",
            "exemplar",
            "family",
            "histogram",
            "record",
            "schema",
            "trace",
        ],
    ),
    (
        "writer",
        &[
            "attached",
            "buckets",
            "cell",
            "counter",
            "create",
            "dense",
            "error",
            "family",
            "family_removal",
            "fork",
            "gauge",
            "histogram",
            "index",
            "labels",
            "layout",
            "loss",
            "options",
            "process",
            "reader",
            "record",
            "rseq",
            "schema",
            "segment",
            "sets",
            "snapshot",
            "traced",
            "unit",
        ],
    ),
    (
        "lease",
        &[
            "attached", "error", "family", "held", "index", "labels", "layout", "loss", "removal",
            "sets", "sync",
        ],
    ),
    ("sweeper", &["error", "expiry", "writer"]),
    (
        "declare",
        &[
            "counter",
            "dense",
            "error",
            "family",
            "gauge",
            "histogram",
            "options",
            "sets",
            "snapshot",
            "traced",
            "writer",
        ],
    ),
];

/// Files of the core that may hold unsafe code.
const MAY_BE_UNSAFE: &[&str] = &[
    "allocator",
    "segment",
    "rseq",
    "rseq_x86_64",
    "rseq_aarch64",
    "rseq_pin",
    "fork",
    "fault",
];

/// Longest file of the core, its tests aside.
const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust files of a folder, by name without `.rs`, with their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut sources: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().into(),
                read(&path),
            )
        })
        .collect();
    sources.sort();
    assert!(!sources.is_empty(), "no source in {folder}");
    sources
}

/// The lines before the tests, which stand at the end of a file.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let starts_tests = |pair: &[&str]| {
        (pair[0].starts_with("#[cfg(test)]") || pair[0].starts_with("#[cfg(all(test"))
            && pair[1].starts_with("mod ")
            && pair[1].ends_with('{')
    };
    let end = lines.windows(2).position(starts_tests);
    lines[..end.unwrap_or(lines.len())].to_vec()
}

/// The text before the tests, without comments.
fn code(text: &str) -> String {
    let lines = without_tests(text).into_iter();
    let lines = lines.map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names after each `crate::` of some code, groups taken apart.
fn names_used(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => names.extend(names_in_group(group)),
            None => names.extend(first_name(rest)),
        }
    }
    names
}

fn first_name(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &text[..end.unwrap_or(text.len())];
    (!name.is_empty()).then(|| name.into())
}

/// The names of a group such as `a::B, c::{D, E}}`, up to its closing brace.
fn names_in_group(group: &str) -> Vec<String> {
    let mut depth = 0usize;
    let mut names = Vec::new();
    let mut expecting = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' => expecting = depth == 0 || expecting,
            c if expecting && (c.is_alphanumeric() || c == '_') => {
                names.extend(first_name(&group[at..]));
                expecting = false;
            }
            _ => {}
        }
    }
    names
}

/// The module that a name at the root of the core comes from: itself, or one that `lib.rs` re-exports.
fn module_of(name: &str, lib: &str) -> Option<String> {
    if MAY_USE.iter().any(|(module, _)| *module == name) {
        return Some(name.into());
    }
    code(lib).split("pub use ").skip(1).find_map(|statement| {
        let statement = statement.split(';').next()?;
        let (module, items) = statement.split_once("::")?;
        let mut items = items.split(|c: char| !c.is_alphanumeric() && c != '_');
        items.any(|item| item == name).then(|| module.trim().into())
    })
}

/// The modules that `lib.rs` has in test builds only.
fn test_modules(lib: &str) -> Vec<&str> {
    let lines: Vec<&str> = lib.lines().collect();
    let of_tests = lines.windows(2).filter_map(|pair| {
        let is_test = pair[0] == "#[cfg(test)]" || pair[0].starts_with("#[cfg(all(test");
        let module = pair[1].strip_prefix("mod ")?.strip_suffix(';')?;
        is_test.then_some(module)
    });
    of_tests.collect()
}

#[test]
fn modules_use_only_what_is_below_them() {
    let sources = sources("core/src");
    let lib = &sources.iter().find(|(name, _)| name == "lib").unwrap().1;
    let mut faults = Vec::new();
    for (place, (module, uses)) in MAY_USE.iter().enumerate() {
        for used in *uses {
            if !MAY_USE[..place].iter().any(|(below, _)| below == used) {
                faults.push(format!(
                    "the table lets {module} use {used}, which is not above it there"
                ));
            }
        }
        if !sources.iter().any(|(name, _)| name == module) {
            faults.push(format!("the table names {module}, which does not exist"));
        }
    }
    let of_tests = test_modules(lib);
    assert!(of_tests.len() < 3, "{of_tests:?} would escape the table");
    for (name, text) in &sources {
        if name == "lib" || of_tests.contains(&name.as_str()) {
            continue;
        }
        let Some((_, uses)) = MAY_USE.iter().find(|(module, _)| module == name) else {
            faults.push(format!("{name}.rs is not in the table"));
            continue;
        };
        for used in names_used(&code(text)) {
            if of_tests.contains(&used.as_str()) {
                continue;
            }
            match module_of(&used, lib) {
                None => faults.push(format!("{name} uses crate::{used}: name its module")),
                Some(module) if module == *name || uses.contains(&module.as_str()) => {}
                Some(module) => faults.push(format!("{name} may not use {module}")),
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for (name, text) in sources("core/src") {
        let lines = without_tests(&text).len();
        if lines > LINES_MAX {
            faults.push(format!("{name}.rs has {lines} lines before its tests"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Whether some code has the keyword `unsafe`, lints aside.
fn is_unsafe(code: &str) -> bool {
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.into_iter().any(|word| word == "unsafe")
}

#[test]
fn unsafe_code_stands_where_it_is_reviewed() {
    let sources = sources("core/src");
    let faults: Vec<&String> = sources
        .iter()
        .filter(|(name, text)| is_unsafe(&code(text)) && !MAY_BE_UNSAFE.contains(&name.as_str()))
        .map(|(name, _)| name)
        .collect();
    assert!(faults.is_empty(), "unsafe code in {faults:?}");
    assert!(
        sources.iter().any(|(_, text)| is_unsafe(&code(text))),
        "the rule looks at nothing"
    );
}

/// The names of invariants, such as `S1`, that stand between `open` and `close`.
fn invariants<'a>(text: &'a str, open: &str, close: &str) -> BTreeSet<&'a str> {
    let names = text.split(open).skip(1);
    let names = names.filter_map(|rest| rest.split(close).next());
    names.filter(|name| is_invariant(name)).collect()
}

fn is_invariant(name: &str) -> bool {
    name.len() == 2
        && name.as_bytes()[0].is_ascii_uppercase()
        && name.as_bytes()[1].is_ascii_digit()
}

/// The invariants that the reason names for which a block is sound.
fn named<'a>(reason: &str, known: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let comment = reason.lines().enumerate();
    let comment = comment.take_while(|(at, line)| *at == 0 || line.trim_start().starts_with("//"));
    let words = comment.flat_map(|(_, line)| line.split(|c: char| !c.is_alphanumeric()));
    words.filter_map(|word| known.get(word).copied()).collect()
}

#[test]
fn unsafe_code_names_its_invariant() {
    let sources = sources("core/src");
    let of = |(_, text): &'_ (String, String)| -> BTreeSet<String> {
        let found = invariants(text, "**", "**");
        found.into_iter().map(str::to_owned).collect()
    };
    let stated: BTreeSet<String> = sources.iter().flat_map(of).collect();
    let stated: BTreeSet<&str> = stated.iter().map(String::as_str).collect();
    let page = fs::read_to_string(root().join("docs/VERIFICATION.md")).unwrap();
    assert_eq!(
        stated,
        invariants(&page, "\n| ", " |"),
        "docs/VERIFICATION.md"
    );
    let mut reasons = 0;
    let mut used = BTreeSet::new();
    for (name, text) in &sources {
        for reason in text.split("SAFETY:").skip(1) {
            reasons += 1;
            let line = reason.lines().next().unwrap_or_default();
            let named = named(reason, &stated);
            assert!(!named.is_empty(), "{name}.rs: no invariant: {line}");
            used.extend(named);
        }
    }
    assert!(reasons > 20, "the rule looks at nothing");
    assert_eq!(stated, used, "an invariant that no block rests on");
    assert!(named(" it is fine\nlet S1 = 0;", &stated).is_empty());
    assert_eq!(
        named(" it\n// rests on S1", &stated),
        BTreeSet::from(["S1"])
    );
}

#[test]
fn every_reason_of_a_loss_is_explained() {
    for page in ["docs/OPERATIONS.md", "docs/PROBE.md"] {
        let text = read(&root().join(page));
        for loss in Loss::ALL {
            let name = format!("`{}`", loss.name());
            assert!(text.contains(&name), "{page} does not explain {name}");
        }
    }
}

#[test]
fn the_outputs_see_snapshots_only() {
    for package in ["exporter", "probe", "derive"] {
        for (name, text) in sources(&format!("{package}/src")) {
            if name == "main" || name == "lib" {
                let forbids = text.contains("#![forbid(unsafe_code)]");
                assert!(forbids, "{package}/src/{name}.rs must forbid unsafe code");
            }
            for mapping in ["memmap2", "mmap("] {
                assert!(
                    !text.contains(mapping),
                    "{package}/src/{name}.rs maps memory"
                );
            }
        }
    }
    // There are no internals of the core that they could name.
    let lib = code(&read(&root().join("core/src/lib.rs")));
    for door in ["pub mod", "doc(hidden)"] {
        assert!(!lib.contains(door), "core/src/lib.rs has `{door}`");
    }
}

#[test]
fn every_package_uses_the_lints_of_the_workspace() {
    let workspace = read(&root().join("Cargo.toml"));
    let members = workspace.split("\nmembers = [").nth(1).unwrap();
    let members = members.split(']').next().unwrap().split('"');
    let members: Vec<&str> = members.skip(1).step_by(2).collect();
    assert!(
        members.contains(&"core") && members.contains(&"tests"),
        "{members:?}"
    );
    for member in members {
        let manifest = read(&root().join(member).join("Cargo.toml"));
        let lints = "\n[lints]\nworkspace = true\n";
        assert!(
            manifest.contains(lints),
            "{member}/Cargo.toml has no [lints] of the workspace"
        );
    }
}

#[test]
fn control_the_rules_find_planted_faults() {
    let text = "use crate::{a::B, c::{D, E}, f};\ncrate::g::h(); // crate::i\n#[cfg(test)]\nmod tests {\nuse crate::j;";
    let names: Vec<String> = names_used(&code(text)).into_iter().collect();
    assert_eq!(names, ["a", "c", "f", "g"]);
    assert_eq!(without_tests(text).len(), 2);
    assert!(is_unsafe("unsafe { x }") && !is_unsafe("#![deny(unsafe_code)]"));
    let lib = "pub use unit::{Scale, Unit};\npub use error::Error;";
    assert_eq!(module_of("Unit", lib).as_deref(), Some("unit"));
    assert_eq!(module_of("unit", lib).as_deref(), Some("unit"));
    assert_eq!(module_of("Nothing", lib), None);
}
