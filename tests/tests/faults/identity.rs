//! Segments and processes that are not who they seem: another boot, version or user, and reused pids.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};

use tachograph::{Loss, Reader};
use tachograph_tests::eventually;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::worker::PATIENCE;

use crate::stage::{
    BOOT_ID, Operator, VERSION, Victim, assert_says, change_header, counted, is_root, probe,
    snapshot,
};

fn left_by_another(scratch: &Scratch) -> std::path::PathBuf {
    let mut victim = Victim::attached(&scratch.segment());
    victim.count("old_total", 5);
    victim.finish();
    scratch.segment()
}

#[test]
fn a_segment_of_another_boot_is_history() {
    let scratch = Scratch::new();
    let path = left_by_another(&scratch);
    change_header(&path, BOOT_ID, |id| !id);
    let place = path.to_str().unwrap();
    let mut victim = Victim::start();
    let attach = format!("attach path={place}");
    victim.fails(&attach, &[place, "before the last boot", "remove it or"]);
    let operator = Operator::of(&path);
    operator.sees_all();
    assert_eq!(operator.sample("old_total"), Some(5.0));
    let (_, text) = probe(&path, "check");
    assert_says(&text, &["warning", "before the last boot"]);

    victim.must(&format!("{attach} replace_other_boot=true"));
    victim.count("old_total", 2);
    operator.sees_all();
    assert_eq!(operator.sample("old_total"), Some(2.0));
    victim.finish();
}

#[test]
fn another_major_version_is_refused_and_another_minor_one_is_read() {
    let scratch = Scratch::new();
    let path = left_by_another(&scratch);
    let place = path.to_str().unwrap();
    let attach = format!("attach path={place}");
    let mut victim = Victim::start();
    change_header(&path, VERSION, |version| version + 7);
    victim.attach(&path);
    victim.must("check");
    Operator::of(&path).sees_all();
    let (_, text) = probe(&path, "check");
    assert_says(&text, &["1.7"]);

    change_header(&path, VERSION, |version| version + (1 << 32));
    let expected = [place, "2.7", "supports 1.x", "update the older program"];
    let mut newcomer = Victim::start();
    newcomer.fails(&attach, &expected);
    Operator::of(&path).sees_nothing(&expected);

    // A damaged header is another thing.
    change_header(&path, VERSION, |version| version - (1 << 32));
    crate::stage::open(&path).write_all_at(&[1], 9 * 8).unwrap();
    newcomer.fails(&attach, &[place, "checksum", "remove it"]);
    Operator::of(&path).sees_nothing(&[place, "checksum"]);
    newcomer.finish();
    victim.finish();
}

#[test]
fn another_user_is_refused_and_told_what_it_needs() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = left_by_another(&scratch);
    let place = path.to_str().unwrap();
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let attach = format!("attach path={place}");
    let expected = [
        "no permission for",
        place,
        "65534",
        "owner or share a group",
    ];

    // Neither the folder nor the file.
    let mut victim = Victim::below(&nobody);
    victim.fails(&attach, &["no permission for", "65534"]);
    let folder = path.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    victim.fails(&attach, &expected);
    // Readable is not writable.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    victim.fails(&attach, &expected);
    let other = scratch.path("other.seg");
    let create = format!("attach path={}", other.display());
    victim.fails(&create, &["no permission for", folder.to_str().unwrap()]);
    victim.finish();
    assert_eq!(counted(&snapshot(&path), "old_total"), 5.0);
}

