//! The terminal is given back, however the program ends.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Busy, Terminal};

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().chars().next().unwrap()
}

fn wait_for_state(terminal: &Terminal, wanted: impl Fn(char) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !wanted(state(terminal.pid())) {
        assert!(Instant::now() < end, "state {}", state(terminal.pid()));
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn signals_that_end_it_give_the_terminal_back() {
    let busy = Busy::new();
    for (name, words) in [
        ("INT", "Interrupt"),
        ("TERM", "Terminated"),
        ("HUP", "Hangup"),
        ("QUIT", "Quit"),
    ] {
        let mut top = busy.top(80, 24, &["-i", "10s"]);
        assert!(top.is_taken());
        top.signal(name);
        let status = top.end();
        assert!(format!("{status:?}").contains(words), "{name}: {status:?}");
        assert!(top.is_restored(), "{name}");
    }
}

#[test]
fn control_c_ends_it() {
    let busy = Busy::new();
    let mut top = busy.top(80, 24, &["-i", "10s"]);
    top.press("\x03");
    assert!(top.end().success());
    assert!(top.is_restored());
}

#[test]
fn a_suspension_gives_the_terminal_back_and_takes_it_again() {
    let busy = Busy::new();
    let mut top = busy.top(80, 24, &["-i", "100ms"]);
    for way in ["key", "signal"] {
        match way {
            "key" => top.press("\x1a"),
            _ => top.signal("TSTP"),
        }
        wait_for_state(&top, |state| state == 'T');
        top.wait_until("the ordinary screen", |text| !text.contains("SERIES"));
        assert!(top.is_restored(), "{way}");
        top.signal("CONT");
        top.wait_for("SERIES");
        top.wait_for("? help");
        assert!(top.is_taken(), "{way}");
    }
    // Stopped without being told, as SIGSTOP does, and continued after others drew on the screen.
    top.signal("STOP");
    wait_for_state(&top, |state| state == 'T');
    top.signal("CONT");
    wait_for_state(&top, |state| state != 'T');
    top.press("?");
    top.wait_for("suspend; fg");
    assert!(top.is_taken());
    top.press("xq");
    assert!(top.end().success());
    assert!(top.is_restored());
}
