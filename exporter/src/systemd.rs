//! What the service manager is told, and the sockets that it hands over.
//!
//! The protocol of sd_notify(3): lines in a datagram to the socket that `$NOTIFY_SOCKET` names. Whoever has not been
//! started by a service manager has no such variable, and then all this does nothing.

use std::env;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    beat: Option<Duration>,
}

impl Manager {
    pub(crate) fn from_environment() -> Manager {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| connected(&name));
        let number = |name| {
            env::var(name)
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
        };
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|_| is_ours && socket.is_some());
        Manager {
            socket,
            // Twice as often as it must be.
            beat: limit.map(|limit| Duration::from_micros((limit / 2).max(1))),
        }
    }

    /// It serves, and this is how it goes.
    pub(crate) fn ready(&self, status: &str) {
        let status = status.replace('\n', " ");
        self.tell(&format!("READY=1\nSTATUS={status}\n"));
    }

    /// It reads its configuration; `ready` ends that.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let now = now.unwrap_or_default().as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n"));
    }

    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    /// Says in time that it is alive, for ever; without a watchdog it only waits.
    pub(crate) async fn watch(&self) {
        let Some(beat) = self.beat else {
            return std::future::pending().await;
        };
        loop {
            self.tell("WATCHDOG=1\n");
            tokio::time::sleep(beat).await;
        }
    }

    fn tell(&self, lines: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen cannot be told so either.
            let _ = socket.send(lines.as_bytes());
        }
    }
}

/// A socket to the path, or to the abstract name that follows an `@`.
fn connected(name: &OsStr) -> Option<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}
