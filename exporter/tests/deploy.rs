//! The files in `deploy/`: whether systemd understands the unit, how tight it is, and whether the exporter lives within it;
//! and whether the exporter takes what an image and a sidecar give it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

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

/// The exporter as a sidecar: where its files are mounted is where its configuration has them.
#[test]
fn the_sidecar_finds_its_files() {
    let root = tempfile::tempdir().unwrap();
    let below = |path: &str| root.path().join(path.trim_start_matches('/'));
    let manifests = fs::read_to_string(deploy("kubernetes.yaml")).unwrap();
    let manifests: Vec<Value> = serde_saphyr::from_multiple(&manifests).unwrap();
    let config = manifests[0]["data"]["exporter.toml"].as_str().unwrap();
    let pod = &manifests[1]["spec"]["template"]["spec"];
    let named = |list: &Value, name: &Value| {
        let found = list
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["name"] == *name);
        found
            .unwrap_or_else(|| panic!("{name} is not in {list}"))
            .clone()
    };
    let exporter = named(&pod["containers"], &"metrics".into());
    for mount in exporter["volumeMounts"].as_array().unwrap() {
        let volume = named(&pod["volumes"], &mount["name"]);
        let place = below(mount["mountPath"].as_str().unwrap());
        if volume["configMap"].is_object() {
            let root = format!("\"{}/", root.path().display());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, config.replace("\"/", &root)).unwrap();
        } else {
            fs::create_dir_all(&place).unwrap();
        }
        let is_secret = volume["secret"].is_object();
        assert!(
            is_secret
                || volume["configMap"].is_object()
                || volume["emptyDir"]["medium"] == "Memory"
        );
    }
    let check = || {
        let arguments = exporter["args"].as_array().unwrap().iter();
        let arguments = arguments.map(|it| {
            it.as_str()
                .unwrap()
                .replace("/etc", below("/etc").to_str().unwrap())
        });
        let output = command()
            .args(arguments)
            .arg("--check-config")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let tls = below("/etc/tachograph/tls");
    assert!(check().contains("tls.crt"), "{}", check());
    Authority::new(&tls).sign("tls", "DNS:localhost");
    assert!(check().contains("tokens"), "{}", check());
    fs::write(below("/etc/tachograph/tokens/tokens"), "0123456789abcdef\n").unwrap();
    assert_eq!(check(), "the configuration makes sense\n");
    let app = named(&pod["containers"], &"shop".into());
    let segment = named(&app["env"], &"TACHOGRAPH_SEGMENT".into());
    let folder = named(&app["volumeMounts"], &"segments".into());
    let folder = folder["mountPath"].as_str().unwrap();
    assert!(segment["value"].as_str().unwrap().starts_with(folder));
    assert!(config.contains(folder), "{config}");
}

#[test]
fn the_image_serves_other_hosts() {
    let file = fs::read_to_string(deploy("Containerfile")).unwrap();
    let environment = file.lines().find_map(|line| line.strip_prefix("ENV "));
    let environment = environment
        .unwrap()
        .split(' ')
        .map(|it| it.split_once('=').unwrap());
    let output = command()
        .arg("--print-config")
        .envs(environment)
        .output()
        .unwrap();
    let config = String::from_utf8(output.stdout).unwrap();
    assert!(config.contains("paths = [\"/run/tachograph\"]"), "{config}");
    assert!(
        config.contains("addresses = [\"0.0.0.0:9464\"]"),
        "{config}"
    );
}
