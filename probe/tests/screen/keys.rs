//! Every key, on screens of several sizes.

use std::fs;

use portable_pty::CommandBuilder;
use tachograph::{SegmentOptions, SpanContext, Unit};

use crate::support::{Busy, Terminal, probe};

/// Sizes that must do: wide, ordinary, small.
const SIZES: [(u16, u16); 3] = [(160, 50), (80, 24), (40, 10)];

const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const RIGHT: &str = "\x1b[C";
const LEFT: &str = "\x1b[D";
const SHIFT_LEFT: &str = "\x1b[1;2D";
const SHIFT_RIGHT: &str = "\x1b[1;2C";
const PAGE_UP: &str = "\x1b[5~";
const PAGE_DOWN: &str = "\x1b[6~";
const HOME: &str = "\x1b[H";
const END: &str = "\x1b[F";
const BACK_TAB: &str = "\x1b[Z";
const ESCAPE: &str = "\x1b";

#[test]
fn every_key_does_what_the_help_says() {
    let busy = Busy::new();
    for (columns, rows) in SIZES {
        let mut top = busy.top(columns, rows, &["--interval", "100ms"]);
        top.wait_for("SERIES▲");
        top.wait_for("live");
        turn_pages(&mut top);
        order_and_filter(&mut top);
        open_series(&mut top);
        let told = told_keys(&mut top);
        top.press(DOWN);
        top.press("x");
        top.wait_for("SERIES▲");
        go_through_time(&mut top);
        assert!(top.is_taken());
        top.press("q");
        for key in told {
            let was_pressed = keys_of(&key).iter().all(|one| top.pressed().contains(one));
            assert!(was_pressed, "{key} is told of, and was not pressed");
        }
        assert!(top.end().success());
        assert!(top.is_restored(), "at {columns}x{rows}");
    }
}

fn turn_pages(top: &mut Terminal) {
    top.press("2");
    top.wait_for("2/4 processes");
    top.wait_for("shop");
    top.press("3");
    top.wait_for("3/4 families");
    top.press("4");
    top.wait_for("4/4 losses");
    top.wait_for("REASON");
    top.press("\t");
    top.wait_for("1/4 series");
    top.press(BACK_TAB);
    top.wait_for("4/4 losses");
    top.press(PAGE_DOWN);
    top.press(PAGE_UP);
    top.press("1");
    for key in [DOWN, "j", UP, "k", PAGE_DOWN, PAGE_UP, END, "G", HOME, "g"] {
        top.press(key);
    }
}

fn order_and_filter(top: &mut Terminal) {
    top.press("s");
    top.wait_for("RATE▼");
    top.press("r");
    top.wait_for("RATE▲");
    top.press("S");
    top.wait_for("SERIES▲");
    top.press("z");
    top.press("z");
    top.press("/waiting\r");
    top.wait_until("one series", |text| {
        text.contains("waiting_") && !text.contains("sent_bytes")
    });
    top.press("\r");
    top.wait_for("Requests that wait");
    top.wait_for("value");
    top.press("u");
    top.press(ESCAPE);
    top.wait_for("SERIES▲");
    top.press(ESCAPE);
    top.wait_until("all series again", |text| text.contains("build"));
}

fn open_series(top: &mut Terminal) {
    top.press("/http_request_dur\r");
    top.wait_until("one series", |text| !text.contains("build"));
    top.press("\r");
    top.wait_for("Time to serve a request");
    top.press("w");
    top.press_until("G", "its last line", |text| {
        text.contains("CPU ") || text.contains("fallback ")
    });
    top.press("g");
    top.wait_for("Time to serve a request");
    top.press("1");
    top.wait_for("SERIES▲");
    top.press(ESCAPE);
    top.wait_until("all series again", |text| text.contains("build"));
}

fn go_through_time(top: &mut Terminal) {
    top.press(" ");
    top.wait_for("paused");
    top.press("p");
    top.wait_for("live");
    for key in ["[", LEFT, "<", SHIFT_LEFT, "b"] {
        top.press(key);
    }
    top.wait_for("paused");
    for key in ["]", RIGHT, ">", SHIFT_RIGHT, "l"] {
        top.press(key);
    }
    top.wait_for("live");
    top.press("-");
    top.wait_for("live 0.2s");
    top.press("+");
    top.wait_for("live 0.1s");
}

/// The lines of the help that are on the screen: below the head and its warning, above the last line.
fn help_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let head = if lines.len() < 12 { 2 } else { 3 };
    lines[head..lines.len() - 1].to_vec()
}

