//! What the segment may show, given what was acknowledged.

use std::iter;

use tachograph::{Snapshot, ValueView};

use crate::update;

/// What the segment shows of a counter and a histogram that get the same updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The counter.
    pub counter: u64,
    /// The histogram's bucket counts.
    pub counts: Vec<u64>,
    /// The histogram's sum.
    pub sum: u128,
}

/// Updates of one thread instance, from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// How many it acknowledged.
    pub acked: u64,
    /// Whether it was killed, perhaps between an update and its acknowledgement.
    pub killed: bool,
}

impl Instance {
    /// The most updates it can have made.
    fn most(self) -> u64 {
        self.acked + u64::from(self.killed)
    }
}

impl Shown {
    /// A thread's series before it has made any update.
    pub fn nothing() -> Shown {
        total(iter::empty(), &update::own_buckets())
    }

    /// The series of one thread; zeros before the thread has registered them.
    pub fn own(snapshot: &Snapshot, thread: usize) -> Shown {
        let thread = thread.to_string();
        let labels = [("thread", thread.as_str())];
        let mut shown = read(
            snapshot,
            update::OWN_COUNTER,
            update::OWN_HISTOGRAM,
            &labels,
        );
        shown.counts.resize(update::own_buckets().count(), 0);
        shown
    }

    /// The series that all threads share; zeros before any thread has registered them.
    pub fn shared(snapshot: &Snapshot) -> Shown {
        let mut shown = read(
            snapshot,
            update::SHARED_COUNTER,
            update::SHARED_HISTOGRAM,
            &[],
        );
        shown.counts.resize(update::shared_buckets().count(), 0);
        shown
    }

    /// What was added since `before`.
    fn since(&self, before: &Shown) -> Result<Shown, String> {
        let fell = || format!("values fell: {before:?}, then {self:?}");
        let counts = self.counts.iter().zip(&before.counts);
        Ok(Shown {
            counter: self.counter.checked_sub(before.counter).ok_or_else(fell)?,
            counts: counts
                .map(|(now, then)| now.checked_sub(*then).ok_or_else(fell))
                .collect::<Result<_, _>>()?,
            sum: self.sum.checked_sub(before.sum).ok_or_else(fell)?,
        })
    }
}

fn read(snapshot: &Snapshot, counter: &str, histogram: &str, labels: &[(&str, &str)]) -> Shown {
    let (counts, sum) = match snapshot.value(histogram, labels) {
        Some(ValueView::Histogram(view)) => (view.counts.to_vec(), view.sum),
        _ => (Vec::new(), 0),
    };
    Shown {
        counter: counter_value(snapshot, counter, labels),
        counts,
        sum,
    }
}

/// A counter of integers; zero where there is none.
///
/// # Panics
/// When the series is something else.
pub fn counter_value(snapshot: &Snapshot, name: &str, labels: &[(&str, &str)]) -> u64 {
    match snapshot.value(name, labels) {
        None => 0,
        Some(ValueView::Number(tachograph::Number::Unsigned(value))) => value,
        Some(other) => panic!("{name} {labels:?} is {other:?}"),
    }
}

/// Judges the series of one thread: from `before` to `after` it made exactly what it acknowledged, or
/// one update more if it was killed. A kill inside the last update can leave any prefix of it.
///
/// # Errors
/// Says what was lost or counted twice.
pub fn own(before: &Shown, after: &Shown, instance: Instance) -> Result<(), String> {
    let made = after.since(before)?;
    let buckets = update::own_buckets();
    let possible = instance.acked..=instance.most();
    let recorded: u64 = made.counts.iter().sum();
    if !possible.contains(&made.counter) {
        return Err(format!("{instance:?}, but counted {}", made.counter));
    }
    // The counter comes first: a histogram ahead of it would be a doubled record.
    if !(instance.acked..=made.counter).contains(&recorded) {
        return Err(format!(
            "{instance:?}, counted {}, but recorded {recorded}",
            made.counter
        ));
    }
    if made.counts != update::counts(recorded, &buckets) {
        return Err(format!("{instance:?}, but buckets {:?}", made.counts));
    }
    if made.sum != update::sum(recorded) && made.sum != update::sum(instance.acked) {
        return Err(format!("{instance:?}, but sum {}", made.sum));
    }
    Ok(())
}

