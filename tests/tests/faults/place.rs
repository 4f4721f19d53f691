//! The place of the segment: full, without inodes, read-only, on disk, absent, or not a file at all.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::mount::MsFlags;
use tachograph::Loss;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server;
use tachograph_tests::worker::PATIENCE;

use crate::stage::{
    Operator, Tmpfs, VICTIM, Victim, assert_says, counted, fill, free_bytes, is_root, mount,
    own_mounts, probe, snapshot,
};

#[test]
fn a_file_system_of_one_mebibyte_fills_up_and_counts_on() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let tmpfs = Tmpfs::new(scratch.path("full"), "size=1m");
    let path = &tmpfs.segment;
    let tiny = Tmpfs::new(scratch.path("tiny"), "size=256k");
    // The default capacities do not fit into a quarter of it.
    let mut victim = Victim::start();
    let reasons = ["no room", "enlarge the tmpfs"];
    let attach = format!("attach path={}", tiny.segment.display());
    victim.fails(
        &attach,
        &[&[tiny.segment.to_str().unwrap()], &reasons[..]].concat(),
    );
    let expected = [&[path.to_str().unwrap()], &reasons[..]].concat();
    victim.must(&format!("attach size=small path={}", path.display()));
    victim.count("old_total", 100);
    fill(path.parent().unwrap(), 0).unwrap();
    let operator = Operator::of(path);

    // 4 KiB blocks of counters: at most what is left of the first one.
    let series: u32 = victim.ask("many new 2000").parse().unwrap();
    assert!((1..2000).contains(&series), "{series} of 2000");
    victim.must("kinds new");
    victim.must("add old_total 100");
    victim.must("fork old_total 100");
    victim.fails("try refused_total", &expected);

    let found = snapshot(path);
    assert_eq!(counted(&found, "old_total"), 300.0);
    let lost = found.losses.count(Loss::LostCounter);
    assert_eq!(counted(&found, "new_total") + lost as f64, 2000.0);
    let no_space = found.losses.count(Loss::NoSpace);
    assert!(no_space >= 2000 - u64::from(series), "{no_space}");
    let name = "tachograph_registrations_lost_total{segment=\"test\",reason=\"no_space\"}";
    assert_eq!(operator.sample(name), Some(no_space as f64));
    assert_eq!(operator.sample("old_total"), Some(300.0));
    let (code, text) = probe(path, "check");
    assert_eq!(code, 0);
    let expected = format!("(no_space): {no_space}");
    assert!(text.contains(&expected), "{text}");
    victim.must("check");
    victim.finish();
}

#[test]
fn creation_with_any_number_of_free_pages_works_or_fails_by_an_error() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let tmpfs = Tmpfs::new(scratch.path("full"), "size=1m");
    let (folder, path) = (&tmpfs.folder, &tmpfs.segment);
    let mut victim = Victim::start();
    let attach = format!("attach size=small path={}", path.display());
    let (mut refused, mut pages) = (0, 0);
    let empty = free_bytes(folder);
    loop {
        let filler = fill(folder, pages * 4096).expect("the file system is empty");
        pages += 1;
        let answer = victim.ask(&attach);
        fs::remove_file(filler).unwrap();
        if answer == "ok" {
            break;
        }
        assert!(answer.contains("no room for") && !path.exists(), "{answer}");
        refused += 1;
        // A process that another test starts at this moment has our descriptors until it runs its program.
        tachograph_tests::eventually("a removed file gives its room back", PATIENCE, || {
            free_bytes(folder) == empty
        });
    }
    eprintln!("refused with 0 to {} free pages", refused - 1);
    assert!(refused > 10, "refused {refused} times");
    victim.count("a_total", 5);
    assert_eq!(counted(&snapshot(path), "a_total"), 5.0);
    victim.finish();
}

#[test]
fn a_file_system_without_inodes_refuses_new_segments_only() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let tmpfs = Tmpfs::new(scratch.path("full"), "size=4m,nr_inodes=3");
    let path = &tmpfs.segment;
    let mut victim = Victim::start();
    victim.must(&format!("attach size=small path={}", path.display()));
    victim.count("a_total", 5);
    fs::write(path.with_extension("taken"), "").unwrap();
    let other = path.with_extension("other");
    let mut newcomer = Victim::start();
    let folder = path.parent().unwrap().to_str().unwrap();
    newcomer.fails(
        &format!("attach size=small path={}", other.display()),
        &[folder, "another file", "nr_inodes="],
    );
    newcomer.attach(path);
    newcomer.count("a_total", 6);
    victim.must("kinds a");
    victim.must("fork a_total 7");
    assert_eq!(counted(&snapshot(path), "a_total"), 18.0);
    victim.finish();
    newcomer.finish();
}

#[test]
fn a_read_only_mount_is_read_and_not_written() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let tmpfs = Tmpfs::new(scratch.path("mounted"), "size=8m");
    let (folder, path) = (&tmpfs.folder, &tmpfs.segment);
    Victim::attached(path).finish();
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None, folder, flags, Some("size=8m"));
    let mut victim = Victim::start();
    let place = path.to_str().unwrap();
    let expected = [place, "read-only", "another path"];
    victim.fails(&format!("attach path={place}"), &expected);
    let other = folder.join("other.seg");
    victim.fails(
        &format!("attach path={}", other.display()),
        &[folder.to_str().unwrap(), "read-only"],
    );
    Operator::of(path).sees_all();
    victim.finish();
}

