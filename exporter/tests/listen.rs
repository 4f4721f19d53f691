//! Addresses and unix sockets.

mod common;

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Output;

use common::{Exporter, command, get_unix};

fn fails(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = command().args(arguments).output().unwrap();
    assert_eq!(status.code(), Some(1));
    let message = String::from_utf8(stderr).unwrap();
    assert!(
        message.starts_with("tachograph-exporter: cannot listen on "),
        "{message}"
    );
    message
}

#[test]
fn several_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let unix = format!("unix:{}", path.display());
    let mut command = command();
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "localhost:0",
        "--listen",
        &unix,
    ]);
    let mut exporter = Exporter::spawn(command, 3);
    assert_eq!(exporter.addresses[2], unix);
    assert_ne!(exporter.addresses[0], exporter.addresses[1]);
    assert_eq!(exporter.get("/-/healthy").status, 200);
    assert_eq!(get_unix(&path, "/metrics").status, 200);
    exporter.signal("TERM");
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(!path.exists(), "the socket stays behind");
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    drop(UnixListener::bind(&path).unwrap());
    let mut command = command();
    command.args(["--listen", &format!("unix:{}", path.display())]);
    let exporter = Exporter::spawn(command, 1);
    assert_eq!(get_unix(&path, "/-/healthy").status, 200);
    drop(exporter);
}

#[test]
fn what_is_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let address = format!("unix:{}", path.display());

    let listener = UnixListener::bind(&path).unwrap();
    assert!(fails(&["--listen", &address]).contains("another program answers"));
    assert!(path.exists());
    drop(listener);

    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert!(fails(&["--listen", &address]).contains("is not a socket"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let exporter = Exporter::start::<&str>(&[]);
    assert!(fails(&["--listen", exporter.host()]).contains("in use"));
}

#[test]
fn a_socket_that_another_took_over_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let mut command = command();
    command.args(["--listen", &format!("unix:{}", path.display())]);
    let mut exporter = Exporter::spawn(command, 1);
    fs::remove_file(&path).unwrap();
    let _listener = UnixListener::bind(&path).unwrap();
    exporter.signal("TERM");
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(path.exists());
}
