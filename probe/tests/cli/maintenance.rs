//! `create`, `rm`, `gc`, `doctor`, and the texts for shells and manuals.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use tachograph::Writer;

use crate::skip::skip;
use crate::support::{Demo, attach, command, folder, probe, run};

/// The codes of what the doctor found.
fn codes(path: &Path, more: &[&str]) -> Vec<String> {
    let arguments = [&["doctor", "--format", "json"], more].concat();
    let document = probe(path, &arguments).json();
    let findings = document["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|found| found["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn create_makes_a_segment_of_the_size_that_is_wanted() {
    let folder = folder();
    let path = folder.path().join("new/one.seg");
    let options = [
        "create",
        "--series",
        "100",
        "--processes",
        "7",
        "--mode",
        "640",
    ];
    let dry = probe(&path, &[&options[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, Some(0));
    assert!(
        dry.stderr.contains("would create ") && !path.exists(),
        "{dry:?}"
    );
    let made = probe(&path, &options);
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), ""), "{made:?}");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let document = probe(&path, &["check", "--format", "json"]).json();
    let tables = document["segment"]["tables"].as_array().unwrap();
    let capacity = |name: &str| {
        let found = tables.iter().find(|table| table["table"] == name);
        found.unwrap()["capacity"].as_u64().unwrap()
    };
    assert!(
        (100..1000).contains(&capacity("series")),
        "{}",
        capacity("series")
    );
    assert_eq!(document["processes"]["dead"], 0, "it took no slot");
    let again = probe(&path, &options);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("there is a file at "), "{again:?}");
    let impossible = probe(&folder.path().join("b.seg"), &["create", "--series", "0"]);
    assert_eq!(impossible.code, Some(1));
    assert_eq!(probe(&path, &["create", "--mode", "9"]).code, Some(2));
}

#[test]
fn rm_refuses_while_somebody_writes() {
    let demo = Demo::new();
    let run = demo.probe(&["rm"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("a living process writes to") && run.stderr.contains("tester"),
        "{run:?}"
    );
    let dry = demo.probe(&["rm", "--force", "--dry-run"]);
    assert_eq!(dry.code, Some(0));
    assert!(
        demo.path.exists() && dry.stderr.contains("would remove "),
        "{dry:?}"
    );
    assert_eq!(demo.probe(&["rm", "--force"]).code, Some(0));
    assert!(!demo.path.exists());
    assert_eq!(demo.probe(&["rm"]).code, Some(1), "it is gone");
}

#[test]
fn rm_takes_what_nobody_uses_and_no_other_file() {
    let folder = folder();
    let path = folder.path().join("one.seg");
    probe(&path, &["create"]);
    assert_eq!(probe(&path, &["rm"]).code, Some(0));
    assert!(!path.exists());
    fs::write(&path, "text").unwrap();
    let refused = probe(&path, &["rm"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("--force") && path.exists(),
        "{refused:?}"
    );
    let link = folder.path().join("link.seg");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(probe(&link, &["rm", "--force"]).code, Some(1));
    assert!(link.is_symlink());
}

/// Makes the segment look as if another boot had written it: `docs/FORMAT.md` has the header.
fn age(path: &Path) {
    const CHECKSUM: usize = 2;
    const BOOT_ID: usize = 6;
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(true).open(path).unwrap();
    let mut bytes = [0; 256 * 8];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let (chunks, _) = bytes.as_chunks::<8>();
    let mut words: Vec<u64> = chunks
        .iter()
        .map(|chunk| u64::from_ne_bytes(*chunk))
        .collect();
    words[BOOT_ID] = !words[BOOT_ID];
    let covered = words.iter().enumerate().filter(|&(at, _)| at != CHECKSUM);
    let covered: Vec<u8> = covered.flat_map(|(_, word)| word.to_le_bytes()).collect();
    words[CHECKSUM] = covered
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    file.write_all_at(&bytes, 0).unwrap();
}

#[test]
fn gc_removes_what_creators_left_and_nothing_else() {
    let demo = Demo::new();
    let folder = demo.folder.path();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let old = folder.join(".00112233445566ff.new");
    fs::File::create(&old)
        .unwrap()
        .set_modified(hour_ago)
        .unwrap();
    let young = folder.join(".00112233445566aa.new");
    fs::write(&young, "").unwrap();
    let other = folder.join("notes.new");
    fs::File::create(&other)
        .unwrap()
        .set_modified(hour_ago)
        .unwrap();
    let dry = probe(folder, &["gc", "--dry-run"]);
    assert!(
        dry.stderr.contains("would remove: ") && old.exists(),
        "{dry:?}"
    );
    let cleared = probe(folder, &["gc", "--format", "json"]).json();
    assert_eq!(cleared["actions"].as_array().unwrap().len(), 1, "{cleared}");
    assert!(!old.exists() && young.exists() && other.exists() && demo.path.exists());
    let nothing = probe(folder, &["gc"]);
    assert!(
        nothing.stderr.contains("nothing to clear away"),
        "{nothing:?}"
    );
}

const LEAVER: &str = "PROBE_TEST_LEAVER";

/// The body of the process that the next test starts: it removes a series, and ends with a handle of it.
#[test]
#[ignore = "run by `gc_frees_removed_series_that_nobody_holds`"]
fn leaver() {
    if let Ok(path) = std::env::var(LEAVER) {
        remove_one(&attach(Path::new(&path)), "theirs");
    }
}

fn remove_one(writer: &Writer, label: &str) {
    let family = writer.counter("come_total", "Come").family().unwrap();
    family.with(&[("k", label)]).unwrap().inc();
    assert!(family.remove(&[("k", label)]).unwrap());
}

#[test]
fn gc_frees_removed_series_that_nobody_holds() {
    let demo = Demo::new();
    let waiting = || {
        let document = demo.probe(&["check", "--format", "json"]).json();
        document["removals"]["waiting"].as_u64().unwrap()
    };
    remove_one(&demo.writer, "ours");
    let held = demo.probe(&["gc"]);
    assert!(
        held.stderr.contains("nothing to clear away"),
        "we have a handle: {held:?}"
    );
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "maintenance::leaver"])
        .env(LEAVER, &demo.path)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert_eq!(waiting(), 2);
    let told = demo.probe(&["gc", "--dry-run"]);
    assert!(
        told.stderr.contains("would free series: ") && waiting() == 2,
        "{told:?}"
    );
    let freed = demo.probe(&["gc"]);
    assert_eq!(freed.code, Some(0), "{freed:?}");
    assert_eq!(waiting(), 1, "ours stays");
}

