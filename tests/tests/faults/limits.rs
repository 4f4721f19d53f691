//! Limits of the process: file size, address space, open files.

use std::fs;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tachograph::Loss;
use tachograph_tests::eventually;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::worker::PATIENCE;

use crate::stage::{Victim, counted, open, snapshot};

#[test]
fn a_file_size_limit_is_an_error_and_never_a_signal() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let place = path.display();
    Victim::attached(&path).finish();
    let whole = fs::metadata(&path).unwrap().len();
    fs::remove_file(&path).unwrap();
    for limit in [0, 1, 4096, whole / 2, whole - 1] {
        let mut victim = Victim::below(&["prlimit".into(), format!("--fsize={limit}")]);
        let needed = whole.to_string();
        victim.fails(
            &format!("attach path={place}"),
            &[&limit.to_string(), &needed, "raise `ulimit -f`"],
        );
        assert!(!path.exists(), "nothing is left");

        // A segment that is there already needs no growth.
        let other = scratch.path(format!("{limit}.seg"));
        Victim::attached(&other).finish();
        victim.attach(&other);
        victim.count("a_total", 5);
        victim.must("kinds a");
        assert_eq!(victim.ask("many b 1000"), "1000");
        assert_eq!(counted(&snapshot(&other), "a_total"), 5.0);

        // Unless it was truncated: memory beyond its end would be beyond the limit.
        open(&other).set_len(4096).unwrap();
        victim.must("add a_total 5");
        assert_eq!(victim.ask("many c 3000"), "0");
        victim.must("kinds c");
        victim.must("fork a_total 5");
        victim.finish();
    }
    let mut victim = Victim::below(&["prlimit".into(), format!("--fsize={whole}")]);
    victim.attach(&path);
    victim.count("a_total", 5);
    victim.must("kinds a");
    victim.finish();
}

#[test]
fn an_address_space_limit_is_an_error() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = Victim::below(&["prlimit", "--as=200000000"]);
    let attach = format!("attach path={}", path.display());
    let expected = [path.to_str().unwrap(), "no address space", "ulimit -v"];
    victim.fails(&attach, &expected);
    assert!(!path.exists(), "nothing is left");
    // The same where another process made it.
    let mut other = Victim::attached(&path);
    other.count("a_total", 1);
    victim.fails(&attach, &expected);
    let small = scratch.path("small.seg");
    victim.must(&format!("attach size=small path={}", small.display()));
    victim.count("a_total", 2);
    other.must("add a_total 1");
    assert_eq!(counted(&snapshot(&path), "a_total"), 2.0);
    assert_eq!(counted(&snapshot(&small), "a_total"), 2.0);
    victim.finish();
    other.finish();
}

#[test]
fn a_process_without_descriptors_counts_on() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = Victim::below(&["prlimit", "--nofile=4"]);
    victim.fails(
        &format!("attach path={}", path.display()),
        &[path.parent().unwrap().to_str().unwrap(), "open files"],
    );
    victim.finish();
    // A child that cannot open the segment for itself counts, and is counted.
    let mut victim = Victim::attached(&path);
    victim.count("a_total", 5);
    victim.must("descriptors 4");
    victim.must("fork a_total 5");
    let found = snapshot(&path);
    assert_eq!(counted(&found, "a_total"), 10.0);
    assert_eq!(found.losses.count(Loss::ForkedWithoutFile), 1);
    // Nor does it keep its parent alive.
    let child: i32 = victim.ask("leave").parse().unwrap();
    victim.kill();
    eventually("the parent is dead", PATIENCE, || {
        !snapshot(&path).processes[0].alive
    });
    signal::kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
}
