//! The help texts are kept in a file, so that a change of the command line is seen in review.

use std::fmt::Write as _;
use std::path::Path;

use crate::support::{command, run};

const UPDATE: &str = "UPDATE_HELP";

#[test]
fn help_is_what_was_reviewed() {
    let mut found = String::new();
    for name in ["", "ls", "get", "watch", "procs", "check", "dump", "lint"] {
        let arguments = [name, "--help"];
        let run = run(command(&arguments[usize::from(name.is_empty())..]));
        assert_eq!(run.code, Some(0), "{name}");
        writeln!(found, "$ tachograph-probe {name} --help\n{}", run.stdout).unwrap();
    }
    let found = found.replace("probe  --help", "probe --help");
    for line in found.lines() {
        assert!(line.chars().count() <= 80, "wider than a terminal: {line}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, kept,
        "run the test with {UPDATE}=1 to keep this help"
    );
}

#[test]
fn every_command_has_examples() {
    for name in ["ls", "get", "watch", "procs", "check", "dump", "lint"] {
        let run = run(command(&[name, "--help"]));
        assert!(
            run.stdout.contains("Examples:\n  tachograph-probe "),
            "{name}"
        );
    }
}
