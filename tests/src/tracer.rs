//! Holds a process at the beginning or the end of its n-th system call, or kills it there.
//!
//! The process is a child of the calling thread that lets itself be traced and stops. Once it forks, its
//! child is traced instead.

use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What came of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traced {
    /// This process is held at the place that was asked for.
    Held(Pid),
    /// The act was over after so many places.
    Over(usize),
}

/// Lets `pid` go on up to the `stop_at`-th beginning or end of a system call, counted from zero.
///
/// # Errors
/// When tracing is refused, or the process ends as it should not.
pub fn run_to(pid: Pid, stop_at: usize) -> Result<Traced, String> {
    trace(pid, stop_at).map_err(|errno| format!("tracing {pid}: {errno}"))
}

/// Whether a process may trace its child here.
///
/// # Panics
/// When no child can be started.
pub fn is_permitted() -> bool {
    let child = Command::new("cat").stdin(Stdio::piped()).spawn();
    let mut child = child.expect("cat starts");
    let pid = Pid::from_raw(child.id().cast_signed());
    let is_permitted = ptrace::seize(pid, Options::empty()).is_ok();
    let _ = child.kill();
    let _ = child.wait();
    is_permitted
}

fn trace(mut pid: Pid, stop_at: usize) -> Result<Traced, Errno> {
    let options =
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_EXITKILL;
    wait(pid)?;
    ptrace::setoptions(pid, options)?;
    let mut passed = 0;
    let mut signal = None;
    loop {
        ptrace::syscall(pid, signal)?;
        signal = None;
        match wait(pid)? {
            WaitStatus::PtraceSyscall(_) if is_end_mark(pid)? => {
                ptrace::detach(pid, None)?;
                return Ok(Traced::Over(passed));
            }
            WaitStatus::PtraceSyscall(_) if passed == stop_at => return Ok(Traced::Held(pid)),
            WaitStatus::PtraceSyscall(_) => passed += 1,
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_FORK as i32 => {
                let child = i32::try_from(ptrace::getevent(pid)?).map_err(|_| Errno::ERANGE)?;
                ptrace::detach(pid, None)?;
                pid = Pid::from_raw(child);
                wait(pid)?;
                ptrace::setoptions(pid, options)?;
            }
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(_, 0) => return Ok(Traced::Over(passed)),
            _ => return Err(Errno::ESRCH),
        }
    }
}

fn wait(pid: Pid) -> Result<WaitStatus, Errno> {
    waitpid(pid, Some(WaitPidFlag::__WALL))
}

/// An actor asks for its parent's id when its act is over.
fn is_end_mark(pid: Pid) -> Result<bool, Errno> {
    let info = ptrace::syscall_info(pid)?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(false);
    }
    // SAFETY: the kernel says that this is the member it filled.
    #[expect(unsafe_code, reason = "the member of a union")]
    let entry = unsafe { info.u.entry };
    Ok(entry.nr == libc::SYS_getppid.cast_unsigned())
}

/// Lets go of a process that is held.
///
/// # Errors
/// When it is gone.
pub fn release(pid: Pid) -> Result<(), String> {
    ptrace::detach(pid, None).map_err(|errno| format!("releasing {pid}: {errno}"))
}

/// Kills a process that is held, and waits until it is gone; a child of the caller is left to be waited for.
///
/// # Errors
/// When it is gone already.
pub fn kill(pid: Pid, is_grandchild: bool) -> Result<(), String> {
    let kill = || {
        nix::sys::signal::kill(pid, Signal::SIGKILL)?;
        if is_grandchild {
            wait(pid)?;
        }
        Ok(())
    };
    kill().map_err(|errno: Errno| format!("killing {pid}: {errno}"))
}
