//! The read side: a read-only mapping, checked on every pass, turned into a [`Snapshot`].
//!
//! A reader trusts nothing in the segment: offsets, counts, states and texts are checked before they are
//! used, loops are bounded by the tables' capacities, and what makes no sense is skipped and named. It
//! writes nothing, and touches no page that has no memory.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::by_process::ByProcess;
use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::layout::{Section, family, header, process, sink};
use crate::loss::{Loss, Losses};
use crate::memory;
use crate::missing::Missing;
use crate::process as slots;
use crate::proof::pause;
use crate::segment::Segment;
use crate::snapshot::{Process, Refused, Removals, SegmentInfo, Snapshot, TableFill, Value};
use crate::split::Split;
use crate::sync::{AtomicU64, Ordering};
use crate::values::{self, Living, Pass};
use crate::{create, lock, refusal};

/// A segment mapped for reading.
#[derive(Debug)]
pub struct Reader {
    segment: Segment,
    catalogue: Catalogue,
    counter_sums: Vec<u64>,
    missing: Missing,
}

impl Reader {
    /// Maps the segment at `path` for reading.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Permission`], [`Error::NotASegment`], [`Error::Version`] and
    /// [`Error::Io`]. A segment of another boot is history, and readable.
    pub fn attach(path: impl AsRef<Path>) -> Result<Reader, Error> {
        Ok(Reader::new(create::attach_read_only(path.as_ref())?))
    }