/// The keys that the help tells of, which is read from its first line to its last.
fn told_keys(top: &mut Terminal) -> Vec<String> {
    top.press("?");
    top.wait_for("suspend; fg");
    let mut keys = Vec::new();
    loop {
        let text = top.text();
        // Keys stand before their words, which begin in one column.
        let lines = help_lines(&text).into_iter();
        let cells = lines.filter_map(|line| line.get(..14));
        keys.extend(cells.flat_map(|cell| cell.split([' ', ',']).map(str::to_owned)));
        if text.contains(">12s") {
            break;
        }
        top.press(PAGE_DOWN);
        top.wait_until("the next lines", |next| {
            help_lines(next) != help_lines(&text)
        });
    }
    let others = ["", "or", "stale", "full", "other", ">12s"];
    keys.retain(|key| !others.contains(&key.as_str()));
    assert!(keys.len() > 25, "{keys:?}");
    keys
}

/// What a terminal sends for a key of the help.
fn keys_of(told: &str) -> Vec<&str> {
    match told {
        "arrows" => vec![UP, DOWN, LEFT, RIGHT],
        "Tab" => vec!["\t"],
        "Enter" => vec!["\r"],
        "Esc" => vec![ESCAPE],
        "space" => vec![" "],
        // The tests of `restore` press these.
        "Ctrl-C" | "Ctrl-Z" => Vec::new(),
        key => {
            assert_eq!(key.chars().count(), 1, "no key is called {key}");
            vec![key]
        }
    }
}

#[test]
fn top_on_every_kind_of_file() {
    let busy = Busy::new();
    let at = |name: &str| busy.folder.path().join(name).display().to_string();
    let path = busy.path.display().to_string();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tachograph-probe"));
        let run = command.args(arguments).args(["--segment", &path]).output();
        assert!(run.unwrap().status.success());
    };
    run(&["dump", "-o", &at("kept.json.gz")]);
    run(&["record", &at("tape"), "-n", "3", "-i", "5ms"]);
    for name in ["kept.json.gz", "tape"] {
        let segment = at(name);
        let mut top = Terminal::start(probe(&["top", "--segment", &segment]), 80, 24);
        top.wait_for("replay -0s");
        top.press("/http_request_dur\r\r");
        top.wait_for("Time to serve a request");
        top.press("G");
        top.wait_for("not in a recording");
        top.press("q");
        assert!(top.end().success());
    }
    fs::write(at("text"), "no segment").unwrap();
    fs::write(at("empty"), "").unwrap();
    for (name, words) in [
        ("missing", "no segment at "),
        ("text", "is not a usable segment"),
        ("empty", "is not a usable segment"),
    ] {
        let segment = at(name);
        let mut top = Terminal::start(probe(&["top", "--segment", &segment]), 120, 24);
        assert!(!top.end().success());
        assert!(top.text().contains(words), "{}", top.text());
        assert!(top.is_restored());
    }
    let fresh = at("fresh.seg");
    let _writer = SegmentOptions::new().path(&fresh).attach().unwrap();
    let mut top = Terminal::top(std::path::Path::new(&fresh), 80, 24, &[]);
    top.wait_for("0 series");
}

#[test]
fn an_opened_histogram_shows_its_distribution() {
    let busy = Busy::new();
    let mut top = busy.top(100, 60, &["http_request_duration*", "-i", "100ms"]);
    top.press("\r");
    for text in [
        "Time to serve a request",
        "p99.99",
        "by shard",
        "CPU 0",
        "values of the window",
    ] {
        top.wait_for(text);
    }
    top.wait_until("bars", |text| text.contains("███"));
    top.press("w");
    top.wait_for("values since the beginning");
}

#[test]
fn an_opened_gauge_shows_each_process() {
    let busy = Busy::new();
    let mut top = busy.top(80, 24, &["waiting_requests", "-i", "100ms"]);
    top.press("\r");
    top.wait_for("by process");
    top.wait_for(&format!("pid {}", std::process::id()));
}

