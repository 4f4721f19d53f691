//! Gauges, infos and state sets: values that belong to a process, or outlive it.

use crate::attached::{Attached, Resolve, Resolved};
use crate::cell::gauge_word;
use crate::home::{Home, says_whether_it_is_live};
use crate::record::FamilyRecord;
use crate::schema::{GaugeMode, Kind};
use crate::sync::{AtomicU64, Ordering, check, one_step};

/// The cells of a gauge, and how its values combine. Orderings are Relaxed throughout: a cell is one word
/// that stands for itself.
#[derive(Clone, Copy)]
struct Cells {
    attached: &'static Attached,
    own: u32,
    shared: u32,
    mode: GaugeMode,
}

impl Cells {
    #[inline(always)]
    fn own(&self) -> &'static AtomicU64 {
        self.attached.own_cell(self.own)
    }

    fn shared(&self) -> &'static AtomicU64 {
        self.attached.shared_cell(self.shared)
    }

    /// Whether the mode takes nothing but the process's own cell.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        matches!(
            self.mode,
            GaugeMode::Sum | GaugeMode::Min | GaugeMode::Max | GaugeMode::Each
        )
    }

    /// Sets the value of a mode in which setting is one store; false for the other modes.
    #[inline(always)]
    fn set_own(&self, word: u64) -> bool {
        if self.is_plain() {
            self.own().store(word, Ordering::Relaxed);
        }
        self.is_plain()
    }

    /// Adds to an integer that is set, in a mode that needs no more; false otherwise.
    #[inline(always)]
    fn add_own(&self, n: i64) -> bool {
        // Flipping the sign bit is adding 2^63, so that words add up as their values do.
        let is_plain = self.is_plain() && self.own().load(Ordering::Relaxed) != gauge_word::ABSENT;
        if is_plain {
            one_step("gauge add", self.own()).fetch_add(n.cast_unsigned(), Ordering::Relaxed);
        }
        is_plain
    }

    /// Sets the value in the modes that take more than a store to the process's own cell.
    fn set_shared(&self, word: u64, arithmetic: &impl Arithmetic) {
        match self.mode {
            GaugeMode::Latest => {
                self.own().store(word, Ordering::Relaxed);
                self.stamp();
            }
            GaugeMode::LastingSum => {
                set_lasting_sum(self.own(), self.shared(), word, arithmetic);
            }
            GaugeMode::LastingMin => keep_if(self.shared(), word, |new, kept| {
                arithmetic.is_less(new, kept)
            }),
            GaugeMode::LastingMax => keep_if(self.shared(), word, |new, kept| {
                arithmetic.is_less(kept, new)
            }),
            _ => self.shared().store(word, Ordering::Relaxed),
        }
    }

    fn add(&self, n: u64, arithmetic: &impl Arithmetic) {
        match self.mode {
            GaugeMode::LastingSum => {
                update(self.own(), |own| arithmetic.add(own, n));
                update(self.shared(), |sum| arithmetic.add(sum, n));
            }
            GaugeMode::LastingMin | GaugeMode::LastingMax => {
                let kept = present(self.shared().load(Ordering::Relaxed));
                self.set_shared(arithmetic.add(kept, n), arithmetic);
            }
            GaugeMode::LastingLatest => update(self.shared(), |kept| arithmetic.add(kept, n)),
            GaugeMode::Latest => {
                update(self.own(), |own| arithmetic.add(own, n));
                self.stamp();
            }
            GaugeMode::Sum | GaugeMode::Min | GaugeMode::Max | GaugeMode::Each => {
                update(self.own(), |own| arithmetic.add(own, n));
            }
        }
    }

    /// Draws the next ticket of a `latest` gauge: the value with the highest one was set last.
    fn stamp(&self) {
        let ticket = one_step("ticket drawn", self.shared())
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        self.attached
            .own_cell(self.own + 1)
            .store(ticket, Ordering::Relaxed);
    }

    /// What this process or, in a lasting mode, the segment holds.
    fn get(&self) -> u64 {
        if self.mode.is_living() {
            self.own()
        } else {
            self.shared()
        }
        .load(Ordering::Relaxed)
    }
}

