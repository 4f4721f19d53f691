//! Every command on every kind of file: the right exit status, the right stream, never a crash.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tachograph::SegmentOptions;

use crate::support::{Demo, Run, attach, copy, folder, probe};

/// Every command that reads, in every format it has.
const READING: [&[&str]; 24] = [
    &["ls"],
    &["ls", "--series"],
    &["ls", "--format", "json"],
    &["ls", "--format", "csv"],
    &["get"],
    &["get", "--format", "json"],
    &["get", "--format", "csv"],
    &["watch", "--count", "1", "--interval", "1ms"],
    &["watch", "-n", "1", "-i", "1ms", "--format", "json"],
    &["watch", "-n", "1", "-i", "1ms", "--format", "csv"],
    &["hist"],
    &["hist", "--merge", "--format", "json"],
    &["hist", "--format", "csv"],
    &["procs"],
    &["procs", "--format", "json"],
    &["procs", "--format", "csv"],
    &["check"],
    &["check", "--format", "json"],
    &["check", "--format", "csv"],
    &["dump"],
    &["dump", "--format", "text"],
    &["dump", "--format", "csv"],
    &["doctor"],
    &["doctor", "--format", "json"],
];

/// What is at a path, and what must come of it.
struct Case {
    name: &'static str,
    path: PathBuf,
    is_readable: bool,
}

fn assert_well_behaved(case: &Case, arguments: &[&str], run: &Run) {
    let told = format!("{} {arguments:?}: {run:?}", case.name);
    assert!(!run.stderr.contains("panicked"), "{told}");
    // An answer about a file that is no segment is an answer still.
    let answers = arguments[0] == "doctor" || arguments == ["check", "--format", "json"];
    if case.is_readable {
        assert_eq!(run.code, Some(0), "{told}");
        assert!(!run.stdout.is_empty(), "{told}");
    } else {
        assert_eq!(run.code, Some(1), "{told}");
        assert_eq!(run.stdout.is_empty(), !answers, "{told}");
        assert!(
            answers || run.stderr.starts_with("tachograph-probe: "),
            "{told}"
        );
    }
    if run.code == Some(0) && arguments.contains(&"json") {
        run.json();
    }
}

fn header_changed(from: &Path, to: &Path, at: u64, byte: u8) {
    copy(from, to, u64::MAX);
    let file = fs::OpenOptions::new().write(true).open(to).unwrap();
    file.write_all_at(&[byte], at).unwrap();
}

#[test]
fn every_command_on_every_kind_of_file() {
    let demo = Demo::new();
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let dump = at("kept.json.gz");
    demo.probe(&["dump", "-o", dump.to_str().unwrap()]);
    fs::write(at("text"), "hello, this is no segment\n").unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink(&demo.path, at("link")).unwrap();
    copy(&demo.path, &at("truncated"), 65_536);
    // The magic, and the version that follows it.
    header_changed(&demo.path, &at("foreign"), 0, b'x');
    header_changed(&demo.path, &at("version"), 8, 0x7f);
    let case = |name: &'static str, is_readable| Case {
        name,
        path: at(name),
        is_readable,
    };
    let cases = [
        Case {
            name: "live",
            path: demo.path.clone(),
            is_readable: true,
        },
        case("kept.json.gz", true),
        case("missing", false),
        case("empty", false),
        case("text", false),
        case("folder", false),
        case("link", false),
        case("truncated", false),
        case("foreign", false),
        case("version", false),
    ];
    for case in &cases {
        for arguments in READING {
            assert_well_behaved(case, arguments, &probe(&case.path, arguments));
        }
    }
}

#[test]
fn an_empty_segment_is_shown_as_empty() {
    let folder = folder();
    let path = folder.path().join("empty.seg");
    let _writer = attach(&path);
    for arguments in READING {
        let run = probe(&path, arguments);
        let wanted = i32::from(arguments[0] == "hist");
        assert_eq!(run.code, Some(wanted), "{arguments:?} {run:?}");
        assert!(
            !run.stdout.is_empty() || !run.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_hundred_thousand_series_are_shown() {
    let folder = folder();
    let path = folder.path().join("huge.seg");
    let options = SegmentOptions::new().path(&path).series(120_000);
    let writer = options.string_bytes(64 << 20).attach().unwrap();
    let family = writer.counter("many_total", "Many").series_limit(110_000);
    let family = family.family().unwrap();
    for index in 0..100_000u32 {
        family
            .with(&[("index", &index.to_string())])
            .unwrap()
            .add(index.into());
    }
    let dump = folder.path().join("huge.json.gz");
    let made = probe(&path, &["dump", "-o", dump.to_str().unwrap()]);
    assert!(made.stderr.contains("100000 series in "), "{made:?}");
    let listed = probe(&path, &["ls"]);
    assert!(listed.lines()[1].contains(" 100000 "), "{listed:?}");
    let all = probe(&path, &["get", "--format", "csv"]);
    assert_eq!(all.lines().len(), 100_001);
    let sum = "many_total == 4999950000";
    let waited = probe(
        &path,
        &["watch", "-q", "-n", "1", "-i", "1ms", "--until", sum],
    );
    assert_eq!(waited.code, Some(0));
    let one = probe(&dump, &["get", "--raw", "many_total{index=\"99999\"}"]);
    assert_eq!(one.lines()[1].trim(), "99999  many_total{index=\"99999\"}");
    let same = probe(&path, &["diff", "--exit-code", dump.to_str().unwrap()]);
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (Some(0), "no difference\n")
    );
}
