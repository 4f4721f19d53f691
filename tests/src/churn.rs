//! Label sets that come and go: what a worker does with them, and what the segment may show.
//!
//! A worker goes through its label sets in order. It registers each, adds an amount that no other set gets, and
//! removes it once it has so many younger ones. It acknowledges each addition and each removal, so that its
//! successor goes on where it was killed. Beside that all workers fight for some common sets, and for some families
//! that they register and remove.

use std::collections::VecDeque;
use std::error::Error;

use tachograph::{
    Counter, FamilyHandle, Lease, Number, Outcome, SeriesView, Snapshot, ValueView, Writer,
};

use crate::ack::AckFile;
use crate::task::Churn;

/// The counter of the sets that each worker has for itself.
pub const OWN: &str = "churn_own_total";
/// The counter of the sets that they fight for.
pub const COMMON: &str = "churn_common_total";
/// How the names of the families begin that they fight for.
pub const PASSING: &str = "churn_passing_";
/// Words of acknowledgement of a worker.
pub const WORDS: usize = 2;
const COMMON_SETS: u64 = 16;
const FAMILIES: u64 = 4;

/// What is added for a label set: another amount for each of any two.
fn amount(process: usize, set: u64) -> u64 {
    set * 64 + process as u64 + 1
}

/// The label of a set, of another length for neighbours.
fn label(process: usize, set: u64) -> String {
    let padding = usize::try_from(set % 30).unwrap_or(0);
    format!("{process}:{set}:{:x<padding$}", "")
}

/// One worker's families and progress.
struct Worker<'a> {
    writer: &'a Writer,
    acks: &'a AckFile,
    churn: &'a Churn,
    own: FamilyHandle<Counter>,
    common: FamilyHandle<Counter>,
    live: VecDeque<Lease<Counter>>,
}

/// Uses all sets, from where the worker's predecessor was killed.
///
/// # Errors
/// When a series shows what was not recorded in it.
pub fn run(writer: &Writer, churn: &Churn) -> Result<(), Box<dyn Error>> {
    let acks = AckFile::open(&churn.acks)?;
    let family = |name: &str| {
        let limit = 4 * (churn.live + COMMON_SETS) + 64;
        writer.counter(name, "Churn").series_limit(limit).family()
    };
    let mut worker = Worker {
        writer,
        acks: &acks,
        churn,
        own: family(OWN)?,
        common: family(COMMON)?,
        live: VecDeque::new(),
    };
    worker.clean_up()?;
    while worker.added() < churn.sets {
        worker.add()?;
        if worker.added() - worker.removed() > churn.live {
            worker.remove()?;
        }
        worker.fight()?;
        if worker.added().is_multiple_of(8) {
            worker.fight_for_families()?;
        }
    }
    Ok(())
}