/// Adds to the shared sum the difference to what this process set last. The swap takes each last value
/// once, so that threads of one process that set at the same time leave the sum of their last values.
pub(crate) fn set_lasting_sum(
    own: &AtomicU64,
    shared: &AtomicU64,
    word: u64,
    arithmetic: &impl Arithmetic,
) {
    let last = present(one_step("last value swapped", own).swap(word, Ordering::Relaxed));
    update(shared, |sum| {
        arithmetic.add(sum, arithmetic.subtract(word, last))
    });
}

/// Stores `new` while it wins over what the cell holds.
pub(crate) fn keep_if(cell: &AtomicU64, new: u64, wins: impl Fn(u64, u64) -> bool) {
    let mut kept = cell.load(Ordering::Relaxed);
    while check(
        "extreme compared",
        kept == gauge_word::ABSENT || wins(new, kept),
    ) {
        let stored = one_step("extreme kept", cell).compare_exchange_weak(
            kept,
            new,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        match stored {
            Ok(_) => return,
            Err(now) => kept = now,
        }
    }
}

fn present(word: u64) -> u64 {
    if word == gauge_word::ABSENT {
        gauge_word::ZERO
    } else {
        word
    }
}

fn update(cell: &AtomicU64, change: impl Fn(u64) -> u64) {
    let mut seen = cell.load(Ordering::Relaxed);
    loop {
        let new = change(present(seen));
        let updated = one_step("gauge updated", cell).compare_exchange_weak(
            seen,
            new,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        match updated {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// Arithmetic on the words of gauges.
pub(crate) trait Arithmetic {
    fn add(&self, word: u64, n: u64) -> u64;
    fn subtract(&self, word: u64, n: u64) -> u64;
    fn is_less(&self, word: u64, than: u64) -> bool;
}

pub(crate) struct Integers;

impl Arithmetic for Integers {
    fn add(&self, word: u64, n: u64) -> u64 {
        let sum = gauge_word::to_i64(word).wrapping_add(gauge_word::to_i64(n));
        gauge_word::from_i64(sum)
    }
    fn subtract(&self, word: u64, n: u64) -> u64 {
        let difference = gauge_word::to_i64(word).wrapping_sub(gauge_word::to_i64(n));
        gauge_word::from_i64(difference)
    }
    fn is_less(&self, word: u64, than: u64) -> bool {
        gauge_word::to_i64(word) < gauge_word::to_i64(than)
    }
}

struct Floats;

impl Arithmetic for Floats {
    fn add(&self, word: u64, n: u64) -> u64 {
        gauge_word::from_f64(gauge_word::to_f64(word) + gauge_word::to_f64(n))
    }
    fn subtract(&self, word: u64, n: u64) -> u64 {
        gauge_word::from_f64(gauge_word::to_f64(word) - gauge_word::to_f64(n))
    }
    fn is_less(&self, word: u64, than: u64) -> bool {
        gauge_word::to_f64(word) < gauge_word::to_f64(than)
    }
}

/// An integer that goes up and down. Copies are the same gauge.
#[derive(Clone, Copy)]
pub struct Gauge {
    cells: Cells,
    home: Home,
}

impl Gauge {
    /// Sets the value of this process. `i64::MIN` means that nothing is set.
    #[inline(always)]
    pub fn set(&self, value: i64) {
        let word = gauge_word::from_i64(value);
        if !self.cells.set_own(word) {
            self.set_otherwise(word);
        }
    }

    #[inline(never)]
    fn set_otherwise(&self, word: u64) {
        self.cells.set_shared(word, &Integers);
    }

    /// Adds `n`, from zero where nothing was set.
    #[inline]
    pub fn add(&self, n: i64) {
        if !self.cells.add_own(n) {
            self.cells.add(gauge_word::from_i64(n), &Integers);
        }
    }

    /// Subtracts `n`, from zero where nothing was set.
    pub fn sub(&self, n: i64) {
        self.add(n.wrapping_neg());
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Subtracts one.
    pub fn dec(&self) {
        self.add(-1);
    }

    /// What this process has set or, in a lasting mode, what the segment holds.
    pub fn value(&self) -> Option<i64> {
        let word = self.cells.get();
        (word != gauge_word::ABSENT).then(|| gauge_word::to_i64(word))
    }
}

/// A float that goes up and down. Copies are the same gauge.
#[derive(Clone, Copy)]
pub struct GaugeF64 {
    cells: Cells,
    home: Home,
}

impl GaugeF64 {
    /// Sets the value of this process, in recorded units. NaN is refused and counted.
    #[inline(always)]
    pub fn set(&self, value: f64) {
        if value.is_nan() {
            return crate::counter::reject(&self.cells.attached.segment, value);
        }
        let word = gauge_word::from_f64(value);
        if !self.cells.set_own(word) {
            self.set_otherwise(word);
        }
    }

    #[inline(never)]
    fn set_otherwise(&self, word: u64) {
        self.cells.set_shared(word, &Floats);
    }

    /// Adds `n`, from zero where nothing was set. NaN is refused and counted.
    pub fn add(&self, n: f64) {
        if n.is_nan() {
            return crate::counter::reject(&self.cells.attached.segment, n);
        }
        self.cells.add(gauge_word::from_f64(n), &Floats);
    }

    /// Subtracts `n`, from zero where nothing was set. NaN is refused and counted.
    pub fn sub(&self, n: f64) {
        self.add(-n);
    }

    /// What this process has set or, in a lasting mode, what the segment holds.
    pub fn value(&self) -> Option<f64> {
        let word = self.cells.get();
        (word != gauge_word::ABSENT).then(|| gauge_word::to_f64(word))
    }
}

/// Facts told by labels, shown while a process that registered them lives.
#[derive(Clone, Copy)]
pub struct Info {
    cells: Cells,
    home: Home,
}

/// One of several named states.
#[derive(Clone, Copy)]
pub struct StateSet {
    cells: Cells,
    home: Home,
}

impl StateSet {
    /// Sets the state by its place in the family's list. A place beyond the list shows as no state.
    pub fn set(&self, state: usize) {
        let word = gauge_word::from_i64(i64::try_from(state).unwrap_or(i64::MAX));
        if !self.cells.set_own(word) {
            self.cells.set_shared(word, &Integers);
        }
    }
}

fn resolve(attached: &'static Attached, known: &FamilyRecord, resolved: &Resolved) -> Cells {
    let mode = known.spec.kind.mode().unwrap_or(GaugeMode::Max);
    let cells = Cells {
        attached,
        own: resolved.cells.own,
        shared: resolved.cells.shared,
        mode,
    };
    let is_sum = matches!(
        known.spec.kind,
        Kind::Gauge(GaugeMode::Sum) | Kind::GaugeF64(GaugeMode::Sum)
    );
    let is_info = known.spec.kind == Kind::Info;
    if is_sum || is_info {
        // Zero is the neutral value of a sum; the other modes have none and show nothing until set.
        attached.start_at_zero(cells.own);
    }
    cells
}

/// Cell 0 of every run and of the shared cells belongs to no series.
fn sink(attached: &'static Attached) -> Cells {
    Cells {
        attached,
        own: 0,
        shared: 0,
        mode: GaugeMode::Sum,
    }
}

macro_rules! handle {
    ($($name:ident: $kind:expr),+) => {$(
        impl Resolve for $name {
            const KIND: Kind = $kind;

            fn resolve(
                attached: &'static Attached,
                (_, known): (u32, &FamilyRecord),
                resolved: &Resolved,
            ) -> Option<$name> {
                let home = Home::of(attached, resolved);
                Some($name { cells: resolve(attached, known, resolved), home })
            }

            fn sink(attached: &'static Attached) -> $name {
                $name { cells: sink(attached), home: Home::nowhere() }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("mode", &self.cells.mode).finish_non_exhaustive()
            }
        }
    )+};
}

handle!(
    Gauge: Kind::Gauge(GaugeMode::Sum),
    GaugeF64: Kind::GaugeF64(GaugeMode::Sum),
    Info: Kind::Info,
    StateSet: Kind::StateSet(GaugeMode::Max)
);

says_whether_it_is_live!(Gauge, GaugeF64, Info, StateSet);
