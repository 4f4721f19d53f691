//! Each system call that a writer or a reader makes fails in turn, once or from then on.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tachograph::{Loss, ValueView};
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server::{self, Server};

use crate::stage::{Operator, VICTIM, Victim, counted, is_root, snapshot};

const MARK: &str = "/tachograph-mark";
/// What a victim does under injection, and how many amounts that adds up to.
const SCRIPT: &str = "mark\nattach size=small path=PATH\ncounter a_total\nadd a_total 10\nkinds k\n\
                      many m 600\nfork a_total 5\ncheck\n";
const ADDED: f64 = 10.0 + 600.0 + 5.0;

/// Runs the script below strace with more arguments; gives the answers, and what strace saw.
fn run(scratch: &Scratch, path: &Path, call: &str, more: &[&str]) -> (Output, String) {
    let log = scratch.path("log");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o"]).arg(&log);
    strace
        .args(["-e", &format!("trace=openat,{call}")])
        .args(more);
    strace.arg(VICTIM);
    let script = SCRIPT.replace("PATH", path.to_str().expect("plain text"));
    let output = server::run(strace, &script);
    (output, fs::read_to_string(log).expect("strace writes it"))
}

/// Which calls of a run come after its mark: their numbers among all of the name, from one.
fn numbers(log: &str, call: &str) -> Vec<usize> {
    let begins = format!("{call}(");
    let mut is_marked = false;
    let mut count = 0;
    let mut numbers = Vec::new();
    for line in log.lines() {
        let is_call = line.starts_with(&begins);
        count += usize::from(is_call);
        // Maps without a file are the allocator's.
        let is_ours = call != "mmap" || line.contains("MAP_SHARED");
        if is_call && is_marked && is_ours {
            numbers.push(count);
        }
        is_marked |= line.contains(MARK);
    }
    numbers
}

/// Fails each call of the name with each of the errors.
fn sweep(call: &str, errors: &[&str]) {
    let scratch = Scratch::new();
    let (output, log) = run(&scratch, &scratch.path("clean/test.seg"), call, &[]);
    assert!(output.status.success(), "{output:?}");
    let numbers = numbers(&log, call);
    assert!(!numbers.is_empty(), "no {call} in\n{log}");
    let runs = numbers.len() * 2 * errors.len();
    eprintln!("{call}: {} calls, {runs} runs", numbers.len());
    let whens = numbers
        .iter()
        .flat_map(|n| [n.to_string(), format!("{n}+")]);
    for (at, when) in whens.enumerate() {
        for error in errors {
            let path = scratch.path(format!("{at}{error}/test.seg"));
            let inject = format!("inject={call}:error={error}:when={when}");
            let (output, log) = run(&scratch, &path, call, &["-e", &inject]);
            assert!(log.contains("(INJECTED)"), "{inject} hit nothing:\n{log}");
            judge(&output, &path, &inject);
        }
    }
}

fn judge(output: &Output, path: &Path, inject: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<&str> = text.lines().collect();
    assert_eq!(output.status.code(), Some(0), "{inject}: {output:?}");
    assert_eq!(
        answers.len(),
        SCRIPT.lines().count(),
        "{inject}: {answers:?}"
    );
    let folder = path.parent().expect("a folder");
    let errors = answers.iter().filter_map(|it| it.strip_prefix("error: "));
    for error in errors.filter(|error| !error.starts_with("no such counter")) {
        let is_of_fork = error.starts_with("not attached") || error.starts_with("the child");
        let says_where = error.contains(folder.to_str().expect("plain text"));
        assert!(is_of_fork || says_where, "{inject}: {error}");
    }
    if answers[1] == "ok" {
        let found = snapshot(path);
        let lost = |loss| found.losses.count(loss) as f64;
        let shown = counted(&found, "a_total") + counted(&found, "m_total");
        assert_eq!(
            shown + lost(Loss::LostCounter),
            ADDED,
            "{inject}: {answers:?}"
        );
        let in_histogram = match found.value("k_histogram", &[]) {
            Some(ValueView::Histogram(histogram)) => histogram.count() as f64,
            _ => 0.0,
        };
        assert_eq!(
            in_histogram + lost(Loss::LostHistogram),
            1.0,
            "{inject}: {answers:?}"
        );
        let is_refused = answers[2] != "Series" || answers[5] != "600";
        let losses = found.losses.iter().map(|(_, count)| count).sum::<u64>();
        assert!(!is_refused || losses > 0, "{inject}: a loss is not counted");
        assert!(found.damage.is_empty(), "{inject}: {:?}", found.damage);
    } else {
        let left: Vec<_> = fs::read_dir(folder).map_or(Vec::new(), Iterator::collect);
        assert!(left.is_empty(), "{inject} leaves {left:?}");
    }
    // Whoever comes next finds nothing in its way.
    let mut next = Victim::attached(path);
    next.count("next_total", 3);
    next.must("check");
    next.finish();
    assert_eq!(counted(&snapshot(path), "next_total"), 3.0);
}

