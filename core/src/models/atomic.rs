//! Atomic words of a model: plain numbers during set-up, loom's from the first thread on.
//!
//! loom keeps some hundred bytes a word and forgets them after each execution, so only words that a model
//! touches become loom's, and a segment's words are used again by the next execution.
#![expect(clippy::disallowed_types, reason = "this module is behind the door")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use loom::sync::atomic::fence;

use super::is_weakened;

/// A word of the running execution.
enum Word {
    /// Of the set-up only.
    Plain(u64),
    /// Of the set-up so far, and loom's later.
    Shared(u64),
    Modelled(Rc<loom::sync::atomic::AtomicU64>),
}

#[derive(Default)]
struct Words {
    is_live: bool,
    /// For each watched word another one, updated before each access to it.
    watched: HashMap<usize, Rc<loom::sync::atomic::AtomicU64>>,
    by_number: HashMap<usize, Word>,
    segments: HashMap<usize, &'static [AtomicU64]>,
}

std::thread_local! {
    static WORDS: RefCell<Words> = RefCell::default();
}

/// Begins an execution: every word has its initial value again.
pub(super) fn begin() {
    WORDS.with_borrow_mut(|words| {
        words.is_live = false;
        words.watched.clear();
        words.by_number.clear();
    });
}

/// Ends the set-up.
pub(super) fn go_live() {
    WORDS.with_borrow_mut(|words| {
        words.is_live = true;
        for word in words.by_number.values_mut() {
            if let Word::Shared(value) = *word {
                *word = modelled(value);
            }
        }
    });
}

/// Says during set-up that threads will share these words.
pub(crate) fn share<'a>(shared: impl IntoIterator<Item = &'a AtomicU64>) {
    for word in shared {
        let value = word.load(Ordering::Relaxed);
        WORDS.with_borrow_mut(|words| words.by_number.insert(word.number(), Word::Shared(value)));
    }
}

/// Makes loom try a switch of threads at every access to these words.
///
/// loom remembers one access a word to find the orders worth trying, so that a thread that loads a word
/// just before it stores there hides the store from a plain load elsewhere.
pub(super) fn watch<'a>(watched: impl IntoIterator<Item = &'a AtomicU64>) {
    go_live();
    for word in watched {
        let companion = Rc::new(loom::sync::atomic::AtomicU64::new(0));
        WORDS.with_borrow_mut(|words| words.watched.insert(word.number(), companion));
    }
}

fn announce(number: usize) {
    let companion = WORDS.with_borrow(|words| words.watched.get(&number).cloned());
    if let Some(companion) = companion {
        companion.fetch_add(1, Ordering::Relaxed);
    }
}

/// The words of a segment, zero at the start of each execution, which may have one segment of each size.
pub(crate) fn segment_words(count: usize) -> &'static [AtomicU64] {
    WORDS.with_borrow_mut(|words| {
        let new = || Vec::leak((0..count).map(|_| AtomicU64::new(0)).collect());
        *words.segments.entry(count).or_insert_with(|| new())
    })
}