/// Judges the series that the given instances share: each bucket, the sum and the counter lie between
/// what was acknowledged and what can have been made.
///
/// # Errors
/// Says what was lost or counted twice.
pub fn shared(shown: &Shown, instances: &[Instance]) -> Result<(), String> {
    let buckets = update::shared_buckets();
    let least = total(instances.iter().map(|instance| instance.acked), &buckets);
    let most = total(instances.iter().map(|instance| instance.most()), &buckets);
    if !(least.counter..=most.counter).contains(&shown.counter) {
        return Err(format!(
            "counter {}, not within {}..={}",
            shown.counter, least.counter, most.counter
        ));
    }
    for (index, count) in shown.counts.iter().enumerate() {
        if !(least.counts[index]..=most.counts[index]).contains(count) {
            return Err(format!(
                "bucket {index} has {count}, not within {}..={}",
                least.counts[index], most.counts[index]
            ));
        }
    }
    if !(least.sum..=most.sum).contains(&shown.sum) {
        return Err(format!(
            "sum {}, not within {}..={}",
            shown.sum, least.sum, most.sum
        ));
    }
    Ok(())
}

fn total(updates: impl Iterator<Item = u64>, buckets: &tachograph::Buckets) -> Shown {
    let mut total = Shown {
        counter: 0,
        counts: vec![0; buckets.count()],
        sum: 0,
    };
    for updates in updates {
        total.counter += updates;
        total.sum += update::sum(updates);
        for (sum, count) in total
            .counts
            .iter_mut()
            .zip(update::counts(updates, buckets))
        {
            *sum += count;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(updates: u64) -> Shown {
        total([updates].into_iter(), &update::own_buckets())
    }

    fn instance(acked: u64, killed: bool) -> Instance {
        Instance { acked, killed }
    }

    #[test]
    fn a_survivor_is_exact() {
        assert_eq!(own(&made(0), &made(9), instance(9, false)), Ok(()));
        for wrong in [8, 10] {
            assert!(own(&made(0), &made(wrong), instance(9, false)).is_err());
        }
    }

    #[test]
    fn a_kill_adds_at_most_one_and_loses_none() {
        for right in [9, 10] {
            assert_eq!(own(&made(0), &made(right), instance(9, true)), Ok(()));
        }
        for wrong in [8, 11] {
            assert!(own(&made(0), &made(wrong), instance(9, true)).is_err());
        }
    }

    #[test]
    fn a_kill_between_two_recordings_is_no_fault() {
        let mut shown = made(9);
        shown.counter += 1;
        assert_eq!(own(&made(0), &shown, instance(9, true)), Ok(()));
        let mut shown = made(10);
        shown.sum = made(9).sum;
        assert_eq!(own(&made(0), &shown, instance(9, true)), Ok(()));
    }

    #[test]
    fn a_histogram_alone_can_be_wrong() {
        let mut ahead = made(10);
        ahead.counter = 9;
        let mut moved = made(9);
        moved.counts[0] -= 1;
        moved.counts[1] += 1;
        let mut heavy = made(9);
        heavy.sum += 1;
        for wrong in [ahead, moved, heavy] {
            assert!(own(&made(0), &wrong, instance(9, true)).is_err());
        }
    }

    #[test]
    fn shared_series_are_bounded_by_the_kills() {
        let all = [instance(9, true), instance(5, false)];
        let buckets = update::shared_buckets();
        for right in [[9, 5], [10, 5]] {
            let shown = total(right.into_iter(), &buckets);
            assert_eq!(shared(&shown, &all), Ok(()));
        }
        for wrong in [[9, 4], [11, 5]] {
            let shown = total(wrong.into_iter(), &buckets);
            assert!(shared(&shown, &all).is_err());
        }
    }
}
