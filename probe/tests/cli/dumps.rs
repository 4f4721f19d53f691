//! Dumps: written, read back, and taken by every command in place of a segment.

use std::fs;
use std::path::PathBuf;

use crate::support::{Demo, Run, command, folder, probe, run};

/// A dump of `demo`, under `name` beside it.
fn dump(demo: &Demo, name: &str) -> PathBuf {
    let path = demo.folder.path().join(name);
    let made = demo.probe(&["dump", "--output", path.to_str().unwrap()]);
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), ""), "{made:?}");
    assert!(made.stderr.contains(" series in "), "{made:?}");
    path
}

#[test]
fn a_dump_of_a_dump_is_the_same() {
    let demo = Demo::new();
    let floats = demo
        .writer
        .gauge_f64("odd_share", "Odd")
        .register()
        .unwrap();
    floats.set(f64::NEG_INFINITY);
    let nanos = demo.writer.counter("busy_seconds_total", "Busy");
    let nanos = nanos
        .unit(tachograph::Unit::NANOSECONDS)
        .register()
        .unwrap();
    nanos.add(u64::MAX - 1);
    let default = demo.writer.histogram("size_bytes", "Size");
    let default = default.unit(tachograph::Unit::BYTES).register().unwrap();
    default.record(u64::MAX);
    default.record(3);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("00-{trace}-00f067aa0ba902b7-01");
    let span = tachograph::SpanContext::from_traceparent(&header).unwrap();
    let traced = demo.writer.histogram("trip_seconds", "Trips").exemplars();
    let traced = traced.unit(tachograph::Unit::NANOSECONDS);
    let traced = traced.register().unwrap();
    traced.record_with_exemplar(1_234_567_890_123, &span);
    let paid = demo.writer.counter_f64("paid_total", "Paid").exemplars();
    paid.register().unwrap().add_with_exemplar(0.5, &span);
    for name in ["plain.json", "small.json.gz"] {
        let kept = dump(&demo, name);
        let again = probe(&kept, &["dump"]);
        let twice = demo.folder.path().join("twice.json");
        fs::write(&twice, &again.stdout).unwrap();
        assert_eq!(again.json(), probe(&twice, &["dump"]).json(), "{name}");
        let text = again.stdout.as_str();
        assert!(text.contains("18446744073709551614") && text.contains("\"-Inf\""));
        assert!(text.contains("1234567890123") && text.matches(trace).count() == 2);
    }
}

#[test]
fn every_command_takes_a_dump() {
    let demo = Demo::new();
    let kept = dump(&demo, "kept.json.gz");
    for arguments in [
        &["ls"][..],
        &["ls", "--series", "--format", "csv"],
        &["get", "--chart", "always"],
        &["get", "--format", "json"],
        &["get", "--format", "csv"],
        &["procs", "--format", "csv"],
        &["check"],
        &["dump", "--format", "text"],
    ] {
        let (live, dead) = (demo.probe(arguments), probe(&kept, arguments));
        assert_eq!(live.code, dead.code, "{arguments:?} {dead:?}");
        let steady = |run: &Run| {
            let lines = run.stdout.lines().filter(|line| !line.contains("ago"));
            let lines = lines.filter(|line| !line.contains("time_unix_nanos"));
            lines.map(str::to_owned).collect::<Vec<String>>()
        };
        assert_eq!(steady(&live), steady(&dead), "{arguments:?}");
        assert!(!dead.stdout.is_empty());
    }
}

#[test]
fn standard_input_can_be_a_dump() {
    let demo = Demo::new();
    let kept = dump(&demo, "kept.json");
    let mut command = command(&["get", "requests_total", "--raw", "--segment", "-"]);
    command.stdin(fs::File::open(kept).unwrap());
    assert_eq!(run(command).lines().len(), 3);
}

#[test]
fn what_is_no_dump_is_said() {
    let folder = folder();
    let path = folder.path().join("other.json");
    for (text, wanted) in [
        ("{}", "it is not what `dump` writes"),
        ("{\"tachograph_dump\":1", "EOF"),
        ("{\"tachograph_dump\":1}", "missing field"),
        ("{\"tachograph_dump\":99}", "it has form 99"),
    ] {
        fs::write(&path, text).unwrap();
        let run = probe(&path, &["get"]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(
            run.stderr.contains("other.json is no usable dump: "),
            "{run:?}"
        );
        assert!(run.stderr.contains(wanted), "{run:?}");
    }
}

#[test]
fn a_damaged_dump_crashes_nothing() {
    let demo = Demo::new();
    let text = fs::read(dump(&demo, "kept.json")).unwrap();
    let path = demo.folder.path().join("damaged.json");
    let mut refused = 0;
    for at in (20..text.len()).step_by(67) {
        let mut damaged = text.clone();
        damaged[at] = if damaged[at].is_ascii_digit() {
            b'7'
        } else {
            b'"'
        };
        fs::write(&path, damaged).unwrap();
        let run = probe(&path, &["get"]);
        assert!(matches!(run.code, Some(0 | 1)), "{at}: {run:?}");
        refused += u32::from(run.stderr.contains("is no usable dump"));
    }
    assert!(refused > 10, "the test must hit something");
}

#[test]
fn a_dump_that_cannot_be_written_leaves_nothing() {
    let demo = Demo::new();
    let path = demo.folder.path().join("nosuch/kept.json");
    let run = demo.probe(&["dump", "-o", path.to_str().unwrap()]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("cannot write "), "{run:?}");
    let names = fs::read_dir(demo.folder.path()).unwrap();
    assert_eq!(names.count(), 1, "the segment alone");
}

#[test]
fn no_output_takes_the_place_of_a_segment() {
    let demo = Demo::new();
    let (before, segment) = (demo.probe(&["get", "--raw"]).stdout, &demo.path);
    let segment = segment.to_str().unwrap();
    for arguments in [
        &["dump", "--output", segment][..],
        &["hist", "--svg", segment],
        &["hist", "--png", segment],
        &["hist", "--hlog", segment],
        &["record", segment, "--overwrite", "--count", "1"],
    ] {
        let refused = demo.probe(arguments);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("it is a segment"), "{refused:?}");
    }
    assert_eq!(demo.probe(&["get", "--raw"]).stdout, before);
}

#[test]
fn a_dump_goes_into_a_pipe_and_leaves_it() {
    let demo = Demo::new();
    let pipe = demo.folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let from = pipe.clone();
    let reader = std::thread::spawn(move || fs::read_to_string(from).unwrap());
    let written = demo.probe(&["dump", "--output", pipe.to_str().unwrap()]);
    assert_eq!(written.code, Some(0), "{written:?}");
    assert!(reader.join().unwrap().contains("tachograph_dump"));
    assert!(!fs::metadata(&pipe).unwrap().is_file());
}