/// Words of one process.
pub(crate) fn private_words(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn modelled(value: u64) -> Word {
    Word::Modelled(Rc::new(loom::sync::atomic::AtomicU64::new(value)))
}

#[derive(Debug)]
pub(crate) struct AtomicU64 {
    initial: u64,
    /// Given at the first use.
    number: AtomicUsize,
}

impl AtomicU64 {
    pub(crate) const fn new(initial: u64) -> AtomicU64 {
        AtomicU64 {
            initial,
            number: AtomicUsize::new(0),
        }
    }

    fn number(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        match self.number.load(Ordering::Relaxed) {
            0 => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                self.number.store(number, Ordering::Relaxed);
                number
            }
            number => number,
        }
    }

    /// Does `plain` during set-up, and while a failed model is cleared away; `live` otherwise.
    fn access<R>(
        &self,
        plain: impl FnOnce(&mut u64) -> R,
        live: impl FnOnce(&loom::sync::atomic::AtomicU64) -> R,
    ) -> R {
        if std::thread::panicking() {
            return plain(&mut self.initial.clone());
        }
        let number = self.number();
        let found = WORDS.with_borrow_mut(|words| {
            let is_live = words.is_live;
            let initial = || match is_live {
                true => modelled(self.initial),
                false => Word::Plain(self.initial),
            };
            match words.by_number.entry(number).or_insert_with(initial) {
                Word::Plain(_) if is_live => panic!("a word of the set-up is not shared"),
                Word::Plain(value) | Word::Shared(value) => Err(plain(value)),
                Word::Modelled(word) => Ok((live, Rc::clone(word))),
            }
        });
        match found {
            Ok((live, word)) => {
                announce(number);
                live(&word)
            }
            Err(done) => done,
        }
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        self.access(|word| *word, |word| word.load(order))
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        self.access(|word| *word = value, |word| word.store(value, order));
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.access(
            |word| std::mem::replace(word, value),
            |word| word.swap(value, order),
        )
    }

    pub(crate) fn compare_exchange(
        &self,
        from: u64,
        to: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let plain = |word: &mut u64| match *word {
            seen if seen == from => Ok(std::mem::replace(word, to)),
            seen => Err(seen),
        };
        self.access(plain, |word| {
            word.compare_exchange(from, to, success, failure)
        })
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        from: u64,
        to: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.compare_exchange(from, to, success, failure)
    }

    pub(crate) fn fetch_add(&self, n: u64, order: Ordering) -> u64 {
        self.access(
            |word| std::mem::replace(word, word.wrapping_add(n)),
            |word| word.fetch_add(n, order),
        )
    }

    pub(crate) fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.access(
            |word| std::mem::replace(word, *word | bits),
            |word| word.fetch_or(bits, order),
        )
    }

    pub(crate) fn fetch_and(&self, bits: u64, order: Ordering) -> u64 {
        self.access(
            |word| std::mem::replace(word, *word & bits),
            |word| word.fetch_and(bits, order),
        )
    }

    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        self.access(
            |word| std::mem::replace(word, value.max(*word)),
            |word| word.fetch_max(value, order),
        )
    }
}

/// A word whose updates are two steps where the place called `at` is weakened.
pub(crate) fn one_step<'a>(at: &'static str, word: &'a AtomicU64) -> Update<'a> {
    Update { at, word }
}

pub(crate) struct Update<'a> {
    at: &'static str,
    word: &'a AtomicU64,
}

impl Update<'_> {
    fn torn(&self, order: Ordering, change: impl FnOnce(u64) -> u64) -> u64 {
        let seen = self.word.load(Ordering::Relaxed);
        self.word.store(change(seen), order);
        seen
    }

    pub(crate) fn compare_exchange(
        &self,
        from: u64,
        to: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        if !is_weakened(self.at) {
            return self.word.compare_exchange(from, to, success, failure);
        }
        match self.word.load(failure) {
            seen if seen == from => {
                self.word.store(to, success);
                Ok(seen)
            }
            seen => Err(seen),
        }
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        from: u64,
        to: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.compare_exchange(from, to, success, failure)
    }

    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        if is_weakened(self.at) {
            return self.torn(order, |_| value);
        }
        self.word.swap(value, order)
    }

    pub(crate) fn fetch_add(&self, n: u64, order: Ordering) -> u64 {
        if is_weakened(self.at) {
            return self.torn(order, |seen| seen.wrapping_add(n));
        }
        self.word.fetch_add(n, order)
    }

    pub(crate) fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        if is_weakened(self.at) {
            return self.torn(order, |seen| seen | bits);
        }
        self.word.fetch_or(bits, order)
    }

    pub(crate) fn fetch_and(&self, bits: u64, order: Ordering) -> u64 {
        if is_weakened(self.at) {
            return self.torn(order, |seen| seen & bits);
        }
        self.word.fetch_and(bits, order)
    }

    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        if is_weakened(self.at) {
            return self.torn(order, |seen| seen.max(value));
        }
        self.word.fetch_max(value, order)
    }
}
