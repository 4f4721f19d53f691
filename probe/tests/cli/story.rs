//! The incident of `docs/OPERATIONS.md`: played, and looked at with every command that is written there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{folder, run};

/// A program that is ended with the test, and whose children end with the group.
struct Shop(Child);

impl Drop for Shop {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

fn open_shop(segment: &Path) -> Shop {
    use std::os::unix::process::CommandExt as _;
    let probe = PathBuf::from(env!("CARGO_BIN_EXE_tachograph-probe"));
    let program = probe.parent().unwrap().join("examples/incident");
    let mut shop = Command::new(program);
    shop.env("TACHOGRAPH_SEGMENT", segment).process_group(0);
    Shop(
        shop.stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    )
}

/// The lines of the story that a person would type.
fn typed() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATIONS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let story = text.split("\n## An incident").nth(1).unwrap();
    let story = story.split("\n## ").next().unwrap();
    let lines = story.lines().filter_map(|line| line.strip_prefix("$ "));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_incident_is_found_as_the_document_says() {
    let folder = folder();
    let segment = folder.path().join("shop.seg");
    let _shop = open_shop(&segment);
    let shell = |line: &str| {
        let probe = Path::new(env!("CARGO_BIN_EXE_tachograph-probe"));
        let path = format!("{}:/usr/bin:/bin", probe.parent().unwrap().display());
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(folder.path())
            .env("PATH", path);
        command
            .env("TACHOGRAPH_SEGMENT", &segment)
            .env("LC_ALL", "C.UTF-8");
        run(command)
    };
    // The shop opens, then the label explodes and the third worker dies.
    while !segment.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let trouble = "tachograph-probe watch -q -i 100ms --timeout 60s --until 'processes() == 2' \
        --until 'shop_cart_updates_total{cart=\"__other__\"} > 50'";
    assert_eq!(shell(trouble).code, Some(0));
    let typed = typed();
    assert!(typed.len() >= 10, "{typed:?}");
    for line in &typed {
        // Nobody rolls a release back here.
        if line.contains("--until") {
            let soon = line.replace("5s", "2s").replace("10m", "2s");
            assert_eq!(shell(&soon).code, Some(3), "{line}");
            continue;
        }
        let run = shell(line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        assert!(!run.stdout.is_empty() || line.contains("--svg") || line.contains("--output"));
    }
    let doctor = shell("tachograph-probe doctor").stdout;
    assert!(
        doctor.contains("shop_cart_updates_total folded "),
        "{doctor}"
    );
    assert!(doctor.contains("label `cart` has 200 values"), "{doctor}");
    assert!(
        doctor.contains("1 process has ended: shop-worker-3 ("),
        "{doctor}"
    );
    let slow = "tachograph-probe watch -q -i 200ms --timeout 60s --until \
        'p99(shop_request_duration_seconds{path=\"/pay\"}) > 500ms'";
    assert_eq!(shell(slow).code, Some(0));
    for made in ["before.json.gz", "pay.svg"] {
        assert!(folder.path().join(made).exists(), "{made}");
    }
}
