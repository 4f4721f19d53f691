//! An exporter that pushes, by a configuration that the test writes.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::server::{address_in, program};
use crate::worker::PATIENCE;
use crate::{eventually, http};

/// An exporter. Dropping it kills it.
#[derive(Debug)]
pub struct Pusher {
    child: Child,
    config: PathBuf,
    segment: PathBuf,
    log: PathBuf,
    /// Where it serves its pages.
    pub address: SocketAddr,
}

impl Drop for Pusher {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

impl Pusher {
    /// Starts it on `segment`; its files go to the same folder. `push` is the section of that name.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(segment: &Path, push: &str) -> Pusher {
        let (config, log) = (
            segment.with_extension("toml"),
            segment.with_extension("log"),
        );
        write_config(&config, segment, push);
        let program = program("tachograph-exporter", "TACHOGRAPH_EXPORTER");
        let child = Command::new(&program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).expect("room for a file"))
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; ./check builds it", program.display()));
        let mut pusher = Pusher {
            child,
            config,
            segment: segment.into(),
            log,
            address: "0.0.0.0:0".parse().expect("an address"),
        };
        eventually("it listens", PATIENCE, || {
            let address = pusher.log().lines().find_map(address_in);
            pusher.address = address.unwrap_or(pusher.address);
            address.is_some()
        });
        pusher
    }

    /// Makes it read another section `push`.
    ///
    /// # Panics
    /// When it does not.
    pub fn reload(&self, push: &str) {
        let times = || self.log().matches("read anew").count();
        let before = times();
        write_config(&self.config, &self.segment, push);
        self.signal(Signal::SIGHUP);
        eventually("it has reloaded", PATIENCE, || times() > before);
    }

    /// Makes it read a section `push` that is wrong.
    ///
    /// # Panics
    /// When it does not say so.
    pub fn reload_in_vain(&self, push: &str) {
        write_config(&self.config, &self.segment, push);
        self.signal(Signal::SIGHUP);
        eventually("it says that it is wrong", PATIENCE, || {
            self.log().contains("the old configuration stays")
        });
    }

    /// Ends it as an init system does.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        let mut status = None;
        eventually("it ends", PATIENCE, || {
            status = self.child.try_wait().expect("it is ours");
            status.is_some()
        });
        (status.expect("it has ended"), self.log())
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, signal).expect("it runs");
    }

    /// All that it has said.
    ///
    /// # Panics
    /// When its log is gone.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("it is there")
    }

    /// What its page says now of what it pushes: the sample whose name ends like this, with these labels.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn pushed(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let answer = http::get(self.address, "/metrics", "text/plain").expect("it answers");
        let name = format!("tachograph_exporter_push_{name}{{");
        let has_all = |line: &&str| {
            let mut labels = labels.iter();
            labels.all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
        };
        let mut lines = answer.body.lines().filter(|line| line.starts_with(&name));
        let (_, value) = lines.find(has_all)?.rsplit_once(' ')?;
        value.parse().ok()
    }
}

fn write_config(path: &Path, segment: &Path, push: &str) {
    let text = format!(
        "[segments]\npaths = [{segment:?}]\n[listen]\naddresses = [\"127.0.0.1:0\"]\n{push}"
    );
    fs::write(path, text).expect("room for a file");
}
