//! Runs a program that the kernel refuses restartable sequences, as a sandbox does:
//! `deny_rseq ERRNO PROGRAM [ARGUMENT]...`.

use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::libc::SYS_rseq;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let errno = arguments.next().ok_or("no ERRNO")?;
    let errno = errno.to_string_lossy().parse()?;
    let program = arguments.next().ok_or("no PROGRAM")?;
    let filter = SeccompFilter::new(
        [(SYS_rseq, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        env::consts::ARCH.try_into()?,
    )?;
    apply_filter(&BpfProgram::try_from(filter)?)?;
    Err(Command::new(program).args(arguments).exec().into())
}
