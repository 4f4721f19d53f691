//! Facts of the host: its boot, its clock, its possible CPUs, its file systems.

use nix::sys::statfs::FsType;

/// Where the kernel tells the id of this boot.
pub(crate) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's id of this boot; zeros where the kernel has none. What fails for the moment is an error:
/// a segment with a wrong id would be refused by everybody else.
pub(crate) fn boot_id() -> std::io::Result<[u64; 2]> {
    let text = match std::fs::read_to_string(BOOT_ID) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| {
        digits
            .get(range)
            .and_then(|half| u64::from_str_radix(half, 16).ok())
    };
    Ok([half(0..16).unwrap_or(0), half(16..32).unwrap_or(0)])
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_unix_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// The same as of the last tick of the system's clock, some milliseconds ago: cheaper.
pub(crate) fn recent_unix_nanos() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let Ok(now) = clock_gettime(ClockId::CLOCK_REALTIME_COARSE) else {
        return now_unix_nanos();
    };
    let [seconds, nanos] =
        [now.tv_sec(), now.tv_nsec()].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1_000_000_000 + nanos
}

/// A random number of the system's; a forked child draws others than its parent.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    use std::io::Read;
    let mut bytes = [0; 8];
    match std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => u64::from_ne_bytes(bytes),
        // A hasher of the standard library, which is seeded by the system too, and the time.
        Err(_) => {
            let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
            hasher.write_u64(now_unix_nanos());
            hasher.finish()
        }
    }
}

/// The machine's possible CPUs: not the online, allowed or container's ones, which change.
pub(crate) fn possible_cpus() -> u32 {
    let listed = std::fs::read_to_string("/sys/devices/system/cpu/possible").ok();
    // Where it cannot be read a larger CPU number only falls back to the atomic shards.
    listed.as_deref().and_then(count_of).unwrap_or(64)
}

/// What the file system with this magic number is called, where it is well known.
pub(crate) fn file_system(kind: FsType) -> Option<&'static str> {
    // include/uapi/linux/magic.h
    Some(match kind.0 {
        0xef53 => "ext2, ext3 or ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x794c_7630 => "overlayfs",
        0x6969 => "nfs",
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => "smb",
        0x00c3_6400 => "ceph",
        0x0102_1997 => "9p",
        0x6573_5546 => "fuse",
        0x4d44 => "vfat",
        0x8584_58f6 => "ramfs",
        _ => return None,
    })
}

/// One more than the last number of a list such as `0-3,8-11`.
fn count_of(list: &str) -> Option<u32> {
    let last = list.trim().rsplit([',', '-']).next()?;
    last.parse::<u32>()
        .ok()?
        .checked_add(1)
        .filter(|&count| count <= 1 << 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_possible_cpu_counts() {
        assert_eq!(count_of("0\n"), Some(1));
        assert_eq!(count_of("0-127\n"), Some(128));
        assert_eq!(count_of("0-3,8-11"), Some(12));
        assert_eq!(count_of(""), None);
        assert_eq!(count_of("4294967295"), None);
    }

    #[test]
    fn this_host_has_a_boot() {
        assert_ne!(boot_id().unwrap(), [0, 0]);
        assert!(possible_cpus() >= 1);
    }
}
