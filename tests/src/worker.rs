//! Worker processes as the tests see them: started, told to go, stopped, killed; never left behind.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// How long a worker may take for anything that is not its work.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Environment that turns restartable sequences off in a process.
pub const NO_RSEQ: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

/// A running worker. Dropping it kills it.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Worker {
    /// Starts `program` on `segment` with the arguments of a task.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn start<S: AsRef<OsStr>>(
        program: &str,
        segment: &Path,
        environment: &[(&str, &str)],
        arguments: impl IntoIterator<Item = S>,
    ) -> Worker {
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        Worker::start_as(command, segment, arguments)
    }

    /// As [`Worker::start`], by a command that may stand between, such as an emulator.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn start_as<S: AsRef<OsStr>>(
        mut command: Command,
        segment: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Worker {
        let mut child = command
            .arg("--segment")
            .arg(segment)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the worker starts");
        let lines = lines_of(child.stdout.take().expect("a pipe"));
        Worker {
            input: child.stdin.take(),
            lines,
            child,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its next line of output.
    ///
    /// # Panics
    /// When it ends or takes too long.
    pub fn line(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("worker {} says nothing: {error}", self.pid()))
    }

    /// Waits until it has registered its series.
    ///
    /// # Panics
    /// When it says something else.
    pub fn wait_ready(&self) {
        assert_eq!(self.line(), "ready");
    }

    /// Lets it start.
    ///
    /// # Panics
    /// When it has ended.
    pub fn go(&mut self) {
        let input = self.input.as_mut().expect("input is open");
        input.write_all(b"go\n").expect("the worker listens");
    }

    /// Ends its input: a worker that waits for it goes on, or ends.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) {
        signal::kill(self.nix_pid(), signal).expect("the worker is ours");
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Kills it as `kill -9` does, and waits until it is gone with all its threads.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(mut self) -> ExitStatus {
        self.child.kill().expect("the worker is ours");
        self.child.wait().expect("the worker is ours")
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it fails or takes longer than `limit`.
    pub fn finish(mut self, limit: Duration) {
        self.input = None;
        let mut status = None;
        crate::eventually("a worker ends", limit, || {
            status = self.child.try_wait().expect("the worker is ours");
            status.is_some()
        });
        assert!(
            status.is_some_and(|status| status.success()),
            "a worker failed: {status:?}"
        );
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have been waited for; then there is nothing to kill.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// The lines of a pipe, read by a thread of their own so that waiting for one can have a limit.
pub fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
