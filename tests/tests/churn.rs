//! Label sets without end in memory that does not grow, through kills.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use tachograph::{Loss, Reader, SegmentOptions, Snapshot};
use tachograph_tests::ack::AckFile;
use tachograph_tests::churn::{self, WORDS};
use tachograph_tests::scratch::Scratch;
use tachograph_tests::worker::{PATIENCE, Worker};
use tachograph_tests::{eventually, long};

const WRITER: &str = env!("CARGO_BIN_EXE_writer");
const PROCESSES: usize = 4;
/// Live sets of each.
const LIVE: u64 = 250;
const LIMIT: Duration = Duration::from_secs(1_700);

fn start(scratch: &Scratch, process: usize, sets: u64) -> Worker {
    let mut arguments = vec![
        "churn".into(),
        "--acks".into(),
        scratch.acks().into_os_string(),
    ];
    arguments.push(format!("--process={process}").into());
    arguments.push(format!("--sets={sets}").into());
    arguments.push(format!("--live={LIVE}").into());
    let mut worker = Worker::start(WRITER, &scratch.segment(), &[], arguments);
    worker.close_input();
    worker
}

/// Memory that the segment takes, and records of series and families that are neither live nor free.
#[derive(Debug)]
struct Taken {
    bytes: u64,
    leaked: i64,
}

fn taken(scratch: &Scratch, snapshot: &Snapshot) -> Taken {
    let tables = snapshot.segment.tables.iter();
    let records = tables.filter(|fill| ["series", "families"].contains(&fill.table));
    let used: u64 = records.map(|fill| fill.used).sum();
    let shown = snapshot.series_count() + snapshot.families().count();
    let known = shown as u64 + snapshot.removals.waiting;
    Taken {
        bytes: std::fs::metadata(scratch.segment()).unwrap().blocks() * 512,
        leaked: used.cast_signed() - known.cast_signed(),
    }
}

/// Whether nothing was lost but what came late to a family that another had removed.
fn is_without_losses(snapshot: &Snapshot) -> bool {
    let mut losses = snapshot.losses.iter();
    losses.all(|(loss, count)| loss == Loss::FamilyRemoved || count == 0)
}

/// Goes through `sets` label sets a process, with or without kills, and judges what is left.
fn churns(sets: u64, kills: bool) {
    let scratch = Scratch::new();
    let acks = AckFile::create(&scratch.acks(), PROCESSES * WORDS).unwrap();
    let mut workers: Vec<Worker> = (0..PROCESSES).map(|at| start(&scratch, at, sets)).collect();
    eventually("a segment is there", PATIENCE, || {
        Reader::attach(scratch.segment()).is_ok()
    });
    let mut reader = Reader::attach(scratch.segment()).unwrap();
    let added = |at: usize| acks.acked(at * WORDS);
    let progress = || (0..PROCESSES).map(added).min().unwrap_or(0);
    let mut warm = None;
    let mut killed = 0i64;
    eventually("all sets are used", LIMIT, || {
        // A scrape in the middle of it finds nothing that makes no sense.
        let snapshot = reader.snapshot().unwrap();
        assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
        if warm.is_none() && progress() > sets / 4 {
            warm = Some((killed, taken(&scratch, &snapshot)));
        }
        let at = fastrand::usize(..PROCESSES);
        if kills && added(at) < sets {
            let ended = workers.swap_remove(at).kill();
            assert!(
                ended.signal().is_some() || ended.success(),
                "a worker failed: {ended:?}"
            );
            killed += 1;
            workers.push(start(&scratch, at, sets));
            let last = workers.len() - 1;
            workers.swap(at, last);
        }
        progress() >= sets
    });
    workers
        .into_iter()
        .for_each(|worker| worker.finish(PATIENCE));
    let writer = SegmentOptions::new()
        .path(scratch.segment())
        .attach()
        .unwrap();
    writer.sweep().unwrap();
    let snapshot = reader.snapshot().unwrap();
    churn::judge(&snapshot, PROCESSES, sets, LIVE).unwrap();
    assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
    assert!(is_without_losses(&snapshot), "{:?}", snapshot.losses);
    assert_eq!(snapshot.removals.waiting, 0, "{:?}", snapshot.removals);
    let (warm_kills, warm) = warm.expect("a quarter of the way was seen");
    let end = taken(&scratch, &snapshot);
    eprintln!(
        "{killed} kills, {warm:?}, then {end:?}, {:?}",
        snapshot.removals
    );
    assert!(
        (-killed..=killed).contains(&end.leaked),
        "{killed} kills, {end:?}"
    );
    assert!(kills || end.leaked == 0, "{end:?}");
    // A kill may cost a record with its label set and cells; memory is taken in pieces of 64 KiB.
    let pieces = if kills {
        4 + (killed - warm_kills).cast_unsigned() / 16
    } else {
        0
    };
    assert!(
        end.bytes <= warm.bytes + pieces * 65_536,
        "{warm:?}, then {end:?}"
    );
}

#[test]
fn memory_stays_as_it_is() {
    churns(if long() { 500_000 } else { 10_000 }, false);
}

#[test]
fn kills_cost_one_record_at_most() {
    churns(if long() { 2_500_000 } else { 50_000 }, true);
}