    /// Tells gauges and state sets of these names process by process, as those of [`crate::GaugeMode::Each`] are, in
    /// place of what their mode makes of it. What has one value for all, as lasting ones have, stays.
    ///
    /// ```
    /// use tachograph::{GaugeMode, Reader, SegmentOptions, ValueView};
    ///
    /// let path = format!("/dev/shm/by-process-{}.seg", std::process::id());
    /// let writer = SegmentOptions::new().path(&path).attach()?;
    /// writer.gauge("waiting_requests", "In the queue").register()?.set(3);
    ///
    /// let mut reader = Reader::attach(&path)?.by_process(|name| name.starts_with("waiting_"));
    /// let snapshot = reader.snapshot()?;
    /// let Some(ValueView::Each(values)) = snapshot.value("waiting_requests", &[]) else { panic!() };
    /// assert_eq!((values[0].pid, values[0].value.as_f64()), (std::process::id(), 3.0));
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), tachograph::Error>(())
    /// ```
    #[must_use]
    pub fn by_process(mut self, names: impl Fn(&str) -> bool + Send + Sync + 'static) -> Reader {
        self.catalogue = Catalogue::new();
        self.catalogue.by_process = ByProcess::new(names);
        self
    }

    /// A reader of a writer's own segment, with a description of its own of the same file: through the
    /// writer's the process's own lock would not show.
    pub(crate) fn of_writer(segment: &Segment) -> Result<Reader, Error> {
        let Some(file) = segment.file() else {
            return Ok(Reader::new(segment.share_heap()));
        };
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        create::attach_descriptor(&path, &segment.path).map(Reader::new)
    }

    fn new(segment: Segment) -> Reader {
        Reader {
            segment,
            catalogue: Catalogue::new(),
            counter_sums: Vec::new(),
            missing: Missing::default(),
        }
    }

    /// Whether the path still names this segment: false once it was replaced or removed.
    pub fn is_current(&self) -> bool {
        match self.segment.file() {
            Some(file) => create::is_same_file(file, &self.segment.path),
            None => true,
        }
    }

    /// The values of this moment.
    ///
    /// # Errors
    /// [`Error::Changed`] where the file was truncated: attach again.
    pub fn snapshot(&mut self) -> Result<Snapshot, Error> {
        self.segment.check()?;
        let snapshot = if self.refresh().map_err(|error| self.changed(&error))? {
            self.pass(None)
        } else {
            if memory::was_taken(&self.segment) {
                self.missing.note_taken();
            }
            self.pass_over_copies()
                .map_err(|error| self.changed(&error))?
        };
        self.segment.check()?;
        Ok(snapshot)
    }

    /// What the value of one series is made of at this moment; labels in any order. `None` where there is no
    /// such series, or the file has holes where it should not.
    ///
    /// # Errors
    /// [`Error::Changed`] where the file was truncated: attach again.
    pub fn split(&mut self, name: &str, labels: &[(&str, &str)]) -> Result<Option<Split>, Error> {
        self.segment.check()?;
        if !self.refresh().map_err(|error| self.changed(&error))? {
            return Ok(None);
        }
        let place = self.catalogue.directory.place(name, labels);
        let Some(source) = place.and_then(|place| self.catalogue.sources().nth(place)) else {
            return Ok(None);
        };
        let (_, living) = self.processes(&self.segment);
        let pass = Pass {
            segment: &self.segment,
            later: &self.segment,
            counter_sums: &[],
            living: &living,
            bucket_counts: Vec::new(),
        };
        let split = pass.split(&source);
        self.segment.check()?;
        Ok(Some(split))
    }

    /// Finds what has memory and brings the directory up to date; false where the file has holes instead.
    fn refresh(&mut self) -> std::io::Result<bool> {
        if !memory::look(&mut self.segment)? {
            return Ok(false);
        }
        pause("reader-looked");
        if self.catalogue.is_stale(&self.segment) {
            // What was published until now has memory below the marks of this look.
            if !memory::look(&mut self.segment)? {
                return Ok(false);
            }
            self.catalogue.rebuild(&self.segment);
            // Nothing else reads them.
            self.segment.let_go(Section::Strings);
            self.segment.let_go(Section::Series);
        }
        Ok(true)
    }

    /// The values of a file with holes.
    fn pass_over_copies(&mut self) -> std::io::Result<Snapshot> {
        let copy = memory::copy(&self.segment)?;
        let later = memory::copy_again(&self.segment, &copy)?;
        Ok(self.pass_over(copy, &later))
    }

    fn pass_over(&mut self, copy: Segment, later: &Segment) -> Snapshot {
        let mapped = std::mem::replace(&mut self.segment, copy);
        if self.catalogue.is_stale(&self.segment) {
            self.catalogue.rebuild(&self.segment);
        }
        let snapshot = self.pass(Some(later));
        self.segment = mapped;
        snapshot
    }

    /// What is read `later` says whether what was read before still stands: the same segment, or a later copy.
    fn pass(&mut self, later: Option<&Segment>) -> Snapshot {
        let later = later.unwrap_or(&self.segment);
        let time_unix_nanos = crate::host::now_unix_nanos();
        let (processes, living) = self.processes(later);
        let directory = Arc::clone(&self.catalogue.directory);
        // Before the cells: what an exemplar tells is counted.
        let mut exemplars = values::exemplars(&self.segment, &self.catalogue);
        self.missing.keep(&mut self.counter_sums);
        values::sum_counter_cells(later, &mut self.counter_sums);
        let mut pass = Pass {
            segment: &self.segment,
            later,
            counter_sums: &self.counter_sums,
            living: &living,
            bucket_counts: Vec::new(),
        };
        let mut values = Vec::with_capacity(self.catalogue.series_count());
        for (family, sources) in self.catalogue.families() {
            values.extend(sources.map(|source| pass.value(family, &source)));
        }
        let bucket_counts = pass.bucket_counts;
        for removed in self.catalogue.removed_since(later) {
            values[removed] = Value::Absent;
        }
        exemplars.retain(|&(series, _)| values[series] != Value::Absent);
        let sources = self.catalogue.sources().zip(&values);
        self.missing
            .compare(&directory, sources, &self.counter_sums);
        Snapshot {
            time_unix_nanos,
            segment: self.info(),
            values,
            bucket_counts,
            exemplars,
            overflowed: self.overflowed(),
            refused: self.refused(),
            directory,
            processes,
            losses: self.losses(),
            removals: self.removals(),
            damage: [&self.catalogue.damage[..], self.missing.damage()].concat(),
        }
    }

    fn changed(&self, reason: &dyn std::fmt::Display) -> Error {
        self.segment.changed(&reason.to_string())
    }

    /// Every process in the table, and a copy of the own cells of those that live.
    fn processes(&self, later: &Segment) -> (Vec<Process>, Vec<Living>) {
        let mut processes = Vec::new();
        let mut living = Vec::new();
        let words = self.segment.committed_words(Section::Processes);
        let capacity = crate::layout::to_usize(self.segment.extent(Section::Processes).capacity);
        for (slot, words) in (0u32..).zip(words.chunks_exact(process::WORDS).take(capacity)) {
            let Some((before, mut process)) = slots::read(words, slot) else {
                continue;
            };
            process.alive = match self.segment.file() {
                Some(file) => self.segment.this_boot && lock::is_alive(file, &self.segment, slot),
                None => true,
            };
            if process.alive {
                living.extend(Living::copy(&self.segment, later, &process, before));
                process.holds_removed = self.catalogue.waiting_for(&self.segment, slot);
            }
            processes.push(process);
        }
        (processes, living)
    }

    fn removals(&self) -> Removals {
        let count = |word: usize| self.segment.words()[word].load(Ordering::Relaxed);
        Removals {
            removed: count(header::REMOVED),
            reclaimed: count(header::RECLAIMED),
            waiting: self.catalogue.waiting.len() as u64,
            untracked: count(header::UNTRACKED),
        }
    }

    /// The record of each family of the directory.
    fn family_words(&self) -> impl Iterator<Item = Option<&[AtomicU64]>> {
        let records = self.catalogue.family_records();
        records.map(|record| self.segment.entry(Section::Families, record, family::WORDS))
    }

    fn overflowed(&self) -> Vec<u64> {
        let count = |words: &[AtomicU64]| words[family::OVERFLOWED].load(Ordering::Relaxed);
        let records = self.family_words();
        records.map(|words| words.map_or(0, count)).collect()
    }

    fn refused(&self) -> Vec<(usize, Refused)> {
        let records = self.family_words().enumerate();
        let refused = records.filter_map(|(at, words)| Some((at, refusal::read(words?)?)));
        refused.collect()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a lost amount, saturating"
    )]
    fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        for loss in Loss::ALL {
            let word = &self.segment.words()[header::LOSSES + loss as usize];
            losses.counts[loss as usize] = word.load(Ordering::Relaxed);
        }
        let sink = |cell: usize| self.counter_sums.get(cell).copied().unwrap_or(0);
        let floats = self
            .segment
            .committed_words(Section::Counters)
            .iter()
            .skip(sink::COUNTER_F64)
            .step_by(crate::layout::PAGE_WORDS)
            .take(self.segment.layout.shards());
        let floats: f64 = floats
            .map(|word| f64::from_bits(word.load(Ordering::Relaxed)))
            .sum();
        losses.counts[Loss::LostCounter as usize] =
            sink(sink::COUNTER).saturating_add(floats as u64);
        losses.counts[Loss::LostHistogram as usize] = sink(sink::HISTOGRAM + 1);
        losses
    }

    fn info(&self) -> SegmentInfo {
        let identity = &self.segment.identity;
        SegmentInfo {
            path: self.segment.path.clone(),
            instance: identity.instance,
            created_unix_nanos: identity.created_unix_nanos,
            version: identity.version,
            this_boot: self.segment.this_boot,
            cpu_shards: self.segment.layout.cpu_shards,
            fallback_shards: self.segment.layout.fallback_shards,
            bytes: self.segment.layout.words as u64 * 8,
            tables: Section::ALL
                .into_iter()
                .map(|section| self.fill(section))
                .collect(),
        }
    }

    /// How full a table is. An index is as full as its table lets it be: at most half.
    fn fill(&self, section: Section) -> TableFill {
        let extent = self.segment.extent(section);
        let next = |table| {
            self.segment
                .next(table)
                .load(Ordering::Relaxed)
                .min(extent.capacity)
        };
        let committed = self.segment.committed(section).load(Ordering::Relaxed);
        let (used, committed) = match section {
            Section::Processes => (self.slots_used(), committed),
            Section::FamilyIndex => (next(Section::Families), committed),
            Section::SeriesIndex => (next(Section::Series), committed),
            Section::ProcessCells => (next(section), self.process_words()),
            Section::Series => (self.in_use(section, header::FREE), committed),
            Section::Families => (self.in_use(section, header::FREE_FAMILIES_COUNT), committed),
            Section::Marks => self.marks(),
            _ => (next(section), committed),
        };
        TableFill {
            table: section.name(),
            used,
            capacity: extent.capacity,
            committed_bytes: committed.min(extent.words as u64) * 8,
            capacity_bytes: extent.words as u64 * 8,
        }
    }

    fn slot_words(&self) -> impl Iterator<Item = &[AtomicU64]> {
        self.segment
            .committed_words(Section::Processes)
            .chunks_exact(process::WORDS)
    }

    /// Records that were claimed, but for those that are free again, of which there is a count.
    fn in_use(&self, section: Section, free: usize) -> u64 {
        let load = |word: &crate::sync::AtomicU64| word.load(Ordering::Relaxed);
        let claimed = load(self.segment.next(section)).min(self.segment.extent(section).capacity);
        claimed.saturating_sub(load(&self.segment.words()[free]))
    }

    /// Words of marks that a process has at most so far, and those that have memory, over all slots.
    fn marks(&self) -> (u64, u64) {
        let run = self.segment.extent(Section::Marks).capacity;
        let words = self.slot_words();
        let committed = words.map(|words| {
            words[process::MARKS_COMMITTED]
                .load(Ordering::Relaxed)
                .min(run)
        });
        let series = self.segment.next(Section::Series).load(Ordering::Relaxed);
        let used = series.div_ceil(64).min(run);
        (used, committed.fold(0, u64::saturating_add))
    }

    fn slots_used(&self) -> u64 {
        let used = |words: &&[AtomicU64]| words[process::STATE].load(Ordering::Relaxed) != 0;
        self.slot_words().filter(used).count() as u64
    }

    /// Words of own cells that have memory, over all slots.
    fn process_words(&self) -> u64 {
        let run = self.segment.extent(Section::ProcessCells).capacity;
        let words = self.slot_words();
        let committed = words.map(|words| {
            words[process::CELLS_COMMITTED]
                .load(Ordering::Relaxed)
                .min(run)
        });
        committed.fold(run, u64::saturating_add)
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;
    use crate::proof::meanwhile;
    use crate::{Buckets, SegmentOptions, ValueView, Writer};

    /// What a reader of a file with holes shows where `act` happens between its two copies.
    fn snapshot_around(writer: &Writer, act: impl FnOnce()) -> Snapshot {
        let mut reader = Reader::attach(&writer.attached().segment.path).unwrap();
        let copy = memory::copy(&reader.segment).unwrap();
        act();
        let later = memory::copy_again(&reader.segment, &copy).unwrap();
        reader.pass_over(copy, &later)
    }

    fn writer() -> (tempfile::TempDir, Writer) {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let options = SegmentOptions::new().path(folder.path().join("a.seg"));
        (folder, options.attach().unwrap())
    }

    #[test]
    fn sums_of_a_copy_are_not_ahead_of_its_buckets() {
        let (_folder, writer) = writer();
        let small = Buckets::explicit([10]).unwrap();
        for (name, buckets) in [("small", small), ("large", Buckets::default())] {
            let sizes = writer.histogram(name, "h").buckets(buckets);
            let sizes = sizes.register().unwrap();
            sizes.record(5);
            let found = snapshot_around(&writer, || sizes.record(5));
            let Some(ValueView::Histogram(found)) = found.value(name, &[]) else {
                panic!("no histogram");
            };
            assert_eq!((found.sum, found.count()), (5, 2), "{name}");
        }
    }

    #[test]
    fn what_is_removed_while_it_is_copied_is_not_shown() {
        let (_folder, writer) = writer();
        let family = writer.counter("a_total", "h").family().unwrap();
        let (stays, goes) = ([("k", "stays")], [("k", "goes")]);
        family.with(&stays).unwrap().add(3);
        family.with(&goes).unwrap().add(4);
        let found = snapshot_around(&writer, || {
            assert!(family.remove(&goes).unwrap());
        });
        assert_eq!(found.number("a_total", &stays), 3.0);
        assert_eq!(found.value("a_total", &goes), Some(ValueView::Absent));
    }

    #[test]
    fn a_process_that_leaves_while_it_is_copied_shows_no_gauge() {
        use std::os::unix::fs::FileExt;
        let (_folder, writer) = writer();
        writer.gauge("depth", "h").register().unwrap().set(3);
        let found = snapshot_around(&writer, || {});
        assert_eq!(found.number("depth", &[]), 3.0);
        let found = snapshot_around(&writer, || {
            let path = &writer.attached().segment.path;
            let segment = create::attach_read_only(path).unwrap();
            let slot = segment.extent(Section::Processes).offset;
            let next = segment.words()[slot].load(Ordering::Relaxed) + (1 << 8);
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.write_all_at(&next.to_ne_bytes(), slot as u64 * 8)
                .unwrap();
        });
        assert_ne!(
            found.value("depth", &[]),
            Some(ValueView::Number(crate::Number::Signed(3)))
        );
    }

    #[test]
    fn what_is_published_after_a_look_is_read_with_all_its_memory() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("a.seg");
        let writer = SegmentOptions::new().path(&path).attach().unwrap();
        writer.counter("a_total", "h").register().unwrap();
        let mut reader = Reader::attach(&path).unwrap();
        // More text than what is committed at a time.
        let publish = move || {
            let help = "h".repeat(4096);
            for n in 0..20 {
                let counter = writer.counter(&format!("b{n}_total"), &help);
                counter.register().unwrap().add(7);
            }
        };
        let _planned = meanwhile::at("reader-looked", publish);
        let snapshot = reader.snapshot().unwrap();
        assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
        assert_eq!(snapshot.number("b19_total", &[]), 7.0);
    }

    /// Publishes a series after the next section of a copy, and so on after each.
    fn publish_at_each_section(writer: crate::Writer, sections: u32) -> Option<meanwhile::Planned> {
        let next = sections.checked_sub(1)?;
        let publish = move || {
            let counter = writer.counter("b_total", "h").label("n", next.to_string());
            counter.register().unwrap().add(7);
            // What is planned next is judged with the last.
            std::mem::forget(publish_at_each_section(writer, next));
        };
        Some(meanwhile::at("section-copied", publish))
    }

    #[test]
    fn what_is_published_during_a_copy_is_copied_whole_or_not_at_all() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("a.seg");
        let writer = SegmentOptions::new().path(&path).attach().unwrap();
        writer.counter("a_total", "h").register().unwrap().add(7);
        let segment = writer.segment();
        // A hole where no reader looks has it take a copy.
        let extent = segment.extent(Section::SeriesIndex);
        let position = |words: usize| i64::try_from(words * 8).unwrap();
        let flags = nix::fcntl::FallocateFlags::FALLOC_FL_PUNCH_HOLE
            | nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (offset, bytes) = (position(extent.offset), position(extent.words));
        nix::fcntl::fallocate(segment.file().unwrap(), flags, offset, bytes).unwrap();
        let mut reader = Reader::attach(&path).unwrap();
        let planned = publish_at_each_section(writer, 5);
        let snapshot = reader.snapshot().unwrap();
        drop(planned);
        let mut damage = snapshot.damage.iter();
        assert!(
            damage.all(|damage| damage.table != "series"),
            "{:?}",
            snapshot.damage
        );
        assert_eq!(snapshot.number("a_total", &[]), 7.0);
    }
}