#[test]
fn a_process_that_changes_its_user_counts_on() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.segment();
    let mut victim = Victim::attached(&path);
    victim.count("a_total", 5);
    victim.must("gauge level 3");
    victim.must("become 65534");
    victim.must("add a_total 5");
    victim.count("b_total", 6);
    assert_eq!(victim.ask("many c 2000"), "2000");
    victim.must("fork a_total 7");
    let found = snapshot(&path);
    assert_eq!(counted(&found, "a_total"), 17.0);
    assert_eq!(counted(&found, "b_total"), 6.0);
    assert_eq!(found.number("level", &[]), 3.0);
    assert_eq!(found.losses.count(Loss::ForkedWithoutFile), 1);
    let (_, text) = probe(&path, "check");
    assert_says(&text, &["(forked_without_file): 1"]);
    let operator = Operator::of(&path);
    let name =
        "tachograph_registrations_lost_total{segment=\"test\",reason=\"forked_without_file\"}";
    assert_eq!(operator.sample(name), Some(1.0));
    victim.finish();
}

#[test]
fn the_same_pid_in_two_namespaces_is_two_processes() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.segment();
    let namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let [mut one, two] = [3, 4].map(|level| {
        let mut victim = Victim::below(&namespace);
        assert_eq!(victim.ask("pid"), "1");
        victim.attach(&path);
        victim.count("a_total", 100);
        victim.must(&format!("gauge level {level}"));
        victim
    });
    let alive = || {
        let found = snapshot(&path);
        let alive = found.processes.iter().filter(|process| process.alive);
        (alive.map(|process| process.pid).collect::<Vec<_>>(), found)
    };
    let (pids, found) = alive();
    assert_eq!(pids, [1, 1]);
    assert_eq!(counted(&found, "a_total"), 200.0);
    assert_eq!(found.number("level", &[]), 7.0);
    let operator = Operator::of(&path);
    let processes = "tachograph_processes{segment=\"test\",state=\"alive\"}";
    assert_eq!(operator.sample(processes), Some(2.0));
    let (_, text) = probe(&path, "procs");
    assert_eq!(
        text.matches("pid of another namespace").count(),
        2,
        "{text}"
    );

    two.kill();
    eventually("its lock is gone", PATIENCE, || alive().0.len() == 1);
    one.must("add a_total 1");
    let (_, found) = alive();
    assert_eq!(found.number("level", &[]), 3.0);
    assert_eq!(counted(&found, "a_total"), 201.0);
    assert_eq!(operator.sample(processes), Some(1.0));
    one.finish();
}

#[test]
fn a_reused_pid_is_another_process() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.segment();
    let commands = scratch.path("commands");
    let first = format!(
        "attach path={}\ngauge level 3\ncounter a_total\nadd a_total 5\n",
        path.display()
    );
    fs::write(&commands, first).unwrap();
    // Process 1 of the namespace starts one victim, and the next under the same pid.
    let script = r#"
        exec 3<&0
        "$1" <"$0" >"$0.out" & first=$!
        wait $first || exit 1
        echo $((first - 1)) >/proc/sys/kernel/ns_last_pid
        "$1" <&3 & wait $!
    "#;
    let namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let shell = ["sh", "-c", script, commands.to_str().unwrap()];
    let mut victim = Victim::below(&[&namespace[..], &shell].concat());
    let pid = victim.ask("pid");
    let before = snapshot(&path);
    assert_eq!(before.processes.len(), 1);
    assert_eq!(
        before.processes[0].pid.to_string(),
        pid,
        "the pid was not reused"
    );
    assert!(!before.processes[0].alive);
    assert_eq!(before.number("level", &[]), 0.0, "the gauge of the dead");

    victim.attach(&path);
    victim.count("a_total", 6);
    let after = Reader::attach(&path).unwrap().snapshot().unwrap();
    let process = &after.processes[0];
    assert_eq!((after.processes.len(), process.alive), (1, true));
    assert_eq!(process.pid.to_string(), pid);
    assert!(process.generation > before.processes[0].generation);
    assert!(process.attached_unix_nanos > before.processes[0].attached_unix_nanos);
    assert_eq!(counted(&after, "a_total"), 11.0);
    assert_eq!(after.number("level", &[]), 0.0, "the gauge of the dead");
    victim.must("gauge level 9");
    assert_eq!(snapshot(&path).number("level", &[]), 9.0);
    victim.finish();
}