impl Worker<'_> {
    fn added(&self) -> u64 {
        self.acks.acked(self.churn.process * WORDS)
    }

    fn removed(&self) -> u64 {
        self.acks.acked(self.churn.process * WORDS + 1)
    }

    /// Removes the set that the predecessor may have been killed with, and takes over the others.
    fn clean_up(&mut self) -> Result<(), Box<dyn Error>> {
        let process = self.churn.process;
        self.own.remove(&[("set", &label(process, self.added()))])?;
        if self.removed() < self.added() {
            let oldest = label(process, self.removed());
            self.own.remove(&[("set", &oldest)])?;
            self.acks
                .acknowledge(process * WORDS + 1, self.removed() + 1);
        }
        for set in self.removed()..self.added() {
            let lease = self.own.lease(&[("set", &label(process, set))])?;
            expect(&lease, amount(process, set), "taken over")?;
            self.live.push_back(lease);
        }
        Ok(())
    }

    fn add(&mut self) -> Result<(), Box<dyn Error>> {
        let (process, set) = (self.churn.process, self.added());
        let lease = self.own.lease(&[("set", &label(process, set))])?;
        expect(&lease, 0, "new")?;
        lease.add(amount(process, set));
        self.acks.acknowledge(process * WORDS, set + 1);
        self.live.push_back(lease);
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Box<dyn Error>> {
        let (process, set) = (self.churn.process, self.removed());
        let lease = self.live.pop_front().ok_or("nothing is live")?;
        expect(&lease, amount(process, set), "old")?;
        // Before or after the removal: the memory is free with the later of the two.
        let late = (set % 2 == 0).then_some(lease);
        if !self.own.remove(&[("set", &label(process, set))])? {
            return Err(format!("set {set} was not there").into());
        }
        drop(late);
        self.acks.acknowledge(process * WORDS + 1, set + 1);
        Ok(())
    }

    fn fight(&self) -> Result<(), Box<dyn Error>> {
        let set = fastrand::u64(..COMMON_SETS);
        let text = set.to_string();
        let lease = self.common.lease(&[("set", &text)])?;
        lease.add(1 << 32 | set);
        if fastrand::u8(..8) == 0 {
            self.common.remove(&[("set", &text)])?;
        }
        Ok(())
    }

    /// A family that anyone may have removed meanwhile: what is recorded then shows nowhere.
    fn fight_for_families(&self) -> Result<(), Box<dyn Error>> {
        let number = fastrand::u64(..FAMILIES);
        let name = format!("{PASSING}{number}_total");
        let family = self.writer.counter(&name, "Churn").family()?;
        let lease = family.lease(&[("set", &number.to_string())])?;
        if lease.outcome() == Outcome::Series {
            lease.add(1 << 32 | number);
        }
        if fastrand::u8(..4) == 0 {
            self.writer.remove_family(&name)?;
        }
        Ok(())
    }
}

fn expect(lease: &Lease<Counter>, expected: u64, what: &str) -> Result<(), Box<dyn Error>> {
    let found = lease.value();
    if found != expected || !lease.is_live() {
        return Err(format!("a {what} series holds {found}, not {expected}").into());
    }
    Ok(())
}

fn number(view: &SeriesView<'_>) -> u64 {
    match view.value {
        ValueView::Number(Number::Unsigned(number)) => number,
        other => panic!("a counter is {other:?}"),
    }
}

/// The value of a series' one label.
fn only_value(view: &SeriesView<'_>) -> String {
    let labels = view.series.labels.iter();
    labels.map(|label| label.value).collect()
}

/// Judges what is shown once all workers have ended: their last sets, and no mixture of others.
///
/// # Errors
/// Says what is there and must not be, or the other way round.
pub fn judge(snapshot: &Snapshot, processes: usize, sets: u64, live: u64) -> Result<(), String> {
    let mut expected: Vec<(String, u64)> = (0..processes)
        .flat_map(|process| {
            (sets - live..sets).map(move |set| (label(process, set), amount(process, set)))
        })
        .collect();
    expected.sort_unstable();
    let own = snapshot.family(OWN).ok_or("there is no series")?;
    let shown = own.series();
    let shown: Vec<_> = shown
        .map(|view| (only_value(&view), number(&view)))
        .collect();
    if shown != expected {
        let extra = shown.iter().find(|series| !expected.contains(series));
        let missing = expected.iter().find(|series| !shown.contains(series));
        return Err(format!(
            "{} series, not {}: {extra:?} instead of {missing:?}",
            shown.len(),
            expected.len()
        ));
    }
    let common = snapshot.family(COMMON).ok_or("there is no common series")?;
    let passing = snapshot.families();
    let passing = passing.filter(|view| view.family.name.starts_with(PASSING));
    for view in passing.chain([common]).flat_map(|family| family.series()) {
        let (set, sum) = (only_value(&view), number(&view));
        let adds = sum >> 32;
        if Ok(sum) != set.parse().map(|set: u64| adds << 32 | (adds * set)) {
            return Err(format!("the common series {set} shows {sum:#x}"));
        }
    }
    Ok(())
}
