//! Taking a CPU away and giving it back, whatever becomes of the test.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";

/// The second CPU, which is online again when this is dropped, also when the process is killed.
#[derive(Debug)]
pub struct SecondCpu {
    guardian: Child,
}

impl SecondCpu {
    /// The second CPU, where it may be taken away.
    ///
    /// # Errors
    /// When there is none, or this process may not.
    pub fn new() -> io::Result<SecondCpu> {
        fs::write(ONLINE, "1")?;
        // In a group of its own, so that what ends the test leaves it alone; its input ends with this process.
        let guardian = Command::new("sh")
            .args(["-c", "trap '' HUP INT TERM; cat; echo 1 > \"$0\"", ONLINE])
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()?;
        Ok(SecondCpu { guardian })
    }

    /// Takes it away or gives it back.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_online(&self, online: bool) -> io::Result<()> {
        fs::write(ONLINE, if online { "1" } else { "0" })
    }
}

impl Drop for SecondCpu {
    fn drop(&mut self) {
        self.guardian.stdin = None;
        let _ = self.guardian.wait();
    }
}
