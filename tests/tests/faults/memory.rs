//! Readers are not charged for holes: a segment far larger than their memory cgroup, read again and again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tachograph_tests::scratch::Scratch;
use tachograph_tests::server::{self, Server};

use crate::stage::{Operator, Victim, blocks, is_root};

const LIMIT: u64 = 32 << 20;
const HISTOGRAM_BYTES: u64 = 1 << 30;
const SIGKILL: i32 = 9;

/// A memory cgroup of the test's own. Dropping it removes it.
struct Cgroup {
    folder: PathBuf,
    is_v2: bool,
}

impl Cgroup {
    /// `None`, and says so, where this host has none for us.
    fn new(name: &str) -> Option<Cgroup> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let is_v2 = !v1.is_dir();
        let root = if is_v2 {
            Path::new("/sys/fs/cgroup")
        } else {
            v1
        };
        let folder = root.join(format!("tachograph-test-{name}-{}", std::process::id()));
        if !is_root() {
            return None;
        }
        let made = fs::create_dir(&folder);
        let cgroup = Cgroup { folder, is_v2 };
        let limit = if is_v2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        let limited = made.and_then(|()| fs::write(cgroup.file(limit), LIMIT.to_string()));
        if let Err(error) = limited {
            tachograph_tests::skip(&format!("no memory cgroup: {error}"));
            return None;
        }
        Some(cgroup)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A command below which others run inside.
    fn wrapper(&self) -> [String; 3] {
        let procs = self.file("cgroup.procs");
        let script = format!("echo $$ >{} && exec \"$0\" \"$@\"", procs.display());
        ["sh".into(), "-c".into(), script]
    }

    fn number(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(self.file(file)).expect("the kernel's own file");
        let mut lines = text.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let found = found.unwrap_or_else(|| panic!("no {name} in {text}"));
        found.parse().expect("a number")
    }

    /// Bytes of tmpfs pages that were charged to it.
    fn shared_bytes(&self) -> u64 {
        self.number("memory.stat", "shmem")
    }

    fn kills(&self) -> u64 {
        let file = if self.is_v2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        self.number(file, "oom_kill")
    }

    /// The most it ever had, where the kernel tells.
    fn peak_bytes(&self) -> Option<u64> {
        let file = if self.is_v2 {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        fs::read_to_string(self.file(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel takes a moment to let go of the last process.
        for _ in 0..200 {
            if fs::remove_dir(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// A segment of more than a gibibyte, nearly all of it holes.
fn sparse(path: &Path) -> Victim {
    let mut victim = Victim::start();
    let attach = format!(
        "attach histogram_bytes={HISTOGRAM_BYTES} path={}",
        path.display()
    );
    victim.must(&attach);
    victim.must("kinds a");
    assert_eq!(victim.ask("many a 1000"), "1000");
    assert!(fs::metadata(path).unwrap().len() > HISTOGRAM_BYTES);
    assert!(blocks(path) * 512 < LIMIT / 4);
    victim
}

#[test]
fn readers_are_not_charged_for_holes() {
    let Some(cgroup) = Cgroup::new("readers") else {
        return;
    };
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = sparse(&path);
    let before = blocks(&path);
    let wrapper = cgroup.wrapper();
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let operator = Operator::by(Server::exporter_below(&wrapper, &path), &path);
    for _ in 0..100 {
        assert_eq!(operator.sample("a_gauge"), Some(3.0));
    }
    for command in ["ls", "get", "procs", "check", "dump"] {
        let mut probe = Command::new(wrapper[0]);
        probe.args(&wrapper[1..]);
        probe.arg(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
        probe.arg("--segment").arg(&path).arg(command);
        if command == "get" {
            probe.arg("a_gauge");
        }
        let output = server::run(probe, "");
        assert!(output.status.success(), "{command}: {output:?}");
    }
    assert_eq!(blocks(&path), before, "reading took memory");
    assert_eq!(cgroup.shared_bytes(), 0, "readers were charged");
    assert_eq!(cgroup.kills(), 0);
    if let Some(peak) = cgroup.peak_bytes() {
        eprintln!("peak {} KiB of {} KiB", peak >> 10, LIMIT >> 10);
        assert!(peak <= LIMIT);
    }
    victim.must("check");
}

#[test]
fn control_a_reader_of_holes_is_charged_and_killed() {
    let Some(cgroup) = Cgroup::new("control") else {
        return;
    };
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut writer = sparse(&path);
    let before = blocks(&path);
    let mut victim = Victim::below(&cgroup.wrapper());
    assert_ne!(victim.ask("pid"), "");
    victim.tell(&format!("touch {}", path.display()));
    let status = victim.end();
    assert_eq!(status.signal(), Some(SIGKILL), "{status}");
    assert!(cgroup.kills() > 0);
    assert!(blocks(&path) > before);
    writer.must("check");
    // What was charged stays with the file.
    fs::remove_file(&path).unwrap();
    writer.finish();
}