#[test]
fn doctor_names_what_is_wrong_with_the_file() {
    let folder = folder();
    let path = folder.path().join("one.seg");
    assert_eq!(codes(&path, &[]), ["no_segment"]);
    fs::write(&path, "text").unwrap();
    assert_eq!(codes(&path, &[]), ["not_a_segment"]);
    fs::remove_file(&path).unwrap();
    probe(&path, &["create", "--mode", "666"]);
    let found = codes(&path, &[]);
    assert!(
        found.contains(&"world_writable".into()) && found.contains(&"no_writer".into()),
        "{found:?}"
    );
    assert_eq!(probe(&path, &["doctor"]).code, Some(0));
    assert_eq!(probe(&path, &["doctor", "--strict"]).code, Some(1));
}

#[test]
fn doctor_names_what_is_wrong_with_the_place() {
    let folder = folder();
    let path = folder.path().join("one.seg");
    probe(
        &path,
        &["create", "--histogram-bytes", &(1u64 << 42).to_string()],
    );
    let found = codes(&path, &[]);
    assert!(found.contains(&"tmpfs_small".into()), "{found:?}");
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor.seg");
    let _ = fs::remove_file(&disk);
    let refused = probe(&disk, &["create"]);
    if refused.code == Some(0) {
        skip("a segment on a disk: the target folder is on a tmpfs");
    } else {
        assert_eq!(probe(&disk, &["create", "--allow-disk"]).code, Some(0));
        let found = codes(&disk, &[]);
        assert!(found.contains(&"disk_backed".into()), "{found:?}");
    }
    let _ = fs::remove_file(&disk);
}

#[test]
fn doctor_names_what_may_not_be_read() {
    use std::os::unix::process::CommandExt as _;
    let demo = Demo::new();
    let mut doctor = command(&["doctor", "--format", "json", "--segment"]);
    doctor.arg(&demo.path);
    fs::set_permissions(&demo.path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&demo.path).is_ok() {
        // Root may read all; another user must be able to run the program, which a folder above it may forbid.
        doctor.uid(65_534).gid(65_534);
    }
    let Ok(output) = doctor.output() else {
        return skip("a segment of others: another user cannot run the program here");
    };
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &document["findings"][0];
    assert_eq!(found["code"], "no_permission", "{document}");
    let next = found["next"].as_str().unwrap();
    assert!(next.contains("--group"), "{next}");
}

const SLOW: &str = "PROBE_TEST_SLOW";

