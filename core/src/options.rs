//! Options of a segment: where it is, how large it may become, who may use it.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::layout::{Capacities, PAGE_WORDS};

/// Environment variable that names the segment.
const SEGMENT_VARIABLE: &str = "TACHOGRAPH_SEGMENT";

/// The segment used where none is named: `$TACHOGRAPH_SEGMENT`, else
/// `/dev/shm/tachograph-<uid>/default.seg`.
pub fn default_path() -> PathBuf {
    match std::env::var_os(SEGMENT_VARIABLE) {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => default_folder().join("default.seg"),
    }
}

pub(crate) fn default_folder() -> PathBuf {
    PathBuf::from(format!("/dev/shm/tachograph-{}", nix::unistd::geteuid()))
}

/// How to create or attach a segment.
///
/// Capacities are virtual: memory is taken as series are registered. They count for the process that
/// creates the segment; whoever attaches takes what it finds.
///
/// ```
/// let writer = tachograph::SegmentOptions::new().series(1_000).heap()?;
/// writer.counter("requests_total", "Requests served").register()?.inc();
/// # Ok::<(), tachograph::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SegmentOptions {
    pub(crate) path: Option<PathBuf>,
    pub(crate) process_name: Option<String>,
    pub(crate) capacities: Capacities,
    pub(crate) cpu_shards: Option<u32>,
    pub(crate) mode: u32,
    pub(crate) group: Option<u32>,
    pub(crate) allow_disk: bool,
    pub(crate) replace_other_boot: bool,
    pub(crate) fault_guard: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        SegmentOptions {
            path: None,
            process_name: None,
            capacities: Capacities {
                processes: 1024,
                families: 2048,
                series: 65_536,
                string_bytes: 16 << 20,
                shared_cells: 65_536,
                process_cells: 2048,
                counter_cells: 262_144,
                histogram_bytes: 256 << 20,
                exemplars: 65_536,
            },
            cpu_shards: None,
            mode: 0o600,
            group: None,
            allow_disk: false,
            replace_other_boot: false,
            fault_guard: true,
        }
    }
}

impl SegmentOptions {
    /// The defaults: a segment of up to 65 536 series that only its owner may use.
    pub fn new() -> SegmentOptions {
        SegmentOptions::default()
    }

    /// The segment's file; [`default_path`] where none is given.
    pub fn path(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(path.as_ref().to_path_buf());
        self
    }

    /// What the process calls itself, up to 64 bytes; the program's name where none is given.
    pub fn process_name(mut self, name: impl Into<String>) -> Self {
        self.process_name = Some(name.into());
        self
    }

    /// How many series there can be. Default 65 536; 16 bytes each at once, 64 more when used.
    pub fn series(mut self, series: u64) -> Self {
        self.capacities.series = series;
        self
    }

    /// How many families there can be. Default 2 048.
    pub fn families(mut self, families: u64) -> Self {
        self.capacities.families = families;
        self
    }

    /// How many processes can live at one time. Default 1 024; 128 bytes each at once.
    pub fn processes(mut self, processes: u64) -> Self {
        self.capacities.processes = processes;
        self
    }

    /// How many bytes of names, help texts and label sets there can be. Default 16 MiB.
    pub fn string_bytes(mut self, bytes: u64) -> Self {
        self.capacities.string_bytes = bytes;
        self
    }

    /// How many cells counters and small histograms can take together: one a counter, one a bucket and
    /// one a sum. Default 262 144; 8 bytes a shard each when used.
    pub fn counter_cells(mut self, cells: u64) -> Self {
        self.capacities.counter_cells = cells;
        self
    }

    /// How many bytes large histograms can take, over all shards. Default 256 MiB.
    pub fn histogram_bytes(mut self, bytes: u64) -> Self {
        self.capacities.histogram_bytes = bytes;
        self
    }

    /// How many exemplars all series can keep together. Default 65 536; 88 bytes each when used.
    pub fn exemplars(mut self, exemplars: u64) -> Self {
        self.capacities.exemplars = exemplars;
        self
    }

