//! The pictures of the documents, from the real screen. Made again by
//! `cargo test --release -p tachograph-probe --test screen pictures -- --ignored`.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::{Busy, Terminal, probe};
use crate::svg::svg;

fn save(terminal: &Terminal, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    fs::create_dir_all(&folder).unwrap();
    let picture = terminal.with_screen(svg);
    fs::write(folder.join(name).with_extension("svg"), picture).unwrap();
}

#[test]
#[ignore = "writes the pictures of the documents; takes a minute"]
fn pictures() {
    let busy = Busy::new();
    let mut top = busy.top(110, 24, &["-i", "500ms"]);
    thread::sleep(Duration::from_secs(32));
    top.press("jj");
    thread::sleep(Duration::from_secs(1));
    save(&top, "top");
    drop(top);
    let mut series = busy.top(90, 62, &["http_request_duration*", "-i", "500ms"]);
    thread::sleep(Duration::from_secs(20));
    series.press("\r");
    series.wait_for("by shard");
    thread::sleep(Duration::from_secs(1));
    save(&series, "series");
    drop(series);
    let path = busy.path.to_str().unwrap();
    let hist = probe(&["hist", "http_request_duration*", "--segment", path]);
    let mut hist = Terminal::start(hist, 90, 40);
    assert!(hist.end().success());
    save(&hist, "hist");
}
