//! What happens when something is wrong: exit status, message, and never a crash.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::support::{self, Demo, command, copy, folder, probe, run};

const COMMANDS: [&[&str]; 8] = [
    &["ls"],
    &["ls", "--series"],
    &["get"],
    &["watch", "--count", "1", "--interval", "1ms"],
    &["procs"],
    &["check"],
    &["dump"],
    &["dump", "--format", "text"],
];

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &[][..],
        &["nosuch"],
        &["get", "--label", "method"],
        &["watch", "--interval", "0s"],
        &["watch", "--count", "0"],
        &["ls", "--format", "xml"],
        &["procs", "extra"],
    ] {
        let run = run(command(arguments));
        assert_eq!(run.code, Some(2), "{arguments:?}");
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run:?}");
    }
}

#[test]
fn a_missing_segment_is_named() {
    let folder = folder();
    let path = folder.path().join("nosuch.seg");
    for arguments in COMMANDS {
        let run = probe(&path, arguments);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(1), ""),
            "{arguments:?}"
        );
        let wanted = format!("no segment at {}; start a writer", path.display());
        assert!(run.stderr.contains(&wanted), "{run:?}");
    }
}

#[test]
fn the_environment_names_the_segment() {
    let demo = Demo::new();
    let mut named = command(&["check"]);
    named.env("TACHOGRAPH_SEGMENT", &demo.path);
    assert_eq!(run(named).code, Some(0));
    let mut missing = command(&["check"]);
    missing.env("TACHOGRAPH_SEGMENT", demo.folder.path().join("other.seg"));
    let run = run(missing);
    assert_eq!(run.code, Some(1));
    let beside = format!("beside it there is:\n  {}", demo.path.display());
    assert!(run.stderr.contains(&beside), "{run:?}");
}

#[test]
fn a_folder_stands_for_its_only_segment() {
    let demo = Demo::new();
    assert_eq!(probe(demo.folder.path(), &["check"]).code, Some(0));
    fs::write(demo.folder.path().join("other.seg"), "").unwrap();
    let run = probe(demo.folder.path(), &["check"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("2 segments in"), "{run:?}");
    assert!(run.stderr.contains("/demo.seg\n  "), "{run:?}");
}

#[test]
fn what_is_not_a_segment_is_said() {
    let folder = folder();
    for (name, content) in [
        ("empty", vec![]),
        ("text", b"hello\n".to_vec()),
        ("zeros", vec![0; 1 << 20]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        for arguments in COMMANDS {
            let run = probe(&path, arguments);
            assert_eq!(
                (run.code, run.stdout.as_str()),
                (Some(1), ""),
                "{name} {arguments:?}"
            );
            assert!(run.stderr.contains(name), "{run:?}");
        }
    }
}

#[test]
fn an_unreadable_segment_is_a_document_of_check() {
    let folder = folder();
    let run = probe(
        &folder.path().join("nosuch.seg"),
        &["check", "--format", "json"],
    );
    assert_eq!(run.code, Some(1));
    assert_eq!(run.json()["verdict"], "unreadable");
    let error = run.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("no segment at "), "{error}");
}

fn assert_survives(path: &Path, what: &str) {
    for arguments in COMMANDS {
        let run = probe(path, arguments);
        assert!(
            matches!(run.code, Some(0 | 1)),
            "{what} {arguments:?}: {run:?}"
        );
        assert!(
            !run.stderr.contains("panicked"),
            "{what} {arguments:?}: {run:?}"
        );
        if run.code == Some(1) && arguments != ["check"] {
            assert!(!run.stderr.is_empty(), "{what} {arguments:?}: {run:?}");
        }
    }
}

#[test]
fn a_truncated_segment_crashes_nothing() {
    let demo = Demo::new();
    let folder = folder();
    let full = fs::metadata(&demo.path).unwrap().len();
    for length in [1, 64, 4095, 4096, 65_536, full / 2, full - 1] {
        let path = folder.path().join("truncated");
        copy(&demo.path, &path, length);
        assert_survives(&path, &format!("{length} of {full} bytes"));
        assert_eq!(
            probe(&path, &["check"]).code,
            Some(1),
            "{length} of {full} bytes"
        );
    }
}

#[test]
fn damaged_bytes_crash_nothing() {
    let demo = Demo::new();
    let folder = folder();
    let mut damaged = 0;
    // Step over the file with a stride that meets every part of a word.
    for start in 0..24u64 {
        let path = folder.path().join("damaged");
        copy(&demo.path, &path, u64::MAX);
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut bytes = vec![0; 1 << 20];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let hit = (4096 + start * 13..1 << 20).step_by(311);
        for at in hit.filter(|&at| bytes[usize::try_from(at).unwrap()] != 0) {
            let byte = bytes[usize::try_from(at).unwrap()];
            file.write_all_at(&[byte ^ 0x55], at).unwrap();
        }
        assert_survives(&path, &format!("start {start}"));
        let check = probe(&path, &["check"]);
        damaged += u32::from(check.stdout.contains("\nDAMAGED: "));
    }
    assert!(damaged > 0, "the test must hit something");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let demo = Demo::new();
    let family = demo.writer.counter("many_total", "Many").family().unwrap();
    for index in 0..3000 {
        let value = format!("{index:0>60}");
        family.with(&[("index", &value)]).unwrap().inc();
    }
    let watch = ["watch", "--interval", "1ms"];
    for arguments in [&["get"][..], &["ls", "--series"], &["dump"], &watch] {
        let mut command = command(arguments);
        command.arg("--segment").arg(&demo.path);
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            (status.code(), stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
        assert!(!first.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_filter_that_matches_nothing_fails() {
    let demo = Demo::new();
    let run = demo.probe(&["get", "requests"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        run.stderr,
        "tachograph-probe: no family is called 'requests'; there is requests_total\n"
    );
    let run = demo.probe(&["get", "requests_total", "--label", "method=put"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr
            .contains("no series of 'requests_total' has these labels")
    );
    assert_eq!(demo.probe(&["ls", "nosuch"]).code, Some(1));
}

#[test]
fn an_empty_segment_is_no_failure() {
    let folder = folder();
    let path = folder.path().join("empty.seg");
    let _writer = support::attach(&path);
    for arguments in [["ls"], ["get"]] {
        let run = probe(&path, &arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
        assert_eq!(
            run.stderr,
            "tachograph-probe: the segment has no series yet\n"
        );
    }
}
