//! Claiming entries of a table, giving them back, and committing memory beneath them.

use std::sync::Arc;

use crate::claim;
use crate::sync::{AtomicU64, Ordering};

use super::{Bound, join, prove, spawn, words};

fn claim_one(next: &AtomicU64) -> Option<u64> {
    claim::claim(next, 1, 2, |start| start)
}

/// Three claimants of two entries: no entry is had twice, and none beyond the limit.
fn claims_are_disjoint() {
    let next = words(1);
    let claimants = [0, 1].map(|_| {
        let next = next.clone();
        spawn(move || claim_one(&next[0]))
    });
    let mine = claim_one(&next[0]);
    let others = join(claimants);
    let mut claimed: Vec<u64> = others.into_iter().chain([mine]).flatten().collect();
    claimed.sort_unstable();
    assert_eq!(claimed, [0, 1]);
}

#[test]
fn claims() {
    prove(
        Bound::Exhaustive,
        claims_are_disjoint,
        &["claim", "claim limit"],
    );
}

/// What one gives back never takes away what the other has claimed since.
fn giving_back_takes_nothing_away() {
    let next = words(1);
    let other = next.clone();
    let other = spawn(move || claim_one(&other[0]).unwrap());
    let mine = claim_one(&next[0]).unwrap();
    claim::give_back(&next[0], mine, 1);
    let theirs = other.join().unwrap();
    assert!(next[0].load(Ordering::Relaxed) > theirs);
}

#[test]
fn giving_back() {
    prove(
        Bound::Exhaustive,
        giving_back_takes_nothing_away,
        &["claim given back"],
    );
}

/// Two growers of one section: memory lies below every mark that a reader can see.
fn marks_have_memory() {
    let memory = words(3);
    let mark = words(1);
    let grow = |needed: u64| {
        let (memory, mark) = (Arc::clone(&memory), Arc::clone(&mark));
        move || {
            let reserve = |from: u64| -> Result<u64, ()> {
                let range = usize::try_from(from).unwrap()..usize::try_from(needed).unwrap();
                let take = |page: &AtomicU64| page.store(1, Ordering::Relaxed);
                memory[range].iter().for_each(take);
                Ok(needed)
            };
            claim::commit(&mark[0], needed, reserve).unwrap();
        }
    };
    super::atomic::watch([&mark[0]]);
    let growers = [spawn(grow(1)), spawn(grow(2))];
    let seen = usize::try_from(claim::committed(&mark[0])).unwrap();
    let has_memory = |page: &AtomicU64| page.load(Ordering::Relaxed) == 1;
    assert!(memory[..seen].iter().all(has_memory));
    join(growers);
    assert_eq!(mark[0].load(Ordering::Relaxed), 2);
}

#[test]
fn committed_marks() {
    prove(
        Bound::ExhaustiveIfLong,
        marks_have_memory,
        &[
            "committed mark",
            "committed mark seen",
            "committed mark raised",
        ],
    );
}
