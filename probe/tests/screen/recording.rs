//! `record` and `replay`: what was recorded is shown, also by a recorder that was killed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Busy, Terminal, probe};

fn recorder(busy: &Busy, file: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tachograph-probe"));
    command
        .arg("record")
        .arg(file)
        .arg("--segment")
        .arg(&busy.path)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn replay(file: &Path) -> Terminal {
    Terminal::start(probe(&["replay", file.to_str().unwrap()]), 100, 30)
}

#[test]
fn a_recording_shows_and_rewinds() {
    let busy = Busy::new();
    let file = busy.folder.path().join("tape");
    let run = recorder(&busy, &file, &["-i", "20ms", "-n", "50"])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    assert!(run.stdout.is_empty());
    assert!(String::from_utf8_lossy(&run.stderr).contains("50 looks recorded"));
    let mut screen = replay(&file);
    screen.wait_for("replay -0s");
    screen.wait_for("http_requests");
    let last = screen.settled();
    screen.press("b");
    screen.wait_until("another look", |text| text != last);
    let first = screen.settled();
    screen.press("l");
    screen.wait_until("the last look", |text| text == last);
    screen.press("b");
    screen.wait_until("the first look", |text| text == first);
    screen.press("+++");
    screen.press(" ");
    screen.wait_for("playing");
    screen.wait_until("its end", |text| text == last);
    screen.press("q");
    assert!(screen.end().success());
    assert!(screen.is_restored());
}

fn wait_for_bytes(file: &Path, bytes: u64, child: &mut Child) {
    let end = Instant::now() + Duration::from_secs(60);
    while fs::metadata(file).map_or(0, |file| file.len()) < bytes {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_recorder_that_is_killed_leaves_a_readable_file() {
    let busy = Busy::new();
    for bytes in [2_000, 20_000, 64_000] {
        let file = busy.folder.path().join(format!("tape-{bytes}"));
        let mut child = recorder(&busy, &file, &["-i", "1ms", "--size", "64KiB"])
            .spawn()
            .unwrap();
        wait_for_bytes(&file, bytes, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(fs::metadata(&file).unwrap().len() <= 64 << 10);
        let mut screen = replay(&file);
        screen.wait_for("replay");
        screen.wait_for("http_requests");
        screen.press("q");
        assert!(screen.end().success());
    }
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_told() {
    let busy = Busy::new();
    let file = busy.folder.path().join("tape");
    let says = |command: &mut Command, words: &str| {
        let run = command.output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{run:?}");
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(told.contains(words), "{told}");
    };
    fs::write(&file, "precious").unwrap();
    says(&mut recorder(&busy, &file, &[]), "is there already");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let mut screen = replay(&file);
    assert!(!screen.end().success());
    assert!(
        screen.text().contains("is no recording"),
        "{}",
        screen.text()
    );
    assert!(screen.is_restored());
    let nowhere = busy.folder.path().join("no/tape");
    says(&mut recorder(&busy, &nowhere, &[]), "cannot record to");
    let run = recorder(&busy, &file, &["--overwrite", "-n", "1"])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
}
