//! What the host refuses is an error value or a counted loss, never a signal.

#[expect(unreachable_pub, reason = "the tests across processes use it too")]
mod skip;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use tachograph::{Error, Loss, Reader, SegmentOptions, ValueView};

/// Runs the ignored test `name` of this file in a process of its own, prepared by a shell command.
fn in_process(prepare: &str, name: &str, folder: &Path) {
    let this = std::env::current_exe().unwrap();
    let script = format!("{prepare} && exec \"$0\" --ignored --exact {name}");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(&this)
        .env("TACHOGRAPH_TEST_FOLDER", folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{output:?}"
    );
}

fn options() -> SegmentOptions {
    let folder = std::env::var_os("TACHOGRAPH_TEST_FOLDER").expect("started by another test");
    SegmentOptions::new().path(Path::new(&folder).join("a.seg"))
}

#[test]
fn a_file_size_limit_is_an_error() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    in_process("ulimit -f 100", "below_a_file_size_limit", folder.path());
}

#[test]
#[ignore = "runs in a process with a file-size limit"]
fn below_a_file_size_limit() {
    let refused = options().attach().map(drop);
    assert!(
        matches!(refused, Err(Error::FileSizeLimit { .. })),
        "{refused:?}"
    );
}

/// A tmpfs in a mount namespace of its own; where even that is refused, the test says so.
fn on_small_tmpfs(size: &str, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mount = format!(
        "exec unshare --mount --map-root-user sh -c 'mount -t tmpfs -o size={size} tmpfs \"$TACHOGRAPH_TEST_FOLDER\" && exec \"$0\" --ignored --exact {name}' \"$0\""
    );
    let can_mount = Command::new("unshare")
        .args([
            "--mount",
            "--map-root-user",
            "mount",
            "-t",
            "tmpfs",
            "tmpfs",
            "/mnt",
        ])
        .status();
    if !can_mount.is_ok_and(|status| status.success()) {
        skip::skip("this user cannot mount a tmpfs");
        return;
    }
    in_process(&mount, name, folder.path());
}

#[test]
fn a_full_file_system_at_creation_is_an_error() {
    on_small_tmpfs("256k", "creating_on_a_full_file_system");
}

#[test]
#[ignore = "runs on a small tmpfs"]
fn creating_on_a_full_file_system() {
    let refused = options().attach().map(drop);
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
}

#[test]
fn a_full_file_system_later_is_counted() {
    on_small_tmpfs("2m", "registering_on_a_full_file_system");
}

#[test]
#[ignore = "runs on a small tmpfs"]
fn registering_on_a_full_file_system() {
    let writer = options().attach().unwrap();
    let first = writer.counter("first_total", "h").register().unwrap();
    for index in 0..200 {
        let histogram = writer
            .histogram(&format!("h{index}"), "h")
            .register()
            .unwrap();
        histogram.record(1);
        let counter = writer
            .counter("c_total", "h")
            .label("n", index.to_string())
            .register()
            .unwrap();
        counter.inc();
        first.inc();
    }
    let refused = writer.histogram("last", "h").try_register().map(drop);
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    let path = options().attach().unwrap().snapshot().unwrap().segment.path;
    let snapshot = Reader::attach(path).unwrap().snapshot().unwrap();
    assert_eq!(snapshot.number("first_total", &[]), 200.0);
    let counted: f64 = (0..200)
        .map(|n| snapshot.number("c_total", &[("n", &n.to_string())]))
        .sum();
    let overflow = snapshot.number("c_total", &[("n", "__other__")]);
    let lost = snapshot.losses.count(Loss::LostCounter);
    assert_eq!(
        counted + overflow,
        200.0 - f64::from(u32::try_from(lost).unwrap())
    );
    let series = snapshot.families().flat_map(|view| view.series());
    let recorded: u64 = series
        .map(|view| match view.value {
            ValueView::Histogram(histogram) => histogram.count(),
            _ => 0,
        })
        .sum();
    assert_eq!(recorded + snapshot.losses.count(Loss::LostHistogram), 200);
    assert!(recorded > 0, "some histograms had room");
    assert!(snapshot.losses.count(Loss::NoSpace) > 0);
}

#[test]
fn the_last_pages_of_a_file_system_are_used() {
    on_small_tmpfs("2m", "registering_in_the_last_pages");
}

#[test]
#[ignore = "runs on a small tmpfs"]
fn registering_in_the_last_pages() {
    const PAGES: u64 = 8;
    let writer = options().attach().unwrap();
    let filler = Path::new(&std::env::var_os("TACHOGRAPH_TEST_FOLDER").unwrap()).join("filler");
    let mut file = File::create(&filler).unwrap();
    let mut pages = 0;
    while file.write_all(&[1; 4096]).is_ok() {
        pages += 1;
    }
    file.set_len((pages - PAGES) * 4096).unwrap();
    // Fewer pages than are taken at a time where there is room.
    let counter = writer.counter("a_total", "h").try_register().unwrap();
    counter.add(7);
    assert_eq!(writer.snapshot().unwrap().number("a_total", &[]), 7.0);
}