#[test]
fn an_opened_series_leads_to_its_traces() {
    let folder = tempfile::Builder::new()
        .prefix("tachograph-screen-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let path = folder.path().join("traced.seg");
    let writer = SegmentOptions::new().path(&path).attach().unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let span = format!("00-{trace}-00f067aa0ba902b7-01");
    let span = SpanContext::from_traceparent(&span).unwrap();
    let waits = writer
        .histogram("wait_seconds", "Waits")
        .unit(Unit::NANOSECONDS);
    let waits = waits.label("stage", "read").label("area", "disk");
    let waits = waits.exemplars().register().unwrap();
    let mut top = Terminal::top(&path, 90, 70, &["wait_seconds", "-i", "100ms"]);
    top.press("\r");
    top.wait_for("by shard");
    assert!(!top.text().contains("exemplars"), "{}", top.text());
    waits.record_with_exemplar(2_500_000, &span);
    let line = format!("{trace}  2.5 ms  ");
    top.wait_until("the trace", |text| {
        let mut lines = text.lines();
        lines.any(|shown| shown.contains(&line) && shown.trim_end().ends_with("s ago"))
    });
    top.press(" ");
    top.wait_until("no traces of the past", |text| !text.contains(trace));
}

#[test]
fn troubles_are_told() {
    let busy = Busy::new();
    let mut top = busy.top(100, 30, &["-i", "100ms"]);
    top.wait_for("tenant_orders_total overflowed: 2");
    top.press("/tenant\r");
    top.wait_until("its note", |text| {
        text.contains("__other__") && text.contains("other")
    });
    top.press("3");
    top.wait_for("FOLDED");
    top.press("4");
    top.wait_until("the loss", |text| {
        text.lines()
            .any(|line| line.contains(" 2 ") && line.contains("series_limit"))
    });
}

#[test]
fn a_window_that_changes_its_size_is_filled() {
    let busy = Busy::new();
    let mut top = busy.top(80, 24, &["-i", "100ms"]);
    for (columns, rows) in [(40, 10), (120, 40), (20, 4), (80, 24)] {
        top.resize(columns, rows);
        top.wait_until("the last line", |text| {
            let lines: Vec<&str> = text.lines().collect();
            lines.len() == usize::from(rows) && lines[usize::from(rows) - 1].contains("1/4 series")
        });
    }
}

fn dressed(busy: &Busy, dress: impl FnOnce(&mut CommandBuilder)) -> Terminal {
    let mut command = probe(&[
        "top",
        "-i",
        "100ms",
        "--segment",
        busy.path.to_str().unwrap(),
    ]);
    dress(&mut command);
    let mut top = Terminal::start(command, 160, 30);
    top.wait_for("alive");
    top.wait_until("rates", |text| text.contains("/s"));
    top
}

#[test]
fn no_colour_is_sent_where_none_is_wanted() {
    let busy = Busy::new();
    let has_colour = |top: &Terminal| {
        top.with_screen(|screen| {
            let (rows, columns) = screen.size();
            let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            cells
                .filter_map(|(row, column)| screen.cell(row, column))
                .any(|cell| cell.fgcolor() != vt100::Color::Default)
        })
    };
    assert!(has_colour(&dressed(&busy, |_| {})), "the control");
    let plain = dressed(&busy, |command| command.env("NO_COLOR", "1"));
    assert!(!has_colour(&plain));
}

#[test]
fn a_terminal_without_unicode_gets_none() {
    let busy = Busy::new();
    let ascii = dressed(&busy, |command| command.env("LC_ALL", "C"));
    assert!(ascii.text().contains("SERIES^"), "{}", ascii.text());
    assert!(ascii.text().contains("gr\\u{f6}"), "{}", ascii.text());
    assert!(ascii.bytes().is_ascii());
    let control = dressed(&busy, |_| {});
    assert!(!control.bytes().is_ascii());
}

#[test]
fn only_what_changed_is_sent() {
    let busy = Busy::new();
    let mut top = busy.top(100, 30, &["build_info", "-i", "500ms"]);
    top.wait_for("q quit");
    let first = top.bytes().len();
    for _ in 0..5 {
        let before = top.text();
        top.wait_until("another second", |text| text != before);
    }
    let more = top.bytes().len() - first;
    assert!(more < first, "{more} bytes after {first}");
}

#[test]
fn a_segment_that_goes_and_comes_is_followed() {
    let busy = Busy::new();
    let mut top = busy.top(100, 24, &["-i", "100ms"]);
    fs::remove_file(&busy.path).unwrap();
    top.wait_for("waiting: no segment at");
    assert!(top.text().contains("http_requests"), "the last look stays");
    let writer = SegmentOptions::new().path(&busy.path).attach().unwrap();
    let new = writer.counter("new_total", "New").register().unwrap();
    new.add(3);
    top.wait_for("new_total");
    top.wait_until("no trouble", |text| !text.contains("waiting: "));
    top.wait_for("attached again");
    top.press("j");
    top.wait_until("the news were read", |text| {
        !text.contains("attached again")
    });
    assert!(!top.text().contains("http_requests"));
    top.press("q");
    assert!(top.end().success());
}

#[test]
fn without_a_terminal_it_says_so() {
    let busy = Busy::new();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_tachograph-probe"))
        .args(["top", "--segment", busy.path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stdout.is_empty());
    assert!(String::from_utf8_lossy(&run.stderr).contains("needs a terminal"));
}