/// The body of the process that the next test starts: it records without restartable sequences until its input ends.
#[test]
#[ignore = "run by `doctor_names_who_is_slow_and_who_declares_otherwise`"]
fn slow() {
    let Ok(path) = std::env::var(SLOW) else {
        return;
    };
    let writer = attach(Path::new(&path));
    let differs = writer.counter_f64("requests_total", "Requests served");
    assert!(differs.register().is_err());
    writeln!(std::io::stdout(), "ready").unwrap();
    let _ = std::io::stdin().lines().next();
}

#[test]
fn doctor_names_who_is_slow_and_who_declares_otherwise() {
    let demo = Demo::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "maintenance::slow", "--nocapture"])
        .env(SLOW, &demo.path)
        .env("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("ready"))));
    let told = demo.probe(&["doctor"]).stdout;
    let pid = child.id();
    assert!(
        told.contains(&format!("process {pid} (tester) records by slower")),
        "{told}"
    );
    let conflict = format!(
        "requests_total is registered with type counter; process {pid} (tester) wanted counter of floats: 1 registration refused"
    );
    assert!(told.contains(&conflict), "{told}");
    let dump = demo.folder.path().join("kept.json");
    demo.probe(&["dump", "-o", dump.to_str().unwrap()]);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    for path in [&demo.path, &dump] {
        let found = codes(path, &[]);
        assert!(found.contains(&"conflict".into()), "{found:?}");
    }
}

#[test]
fn a_segment_of_another_boot_is_history() {
    let folder = folder();
    let path = folder.path().join("one.seg");
    probe(&path, &["create"]);
    age(&path);
    assert!(codes(&path, &[]).contains(&"earlier_boot".into()));
    let told = probe(&path, &["gc", "--dry-run"]);
    assert!(
        told.stderr.contains("written before the last boot") && path.exists(),
        "{told:?}"
    );
    assert_eq!(probe(&path, &["gc"]).code, Some(0));
    assert!(!path.exists(), "gc removes history");
}

#[test]
fn doctor_names_gauges() {
    let demo = Demo::new();
    demo.writer
        .gauge("unset_jobs", "Never set")
        .mode(tachograph::GaugeMode::Max)
        .register()
        .unwrap();
    let found = codes(&demo.path, &["--observe", "5ms"]);
    assert!(found.contains(&"gauge_unset".into()), "{found:?}");
    assert!(found.contains(&"gauge_still".into()), "{found:?}");
    assert!(!found.contains(&"no_writer".into()), "{found:?}");
}

/// A server that answers one request with `page`.
fn serve(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // What is left unread would reset the connection.
        let lines = BufReader::new(&stream).lines();
        lines
            .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
            .for_each(drop);
        write!(stream, "HTTP/1.0 200 OK\r\n\r\n{page}").unwrap();
    });
    format!("http://{address}/metrics")
}

#[test]
fn doctor_compares_an_exporter_with_the_segment() {
    let folder = folder();
    let path = folder.path().join("one.seg");
    let writer = attach(&path);
    let jobs = writer
        .counter("jobs_total", "Jobs")
        .label("queue", "a")
        .register()
        .unwrap();
    jobs.add(7);
    let asked = |page: &str| {
        let url = serve(page.to_owned());
        codes(&path, &["--exporter", &url])
    };
    let has = |found: &[String], code: &str| found.iter().any(|found| found == code);
    let fine = asked("jobs_total{queue=\"a\"} 7\n");
    assert!(
        !fine.iter().any(|code| code.starts_with("exporter")),
        "{fine:?}"
    );
    assert!(has(
        &asked("jobs_total{queue=\"a\"} 6\n"),
        "exporter_differs"
    ));
    assert!(has(&asked("other_total 7\n"), "exporter_lacks"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/metrics", listener.local_addr().unwrap());
    drop(listener);
    assert!(has(
        &codes(&path, &["--exporter", &silent]),
        "exporter_silent"
    ));
}

#[test]
fn shells_and_manuals_know_every_command() {
    let help = run(command(&["--help"]));
    let commands: Vec<&str> = crate::help::commands(&help.stdout);
    assert!(commands.len() > 12, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(command(&["completions", shell]));
        assert_eq!(script.code, Some(0));
        for name in &commands {
            assert!(script.stdout.contains(name), "{shell} {name}");
        }
    }
    let folder = folder();
    let pages = folder.path().join("man");
    let made = run(command(&["man", "--output", pages.to_str().unwrap()]));
    assert_eq!(made.code, Some(0), "{made:?}");
    for name in &commands {
        let page = fs::read_to_string(pages.join(format!("tachograph-probe-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    let page = run(command(&["man"]));
    assert!(page.stdout.contains(".SH NAME"), "{page:?}");
}
