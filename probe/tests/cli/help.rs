//! The help texts are kept in a file, so that a change of the command line is seen in review.

use std::fmt::Write as _;
use std::path::Path;

use crate::support::{command, run};

const UPDATE: &str = "UPDATE_HELP";

/// The names of the commands, from the help of the whole.
pub(crate) fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

#[test]
fn help_is_what_was_reviewed() {
    let top = run(command(&["--help"]));
    let mut found = format!("$ tachograph-probe --help\n{}\n", top.stdout);
    for name in commands(&top.stdout) {
        let run = run(command(&[name, "--help"]));
        assert_eq!(run.code, Some(0), "{name}");
        writeln!(found, "$ tachograph-probe {name} --help\n{}", run.stdout).unwrap();
    }
    for line in found.lines() {
        assert!(line.chars().count() <= 80, "wider than a terminal: {line}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let is_other = |(found, kept): &(&str, &str)| found != kept;
    let differs = found.lines().zip(kept.lines()).find(is_other);
    assert!(
        found == kept,
        "run the test with {UPDATE}=1 to keep this help: {differs:?}"
    );
}

#[test]
fn every_command_has_examples() {
    let top = run(command(&["--help"]));
    let commands = commands(&top.stdout);
    assert!(
        commands.contains(&"ls") && commands.contains(&"doctor"),
        "{commands:?}"
    );
    for name in commands {
        let run = run(command(&[name, "--help"]));
        assert!(
            run.stdout.contains("Examples:\n  tachograph-probe "),
            "{name}"
        );
    }
}
