use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tachograph::{SegmentOptions, Unit};

use crate::support::{Demo, Run, attach, command, copy, folder, probe, run};

/// Every command that reads, in every format it has.
const READING: [&[&str]; 25] = [
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
    &["doctor", "--format", "csv"],
];

/// How the other commands end on what there is.
struct Other {
    /// `FILE` stands for the file, `NEW` for one that is not there yet.
    arguments: &'static [&'static str],
    ends: fn(&Case) -> i32,
    says: fn(&Case) -> &'static str,
}

const OTHERS: [Other; 11] = [
    Other {
        arguments: &["diff", "FILE"],
        ends: |case| i32::from(!case.is_readable),
        says: |case| {
            if case.is_readable {
                "0s later"
            } else {
                "tachograph-probe: "
            }
        },
    },
    Other {
        arguments: &["diff", "--format", "json", "FILE", "FILE"],
        ends: |case| i32::from(!case.is_readable),
        says: |case| {
            if case.is_readable {
                ""
            } else {
                "tachograph-probe: "
            }
        },
    },
    Other {
        arguments: &["record", "NEW", "-n", "1"],
        ends: |case| i32::from(!case.is_live),
        says: |case| match (case.is_live, case.is_readable) {
            (true, _) => "1 look recorded",
            (false, true) => "does not change: nothing to record",
            (false, false) => "tachograph-probe: ",
        },
    },
    // The screen tests have these in a terminal.
    Other {
        arguments: &["top"],
        ends: |_| 1,
        says: |_| "a full screen needs a terminal",
    },
    Other {
        arguments: &["replay", "FILE"],
        ends: |_| 1,
        says: |_| "a full screen needs a terminal",
    },
    Other {
        arguments: &["create", "--dry-run"],
        ends: |case| i32::from(case.name != "missing"),
        says: |case| {
            if case.name == "missing" {
                "would create "
            } else {
                "there is a file at "
            }
        },
    },
    Other {
        arguments: &["rm", "--dry-run"],
        ends: |_| 1,
        says: |case| {
            if case.is_live {
                "--force"
            } else {
                "tachograph-probe: "
            }
        },
    },
    Other {
        arguments: &["gc", "--dry-run"],
        ends: |_| 0,
        says: |_| "nothing to clear away",
    },
    Other {
        arguments: &["lint", "FILE"],
        ends: |case| i32::from(case.name != "empty"),
        says: |case| if case.is_live { "it is no text" } else { "" },
    },
    Other {
        arguments: &["completions", "bash"],
        ends: |_| 0,
        says: |_| "",
    },
    Other {
        arguments: &["man"],
        ends: |_| 0,
        says: |_| "",
    },
];

#[test]
fn no_command_is_left_out() {
    let help = run(command(&["--help"])).stdout;
    let reading = READING.iter().map(|arguments| arguments[0]);
    let others = OTHERS.iter().map(|other| other.arguments[0]);
    let here: Vec<&str> = reading.chain(others).collect();
    for name in crate::help::commands(&help) {
        assert!(here.contains(&name), "no case for {name}");
    }
}

/// What is at a path, and what must come of it.
struct Case {
    name: &'static str,
    path: PathBuf,
    is_readable: bool,
    is_live: bool,
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
    let tape = at("tape");
    demo.probe(&["record", tape.to_str().unwrap(), "-n", "3", "-i", "2ms"]);
    let mut bytes = fs::read(&tape).unwrap();
    bytes[8] = 0x7f;
    fs::write(at("tape of another version"), bytes).unwrap();
    fs::write(at("text"), "hello, this is no segment\n").unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink(&demo.path, at("link")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(at("pipe"))
        .status();
    assert!(made.unwrap().success());
    copy(&demo.path, &at("truncated"), 65_536);
    // The magic, and the version that follows it.
    header_changed(&demo.path, &at("foreign"), 0, b'x');
    header_changed(&demo.path, &at("version"), 8, 0x7f);
    let case = |name: &'static str, is_readable| Case {
        name,
        path: at(name),
        is_readable,
        is_live: false,
    };
    let cases = [
        Case {
            name: "live",
            path: demo.path.clone(),
            is_readable: true,
            is_live: true,
        },
        case("kept.json.gz", true),
        case("tape", true),
        case("tape of another version", false),
        case("missing", false),
        case("empty", false),
        case("text", false),
        case("folder", false),
        case("link", false),
        case("pipe", false),
        case("truncated", false),
        case("foreign", false),
        case("version", false),
    ];
    for case in &cases {
        for arguments in READING {
            assert_well_behaved(case, arguments, &probe(&case.path, arguments));
        }
        for (other, number) in OTHERS.iter().zip(0..) {
            if case.name == "pipe" && other.arguments[0] == "lint" {
                // It waits for a page, as it should.
                continue;
            }
            let new = at(&format!("new {} {number}", case.name));
            let run = other.run(&case.path, &new);
            let told = format!("{} {:?}: {run:?}", case.name, other.arguments);
            assert!(!run.stderr.contains("panicked"), "{told}");
            assert_eq!(run.code, Some((other.ends)(case)), "{told}");
            assert!(run.stderr.contains((other.says)(case)), "{told}");
            assert_eq!(new.exists(), case.is_live && other.arguments[0] == "record");
        }
    }
}

impl Other {
    fn run(&self, path: &Path, new: &Path) -> Run {
        let [path_text, new] = [path, new].map(|path| path.to_str().unwrap());
        let arguments = self.arguments.iter().map(|argument| match *argument {
            "FILE" => path_text,
            "NEW" => new,
            other => other,
        });
        probe(path, &arguments.collect::<Vec<&str>>())
    }
}

#[test]
fn an_empty_segment_is_shown_as_empty() {
    let folder = folder();
    let path = folder.path().join("empty.seg");
    let _writer = attach(&path);
    let same = ["diff", path.to_str().unwrap()];
    let tape = folder.path().join("tape");
    let record = ["record", tape.to_str().unwrap(), "-n", "1"];
    let more: [&[&str]; 3] = [&same, &record, &["gc"]];
    for arguments in READING.into_iter().chain(more) {
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
    let times = writer
        .histogram("wait_seconds", "Waits")
        .unit(Unit::NANOSECONDS);
    times.register().unwrap().record(5_000);
    let tape = folder.path().join("tape");
    let record = ["record", tape.to_str().unwrap(), "-n", "1"];
    for arguments in [
        &record[..],
        &["ls", "--series"],
        &["hist"],
        &["procs"],
        &["check"],
        &["doctor"],
        &["gc"],
    ] {
        let run = probe(&path, arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.stderr);
    }
    let last = ["get", "--raw", "many_total{index=\"7\"}"];
    assert_eq!(probe(&tape, &last).lines(), probe(&path, &last).lines());
    let same = ["diff", "--exit-code", dump.to_str().unwrap(), "many_total"];
    let same = probe(&path, &same);
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (Some(0), "no difference\n")
    );
}
