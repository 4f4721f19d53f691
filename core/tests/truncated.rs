//! A file that is truncated in the middle of a pass.

use std::fs::{self, File};
use std::thread;

use tachograph::{Reader, SegmentOptions};

/// The reader meets zeros where the pages were; they must not come out as values.
#[test]
fn a_snapshot_of_a_truncated_segment_is_whole_or_none() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (sound, path) = (folder.path().join("a.seg"), folder.path().join("b.seg"));
    let options = SegmentOptions::new().path(&sound).cpu_shards(2);
    let options = options.processes(4).series(1024).string_bytes(1 << 16);
    let options = options.counter_cells(4096).process_cells(512);
    let writer = options.histogram_bytes(1 << 16).attach().unwrap();
    let family = writer.counter("a_total", "h").family().unwrap();
    for n in 0..800 {
        family.with(&[("n", &n.to_string())]).unwrap().add(7);
    }
    let mut passes = 0;
    for round in 0..100 {
        fs::copy(&sound, &path).unwrap();
        let mut reader = Reader::attach(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                (0..round * 20_000).for_each(|_| std::hint::spin_loop());
                file.set_len(0).unwrap();
            });
            while let Ok(snapshot) = reader.snapshot() {
                passes += 1;
                let family = snapshot.family("a_total").unwrap();
                let values = family.series().map(|series| series.value);
                let seven = tachograph::ValueView::Number(tachograph::Number::Unsigned(7));
                assert_eq!(values.filter(|value| *value == seven).count(), 800);
            }
        });
        fs::remove_file(&path).unwrap();
    }
    assert!(passes > 0, "every file was truncated before the first pass");
}
