//! What a service manager does with the exporter, played by the test.

mod common;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Exporter, command, get_unix};

/// The next message, as lines.
fn hear(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("a message");
    let text = std::str::from_utf8(&buffer[..length]).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// An exporter to start, and the socket on which it says how it goes.
fn notified(folder: &Path) -> (UnixDatagram, Command) {
    let path = folder.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut command = command();
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", path);
    (socket, command)
}

#[test]
fn it_says_how_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, command) = notified(folder.path());
    let mut exporter = Exporter::spawn(command, 1);
    let ready = hear(&socket);
    let address = &exporter.addresses[0];
    assert_eq!(ready, ["READY=1", &format!("STATUS=serves {address}")]);

    exporter.signal("HUP");
    let reloading = hear(&socket);
    assert_eq!(reloading[0], "RELOADING=1");
    let time = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 0);
    let ready = hear(&socket);
    assert_eq!(ready, ["READY=1", "STATUS=the configuration was read anew"]);

    exporter.signal("TERM");
    assert_eq!(hear(&socket), ["STOPPING=1"]);
    assert_eq!(exporter.wait().code(), Some(0));
}

#[test]
fn it_feeds_the_watchdog() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, mut command) = notified(folder.path());
    command.env("WATCHDOG_USEC", "200000");
    let _exporter = Exporter::spawn(command, 1);
    assert_eq!(hear(&socket)[0], "READY=1");
    for _ in 0..3 {
        assert_eq!(hear(&socket), ["WATCHDOG=1"]);
    }
}

#[test]
fn it_serves_on_the_sockets_that_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    // The shell is the manager: it puts the sockets where they belong and becomes the exporter.
    let script = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\"";
    let mut manager = Command::new("sh");
    manager
        .args(["-c", script])
        .arg(command().get_program())
        .env("TACHOGRAPH_SEGMENT", "/nonexistent/tachograph/test.seg")
        .stdin(Stdio::from(OwnedFd::from(tcp)))
        .stdout(Stdio::from(OwnedFd::from(unix)));
    let mut exporter = Exporter::spawn(manager, 2);
    assert_eq!(exporter.addresses[0], format!("http://{address}/metrics"));
    assert_eq!(exporter.addresses[1], format!("unix:{}", path.display()));
    assert_eq!(exporter.get("/-/healthy").status, 200);
    assert_eq!(get_unix(&path, "/-/healthy").status, 200);
    exporter.signal("TERM");
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(path.exists(), "the manager's socket was removed");
}