macro_rules! sweeps {
    ($($name:ident: $call:literal $errors:expr;)+) => {$(
        #[test]
        fn $name() {
            sweep($call, &$errors);
        }
    )+};
}

sweeps! {
    no_reservation_kills: "fallocate" ["ENOSPC", "EIO", "EOPNOTSUPP"];
    no_truncation_kills: "ftruncate" ["ENOSPC", "EFBIG", "EPERM"];
    no_mapping_kills: "mmap" ["ENOMEM", "EACCES"];
    no_open_kills: "openat" ["ENOSPC", "EMFILE", "EOPNOTSUPP"];
    no_link_kills: "linkat" ["ENOSPC", "EPERM"];
    no_folder_kills: "mkdir" ["ENOSPC", "EACCES"];
    no_mode_kills: "fchmod" ["EPERM"];
    no_question_kills: "statx" ["EIO"];
    no_file_system_kills: "fstatfs" ["EIO"];
    no_lock_kills: "fcntl" ["EAGAIN", "ENOLCK"];
    no_advice_kills: "madvise" ["EINVAL"];
    no_limit_kills: "prlimit64" ["EPERM"];
}

#[test]
fn interrupted_calls_are_made_again() {
    let scratch = Scratch::new();
    let (_, log) = run(&scratch, &scratch.path("clean.seg"), "fallocate", &[]);
    for number in numbers(&log, "fallocate") {
        let path = scratch.path(format!("{number}.seg"));
        let inject = format!("inject=fallocate:error=EINTR:when={number}");
        let (output, _) = run(&scratch, &path, "fallocate", &["-e", &inject]);
        let answers = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = "ok\nok\nSeries\nok\nok\n600\nok\nok\n";
        assert_eq!(answers, expected, "{inject}: {output:?}");
        assert_eq!(snapshot(&path).losses, tachograph::Losses::default());
    }
}

/// The calls that a reader makes on the segment itself.
const READER_CALLS: [(&str, &str); 5] = [
    ("openat", "EMFILE"),
    ("mmap", "ENOMEM"),
    ("pread64", "EIO"),
    ("statx", "EIO"),
    ("fcntl", "EIO"),
];

fn segment_with_a_counter(scratch: &Scratch) -> Victim {
    let mut victim = Victim::attached(&scratch.segment());
    victim.count("a_total", 5);
    victim
}

#[test]
fn no_call_of_the_probe_ends_it_but_by_an_error() {
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = segment_with_a_counter(&scratch);
    let mut refused = 0;
    for (call, error) in READER_CALLS {
        for (command, when) in ["ls", "check", "procs"]
            .iter()
            .flat_map(|it| [1, 2, 3].map(|n| (it, n)))
        {
            let mut strace = Command::new("strace");
            strace
                .args(["-qq", "-f", "-o", "/dev/null", "-P"])
                .arg(&path);
            strace.args(["-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:error={error}:when={when}")]);
            strace.arg(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
            strace.arg("--segment").arg(&path).arg(command);
            let output = server::run(strace, "");
            let text = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 1)), "{call} {when}: {output:?}");
            let says_where = text.contains(path.to_str().expect("plain text"));
            assert!(code == Some(0) || says_where, "{call} {when}: {text}");
            refused += usize::from(code == Some(1));
        }
    }
    assert!(
        refused >= READER_CALLS.len(),
        "only {refused} calls mattered"
    );
    victim.must("check");
}

#[test]
fn no_call_of_the_exporter_ends_it_and_the_next_scrape_recovers() {
    // Only root may trace its parent everywhere.
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = segment_with_a_counter(&scratch);
    let mut missed = 0;
    for (call, error) in READER_CALLS {
        // The first look is at the start; what fails but once is over before the first scrape.
        for when in ["1..2", "1..4", "3..6"] {
            let trace = format!("trace={call}");
            let inject = format!("inject={call}:error={error}:when={when}");
            let place = path.to_str().expect("plain text");
            // The tracer is a process apart, so that the exporter is ours to end.
            let strace = ["strace", "-D", "-qq", "-f", "-o", "/dev/null", "-P", place];
            let wrapper = [&strace[..], &["-e", &trace, "-e", &inject]].concat();
            let operator = Operator::by(Server::exporter_below(&wrapper, &path), &path);
            let seen = [(); 4].map(|()| operator.scrape().contains("\na_total 5\n"));
            assert!(seen[3], "{inject}: {seen:?}");
            missed += seen.iter().filter(|&&it| !it).count();
        }
    }
    assert!(missed >= 3, "only {missed} faults mattered");
    victim.must("check");
}