    /// How many living gauges, infos and state sets there can be. Default 2 048; 8 bytes a process each.
    pub fn process_cells(mut self, cells: u64) -> Self {
        self.capacities.process_cells = cells;
        self
    }

    /// How many lasting gauges and state sets there can be. Default 65 536.
    pub fn shared_cells(mut self, cells: u64) -> Self {
        self.capacities.shared_cells = cells;
        self
    }

    /// Shards of a counter that restartable sequences write. Default: the machine's possible CPUs.
    /// Another number is for tests and models of other machines.
    pub fn cpu_shards(mut self, shards: u32) -> Self {
        self.cpu_shards = Some(shards);
        self
    }

    /// Permission bits of the file. Default `0o600`, or `0o660` with a group.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Gives the file to a group, and lets the group write.
    pub fn group(mut self, group: u32) -> Self {
        self.group = Some(group);
        self.mode |= 0o060;
        self
    }

    /// Accepts a file system that writes back to disk, which can stall writers for hundreds of
    /// milliseconds. Default: refused.
    pub fn allow_disk(mut self, allow: bool) -> Self {
        self.allow_disk = allow;
        self
    }

    /// Replaces a segment that was written before the last boot. Default: refused.
    pub fn replace_other_boot(mut self, replace: bool) -> Self {
        self.replace_other_boot = replace;
        self
    }

    /// Whether attaching installs a handler for SIGBUS, which keeps this process alive when somebody
    /// truncates or punches the file: see [`crate::install_fault_guard`]. Default: it does, once a process.
    /// A program that says no, or puts a handler of its own over it that hands nothing on, dies then.
    pub fn fault_guard(mut self, install: bool) -> Self {
        self.fault_guard = install;
        self
    }

    pub(crate) fn resolved_path(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(default_path)
    }

    /// Checks what a caller can get wrong.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let c = &self.capacities;
        let counts = [
            ("series", c.series, 1 << 28),
            ("families", c.families, 1 << 20),
            ("processes", c.processes, 1 << 16),
            ("string_bytes", c.string_bytes, 1 << 32),
            ("shared_cells", c.shared_cells, 1 << 28),
            ("process_cells", c.process_cells, 1 << 20),
            ("counter_cells", c.counter_cells, 1 << 28),
            ("histogram_bytes", c.histogram_bytes, 1 << 42),
            ("exemplars", c.exemplars, 1 << 28),
            (
                "cpu_shards",
                u64::from(self.cpu_shards.unwrap_or(1)),
                1 << 14,
            ),
        ];
        for (name, given, most) in counts {
            if given == 0 || given > most {
                return Err(Error::Options(format!(
                    "{name} is {given}; give 1 to {most}"
                )));
            }
        }
        if self.mode & !0o777 != 0 || self.mode & 0o600 != 0o600 {
            let mode = self.mode;
            return Err(Error::Options(format!(
                "mode is {mode:o}; its owner must read and write"
            )));
        }
        Ok(())
    }

    /// CPU shards and fallback shards of a new segment.
    pub(crate) fn shards(&self) -> (u32, u32) {
        let cpus = self.cpu_shards.unwrap_or_else(crate::host::possible_cpus);
        (cpus, (cpus / 16).next_power_of_two().clamp(2, 16))
    }
}

const _: () = assert!(PAGE_WORDS > crate::layout::sink::CELLS);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn impossible_options_are_refused() {
        assert!(SegmentOptions::new().check().is_ok());
        assert!(SegmentOptions::new().series(0).check().is_err());
        assert!(SegmentOptions::new().processes(1 << 17).check().is_err());
        assert!(SegmentOptions::new().mode(0o444).check().is_err());
        assert!(SegmentOptions::new().mode(0o4600).check().is_err());
    }

    #[test]
    fn a_group_may_write() {
        assert_eq!(SegmentOptions::new().group(5).mode, 0o660);
    }
}