#[test]
fn a_host_without_dev_shm_is_told_what_to_do() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let tmpfs = Tmpfs::new(scratch.path("dev"), "size=1m");
    let dev = tmpfs.folder.to_str().unwrap();
    let null = tmpfs.folder.join("null");
    fs::write(&null, "").unwrap();
    mount(Some(Path::new("/dev/null")), &null, MsFlags::MS_BIND, None);
    let script = "unset TACHOGRAPH_SEGMENT; mount --rbind \"$0\" /dev && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", script, dev];

    let mut victim = Victim::below(&wrapper);
    let expected = ["/dev/shm/tachograph-0", "make it", "TACHOGRAPH_SEGMENT"];
    victim.fails("attach", &expected);
    victim.finish();
    let mut probe = Command::new(wrapper[0]);
    probe.args(&wrapper[1..]);
    probe.arg(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
    probe.arg("check");
    let output = server::run(probe, "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_says(&text, &["no segment at /dev/shm/tachograph-0/default.seg"]);
}

#[test]
fn a_disk_is_refused_by_name() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kind = Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(folder.path())
        .output();
    let kind = String::from_utf8(kind.unwrap().stdout).unwrap();
    if kind.trim() == "tmpfs" {
        tachograph_tests::skip("the build's folder is no disk");
        return;
    }
    let path = folder.path().join("test.seg");
    let mut victim = Victim::start();
    let attach = format!("attach path={}", path.display());
    victim.fails(&attach, &[folder.path().to_str().unwrap(), "use a tmpfs"]);
    if kind.trim() == "ext2/ext3" {
        victim.fails(&attach, &["ext4"]);
    }
    victim.must(&format!("{attach} size=small allow_disk=true"));
    victim.count("a_total", 5);
    victim.must("kinds a");
    assert_eq!(counted(&snapshot(&path), "a_total"), 5.0);
    // Truncation is survived there too.
    crate::stage::open(&path).set_len(0).unwrap();
    victim.must("add a_total 5");
    victim.must("kinds b");
    victim.finish();
}

#[test]
fn a_planted_link_or_folder_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let (target, link) = (scratch.path("target"), scratch.segment());
    fs::write(&target, "precious").unwrap();
    symlink(&target, &link).unwrap();
    let folder = scratch.path("folder.seg");
    fs::create_dir(&folder).unwrap();
    let mut victim = Victim::start();
    for (path, reason) in [
        (&link, "symbolic link"),
        (&folder, "folder; name a file in it"),
    ] {
        let place = path.to_str().unwrap();
        victim.fails(&format!("attach path={place}"), &[place, reason]);
    }
    Operator::of(&link).sees_nothing(&[link.to_str().unwrap(), "symbolic link"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    // The dangling link of an attacker is not created through either.
    fs::remove_file(&target).unwrap();
    let place = link.to_str().unwrap();
    victim.fails(&format!("attach path={place}"), &[place, "symbolic link"]);
    assert!(!target.exists());
    victim.finish();
}

#[test]
fn a_folder_in_the_environment_is_told_of() {
    let scratch = Scratch::new();
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    let mut command = Command::new(VICTIM);
    command.env("TACHOGRAPH_SEGMENT", &folder);
    let mut victim = Victim::spawn(command);
    let file = folder.join("default.seg");
    victim.fails(
        "attach",
        &[
            folder.to_str().unwrap(),
            "it is a folder",
            file.to_str().unwrap(),
        ],
    );
    victim.attach(&file);
    victim.count("a_total", 5);
    // The readers look into it.
    Operator::of(&folder).sees_all();
    let mut probe = Command::new(server::program("tachograph-probe", "TACHOGRAPH_PROBE"));
    probe.arg("check").env("TACHOGRAPH_SEGMENT", &folder);
    let output = server::run(probe, "");
    assert!(output.status.success(), "{output:?}");
    victim.finish();
}

#[test]
fn a_umask_takes_nothing_away() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path("shared").join("test.seg");
    let mut victim = Victim::below(&["sh", "-c", "umask 077 && exec \"$0\""]);
    victim.must(&format!("attach group=12345 path={}", path.display()));
    let of = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.permissions().mode() & 0o7777, found.gid())
    };
    assert_eq!(of(&path), (0o660, 12345));
    assert_eq!(of(path.parent().unwrap()), (0o2770, 12345));
    victim.count("a_total", 5);
    victim.finish();
}

#[test]
fn control_mounts_of_a_test_are_its_own() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let folder = scratch.path("mounted");
    fs::create_dir(&folder).unwrap();
    std::thread::spawn({
        let folder = folder.clone();
        move || {
            own_mounts();
            mount(None, &folder, MsFlags::empty(), Some("size=1m"));
            fs::write(folder.join("inside"), "").unwrap();
        }
    })
    .join()
    .unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}
