//! What the kernel says of the processes that write to segments.

use std::collections::HashMap;
use std::fs;

use nix::unistd::{SysconfVar, sysconf};
use tachograph::{Process, Snapshot};

/// What a process uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// Its process id, in its own pid namespace.
    pub pid: u32,
    /// Its slot in the segment.
    pub slot: u32,
    /// What it calls itself.
    pub name: String,
    /// Time on a CPU, its own and the kernel's for it.
    pub cpu_seconds: f64,
    /// Memory that it has.
    pub resident_bytes: u64,
    /// Addresses that it has.
    pub virtual_bytes: u64,
    /// Its threads.
    pub threads: u64,
    /// When it began, since the Unix epoch.
    pub start_seconds: f64,
    /// Its open files, where the exporter may look.
    pub open_files: Option<u64>,
    /// The most that it may open; infinite where there is no limit.
    pub max_files: Option<f64>,
}

/// Facts about the host that never change.
#[derive(Debug)]
pub(crate) struct Kernel {
    ticks_per_second: f64,
    page_bytes: u64,
    boot_seconds: f64,
    /// Inode of the exporter's own pid namespace.
    pid_namespace: u64,
}

impl Kernel {
    pub(crate) fn new() -> Kernel {
        let asked = |variable| sysconf(variable).ok().flatten();
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime "));
        Kernel {
            ticks_per_second: asked(SysconfVar::CLK_TCK).map_or(100.0, float),
            page_bytes: asked(SysconfVar::PAGE_SIZE)
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or(4096),
            boot_seconds: boot.and_then(|text| text.parse().ok()).unwrap_or(0.0),
            pid_namespace: nix::sys::stat::stat("/proc/self/ns/pid").map_or(0, |it| it.st_ino),
        }
    }

    /// What the living processes of `snapshot` use. Those that have ended meanwhile, and those that cannot be seen
    /// from here, are left out.
    pub(crate) fn usages(&self, snapshot: &Snapshot) -> Vec<Usage> {
        let mut strangers = None;
        let living = snapshot.processes.iter().filter(|process| process.alive);
        let usages = living.filter_map(|process| {
            let pid = if process.pid_namespace == self.pid_namespace {
                process.pid
            } else {
                *strangers
                    .get_or_insert_with(strangers_here)
                    .get(&(process.pid, process.start_ticks))?
            };
            self.usage(process, pid)
        });
        usages.collect()
    }

    /// What `process` uses, which is `pid` here, unless that is another process by now.
    fn usage(&self, process: &Process, pid: u32) -> Option<Usage> {
        let stat = Stat::read(pid)?;
        if stat.start_ticks != process.start_ticks {
            return None;
        }
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok();
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok();
        Some(Usage {
            pid: process.pid,
            slot: process.slot,
            name: process.name.clone(),
            cpu_seconds: float(stat.cpu_ticks) / self.ticks_per_second,
            resident_bytes: stat.resident_pages.saturating_mul(self.page_bytes),
            virtual_bytes: stat.virtual_bytes,
            threads: stat.threads,
            start_seconds: self.boot_seconds + float(stat.start_ticks) / self.ticks_per_second,
            open_files: files.map(|files| files.count() as u64),
            max_files: limits.and_then(|text| max_files(&text)),
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ticks and seconds stay below 2^53"
)]
fn float(number: impl TryInto<i64>) -> f64 {
    number.try_into().unwrap_or(i64::MAX) as f64
}

/// Processes of other pid namespaces that are seen from here: by their own pid and by when they started, the pid here.
fn strangers_here() -> HashMap<(u32, u64), u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let strangers = pids.filter_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let own = innermost_pid(&status).filter(|&own| own != pid)?;
        Some(((own, Stat::read(pid)?.start_ticks), pid))
    });
    strangers.collect()
}

/// The pid of a process in its own namespace.
fn innermost_pid(status: &str) -> Option<u32> {
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_whitespace().last()?.parse().ok()
}

/// The soft limit of open files.
fn max_files(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

/// What `/proc/PID/stat` says.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Stat> {
        // The command's name may hold anything.
        let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Stat::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Option<Stat> {
        // The second field is the command in brackets; the next one is the third.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use tachograph::SegmentOptions;

    use super::*;

    #[test]
    fn a_status_line_is_taken_apart() {
        let line = "7 (a) b (c) R 1 7 7 0 -1 4194304 100 0 0 0 11 22 0 0 20 0 3 0 12345 4096000 250 \
            18446744073709551615 1 1 0";
        let expected = Stat {
            cpu_ticks: 33,
            threads: 3,
            start_ticks: 12345,
            virtual_bytes: 4_096_000,
            resident_pages: 250,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("7 (a) R 1"), None);
        assert_eq!(Stat::parse(""), None);
        assert_eq!(innermost_pid("Name:\tx\nNSpid:\t700\t12\t1\n"), Some(1));
        assert_eq!(innermost_pid("Name:\tx\n"), None);
        assert_eq!(
            max_files("Max open files            1024      4096    files\n"),
            Some(1024.0)
        );
        assert_eq!(
            max_files("Max open files   unlimited unlimited files\n"),
            Some(f64::INFINITY)
        );
    }

    #[test]
    fn this_process_is_seen() {
        let writer = SegmentOptions::new().process_name("me").heap().unwrap();
        let mut snapshot = writer.snapshot().unwrap();
        let kernel = Kernel::new();
        let [usage] = kernel.usages(&snapshot).try_into().unwrap();
        assert_eq!((usage.pid, usage.name.as_str()), (std::process::id(), "me"));
        assert!(usage.resident_bytes > 1 << 20 && usage.virtual_bytes > usage.resident_bytes);
        assert!(usage.threads >= 1 && usage.open_files.unwrap() >= 3);
        assert!(usage.max_files.unwrap() >= usage.open_files.map(float).unwrap());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let age = now.unwrap().as_secs_f64() - usage.start_seconds;
        assert!((-2.0..86_400.0).contains(&age), "{age}");
        // Another process with this pid is not it.
        snapshot.processes[0].start_ticks += 1;
        assert_eq!(kernel.usages(&snapshot), []);
        // One of another namespace has another pid here, so this cannot be it.
        let mut snapshot = writer.snapshot().unwrap();
        snapshot.processes[0].pid_namespace += 1;
        assert_eq!(kernel.usages(&snapshot), []);
    }
}
