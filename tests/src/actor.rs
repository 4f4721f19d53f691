//! Processes of a crash sweep as its test sees them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::scenario::Scenario;
use crate::worker::{PATIENCE, lines_of};

/// A running actor. Dropping it kills it.
#[derive(Debug)]
pub struct Actor {
    /// What it calls its own series.
    pub name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Actor {
    /// Starts the actor `program`.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn start(
        program: &str,
        segment: &Path,
        scenario: Scenario,
        name: &str,
        environment: &[(&str, String)],
        more: &[&str],
    ) -> Actor {
        let scenario = scenario.to_possible_value().expect("no scenario is hidden");
        let mut child = Command::new(program)
            .arg("--segment")
            .arg(segment)
            .args(["--scenario", scenario.get_name(), "--name", name])
            .args(more)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the actor starts");
        Actor {
            name: name.to_owned(),
            input: child.stdin.take(),
            lines: lines_of(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Tells it to do something, without waiting.
    ///
    /// # Errors
    /// When it has ended.
    pub fn tell(&mut self, what: &str) -> Result<(), String> {
        let Some(input) = self.input.as_mut() else {
            return Err(format!("{} has no input", self.name));
        };
        writeln!(input, "{what}").map_err(|error| format!("{} cannot {what}: {error}", self.name))
    }

    /// Tells it to do something, and waits until it has.
    ///
    /// # Errors
    /// When it has ended or takes too long.
    pub fn ask(&mut self, what: &str) -> Result<(), String> {
        self.tell(what)?;
        self.wait_done()
            .map_err(|error| format!("{} at {what}: {error}", self.name))
    }

    /// Waits until it has done what it was told.
    ///
    /// # Errors
    /// When it has ended or takes too long.
    pub fn wait_done(&self) -> Result<(), String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line == "ok" => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err("it is held up".into()),
                Err(RecvTimeoutError::Disconnected) => return Err("it ended".into()),
            }
        }
    }

    /// Its next line, where there is one; `None` after its end too.
    pub fn poll_line(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// How it ended, where it has.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn poll_end(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the actor is ours")
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn wait_end(&mut self) -> ExitStatus {
        self.child.wait().expect("the actor is ours")
    }

    /// Lets it end, and sees that it ends well.
    ///
    /// # Errors
    /// When it fails or does not end.
    pub fn finish(mut self) -> Result<(), String> {
        self.input = None;
        let began = Instant::now();
        loop {
            match self.poll_end() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("{} ended: {status}", self.name)),
                None if began.elapsed() > PATIENCE => {
                    return Err(format!("{} does not end", self.name));
                }
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have been waited for; then there is nothing to kill.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// Whether a process is stopped, by a signal or by its tracer.
pub fn is_stopped(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    state.starts_with(['T', 't'])
}

/// Lets a stopped process go on.
///
/// # Errors
/// When it is gone.
pub fn go_on(pid: Pid) -> Result<(), String> {
    signal::kill(pid, Signal::SIGCONT).map_err(|errno| format!("{pid} is gone: {errno}"))
}
