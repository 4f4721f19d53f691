//! The command line. `UPDATE_GOLDEN=1 cargo test -p tachograph-exporter` writes `help.txt` anew.

mod common;

use std::fs;

use common::command;

const HELP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help.txt");

#[test]
fn help_is_the_golden_file() {
    let output = command().arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(HELP, &help).unwrap();
    }
    let golden = fs::read_to_string(HELP).unwrap();
    assert_eq!(help, golden, "run with UPDATE_GOLDEN=1 if this is meant");
}

#[test]
fn version() {
    let output = command().arg("--version").output().unwrap();
    let expected = concat!("tachograph-exporter ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn wrong_usage_ends_with_2() {
    for wrong in [
        &["--no-such-option"][..],
        &["--listen", "9464"],
        &["--header-timeout", "soon"],
        &["--max-connections", "0"],
        &["--demo-passes", "3"],
    ] {
        let output = command().args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty());
        assert!(!output.stderr.is_empty());
    }
}
