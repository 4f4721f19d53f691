//! The unit for systemd: whether systemd understands it, how tight it is, and whether the exporter lives within it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::certificates::Authority;
use common::{Exporter, command, get_unix};

const UNIT: &str = "tachograph-exporter.service";

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

/// What a command prints; it must succeed.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; ./check installs it"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{said}"
    );
    assert_eq!(said, "", "{program} {arguments:?}");
    text
}

#[test]
fn systemd_understands_the_units_and_finds_them_tight() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = command().get_program().to_str().unwrap().to_owned();
    let unit = fs::read_to_string(deploy(UNIT)).unwrap();
    let unit = unit.replace("/usr/local/bin/tachograph-exporter", &exporter);
    assert!(unit.contains(&exporter));
    let service = folder.path().join(UNIT);
    fs::write(&service, unit).unwrap();
    let socket = folder.path().join("tachograph-exporter.socket");
    fs::copy(deploy("tachograph-exporter.socket"), &socket).unwrap();
    let (service, socket) = (service.to_str().unwrap(), socket.to_str().unwrap());
    run("systemd-analyze", &["verify", "--man=no", service, socket]);
    run(
        "systemd-analyze",
        &[
            "security",
            "--offline=yes",
            "--no-pager",
            "--threshold=15",
            service,
        ],
    );
}

/// The system calls in a set of systemd, with those in the sets that it names.
fn set(name: &str) -> BTreeSet<String> {
    let text = run("systemd-analyze", &["--no-pager", "syscall-filter", name]);
    let words = text.lines().skip(1).map(str::trim);
    let words = words.filter(|line| !line.is_empty() && !line.starts_with('#'));
    words
        .flat_map(|word| match word.starts_with('@') {
            true => set(word),
            false => BTreeSet::from([word.to_owned()]),
        })
        .collect()
}

/// The system calls that the unit allows.
fn allowed() -> BTreeSet<String> {
    let unit = fs::read_to_string(deploy(UNIT)).unwrap();
    let filters = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let mut allowed = BTreeSet::new();
    for filter in filters {
        let refuses = filter.starts_with('~');
        for name in filter.trim_start_matches('~').split(' ') {
            for call in set(name) {
                match refuses {
                    true => allowed.remove(&call),
                    false => allowed.insert(call),
                };
            }
        }
    }
    allowed
}

#[test]
fn the_exporter_lives_within_the_filter_of_system_calls() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let segment = folder.path().join("test.seg");
    let writer = tachograph::SegmentOptions::new()
        .path(&segment)
        .attach()
        .unwrap();
    writer
        .counter("jobs_total", "Jobs")
        .register()
        .unwrap()
        .add(1);
    Authority::new(folder.path()).sign("server", "DNS:localhost");
    let (web, trace) = (folder.path().join("web.yml"), folder.path().join("trace"));
    let tls = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
    // The hash of nothing in particular.
    let users = format!("basic_auth_users: {{a: $2b$04${}}}\n", ".".repeat(53));
    fs::write(&web, format!("{tls}{users}")).unwrap();
    let socket = folder.path().join("x.sock");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace);
    strace
        .arg(command().get_program())
        .arg("--segment")
        .arg(&segment);
    strace.args(["--listen", "127.0.0.1:0", "--listen"]);
    strace.arg(format!("unix:{}", socket.display()));
    let group = fs::metadata(folder.path()).unwrap().gid().to_string();
    strace.args([
        "--unix-mode",
        "0600",
        "--unix-group",
        &group,
        "--web-config",
    ]);
    strace.arg(&web);
    let mut exporter = Exporter::spawn(strace, 2);
    assert_eq!(get_unix(&socket, "/metrics").status, 401);
    fs::write(&web, tls).unwrap();
    exporter.signal_child("HUP");
    exporter.wait_for_line("was read anew");
    assert_eq!(
        get_unix(&socket, "/metrics").sample("jobs_total"),
        Some("1")
    );
    let address = exporter.addresses[0].clone();
    let page = run("curl", &["-sSk", "--compressed", &address]);
    assert!(page.contains("\njobs_total 1\n"), "{page}");
    exporter.signal_child("TERM");
    exporter.wait();

    let trace = fs::read_to_string(&trace).unwrap();
    let mut used = BTreeSet::new();
    for line in trace.lines() {
        let call = line
            .split_whitespace()
            .nth(1)
            .and_then(|text| text.split_once('('));
        used.extend(call.map(|(name, _)| name.to_owned()));
    }
    assert!(used.len() > 30 && used.contains("accept4"), "{used:?}");
    let allowed = allowed();
    assert!(
        allowed.len() > 100 && !allowed.contains("mount"),
        "{allowed:?}"
    );
    let refused: Vec<_> = used.difference(&allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
