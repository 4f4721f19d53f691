//! Families whose series are found by their labels: by names and values, or by a type of label sets.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::attached::{Attached, Outcome, Resolve};
use crate::error::Error;
use crate::held::Hold;
use crate::index::Found;
use crate::labels::{self, LabelSet as Canonical, Names, OVERFLOW_VALUE};
use crate::layout::{Section, series};
use crate::lookup::{Lookup, Part};
use crate::loss::Loss;
use crate::queries::{Pairs, Typed, Written};
use crate::record::FamilyRecord;
use crate::sets::LabelSet;
use crate::sync::{AtomicU64, Ordering};

/// What a program holds to record: one of [`crate::Counter`], [`crate::CounterF64`], [`crate::Gauge`],
/// [`crate::GaugeF64`], [`crate::Histogram`], [`crate::Info`] and [`crate::StateSet`], or [`crate::Traced`] of one.
#[expect(private_bounds, reason = "only this crate makes handles")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handle",
    note = "handles are `Counter`, `CounterF64`, `Gauge`, `GaugeF64`, `Histogram`, `Info` and `StateSet`"
)]
pub trait Handle: Resolve + Copy + Send + Sync + 'static {}

impl<H: Resolve + Copy + Send + Sync + 'static> Handle for H {}

/// A registered family: makes series of it, or finds them by names and values of labels.
///
/// A series of up to four labels that this process has used before is found without a lock or an allocation. Keep the handle, or
/// declare the labels as a type ([`Labelled`], [`crate::Dense`]), where that is not fast enough.
pub struct FamilyHandle<H> {
    pub(crate) family: Arc<Family<H>>,
}

/// A family as this process uses it, held until it is dropped.
pub(crate) struct Family<H> {
    attached: &'static Attached,
    /// `None` where not even the family could be registered.
    known: Option<(u32, FamilyRecord)>,
    constant: Constant,
    lookup: Lookup<Known<H>>,
}

/// A handle, and how to see that its series is still there.
#[derive(Clone, Copy)]
struct Known<H> {
    handle: H,
    state: &'static AtomicU64,
    found: u64,
}

/// The state of what is never removed.
static FOR_GOOD: AtomicU64 = AtomicU64::new(0);

impl<H: Copy> Known<H> {
    /// The handle, unless its series was removed.
    #[inline(always)]
    fn live(&self) -> Option<H> {
        self.is_live().then_some(self.handle)
    }

    #[inline(always)]
    fn is_live(&self) -> bool {
        self.state.load(Ordering::Relaxed) == self.found
    }
}

/// The labels that every series of a family has, and what its others may be called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constant {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) allows_ids: bool,
    pub(crate) names: Names,
}

impl Constant {
    /// The canonical set of these labels and the constant ones, checked.
    pub(crate) fn with(&self, labels: &[(&str, &str)]) -> Result<Canonical, Error> {
        let constant = self.labels.iter();
        let constant = constant.map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = constant.chain(labels.iter().copied()).collect();
        if !self.allows_ids {
            labels::refuse_ids(&all)?;
        }
        Canonical::new(&all, self.names)
    }

    /// The overflow series' labels of a family with sets of one type, whose names are checked with it.
    pub(crate) fn with_names(&self, names: &[&str]) -> Result<Canonical, Error> {
        let texts = vec![Cow::Borrowed(OVERFLOW_VALUE); names.len()];
        self.with(&pairs(names, &texts))
    }
}

impl<H: Handle> Family<H> {
    pub(crate) fn new(
        attached: &'static Attached,
        known: Option<(u32, FamilyRecord)>,
        constant: Constant,
    ) -> Family<H> {
        let limit = known.as_ref().map_or(0, |known| known.1.spec.series_limit);
        Family {
            attached,
            known,
            constant,
            lookup: Lookup::new(limit),
        }
    }

    pub(crate) fn record(&self) -> Option<&FamilyRecord> {
        self.known.as_ref().map(|(_, record)| record)
    }

    /// The canonical set of these labels and the constant ones, checked.
    pub(crate) fn canonical(&self, labels: &[(&str, &str)]) -> Result<Canonical, Error> {
        self.constant.with(labels)
    }

    /// Registers a series or finds it, and counts where it had to go elsewhere.
    pub(crate) fn resolve(&self, labels: &Canonical) -> (H, Outcome) {
        let (handle, outcome, _) = self.resolve_held(labels, None, Hold::Kept);
        (handle, outcome)
    }

    /// As `resolve`, with the series that is held for the handle, unless it is refused already.
    pub(crate) fn resolve_held(
        &self,
        labels: &Canonical,
        refused: Option<Loss>,
        hold: Hold,
    ) -> (H, Outcome, Option<Found>) {
        let (handle, outcome, found, refusal) = self.resolve_uncounted(labels, refused, hold);
        self.count(refusal);
        (handle, outcome, found)
    }

    /// Registers a series or finds it, or says why not.
    pub(crate) fn try_resolve(&self, labels: &Canonical) -> Result<H, Error> {
        let attached = self.attached;
        let outside =
            || Error::not_a_segment(&attached.segment.path, "a series' cells lie outside");
        let (index, record) = self.known.as_ref().ok_or_else(outside)?;
        let family = (*index, record);
        let resolved = attached.try_resolve(family, labels, Hold::Kept)?;
        attached.hold_family(*index, Hold::Kept);
        H::resolve(attached, family, &resolved).ok_or_else(outside)
    }

    /// Registers a series or finds it, unless it is refused already. A refusal is left to be counted.
    fn resolve_uncounted(
        &self,
        labels: &Canonical,
        refused: Option<Loss>,
        hold: Hold,
    ) -> (H, Outcome, Option<Found>, Option<Loss>) {
        let sink = || H::sink(self.attached);
        let Some((index, record)) = &self.known else {
            return (sink(), Outcome::Sink, None, None);
        };
        let family = (*index, record);
        let (resolved, refusal) = match refused {
            Some(loss) => (self.attached.overflow(family, labels), Some(loss)),
            None => self.attached.resolve(family, labels, hold),
        };
        let is_series = resolved.outcome != Outcome::Sink;
        if is_series {
            self.attached.hold_family(*index, hold);
        }
        let handle = is_series.then(|| H::resolve(self.attached, family, &resolved));
        match handle.flatten() {
            Some(handle) => (handle, resolved.outcome, resolved.found, refusal),
            None => (sink(), Outcome::Sink, None, refusal),
        }
    }

    /// A handle to be remembered, and why it was refused a series of its own.
    fn known(&self, labels: &Canonical, refused: Option<Loss>) -> (Known<H>, Option<Loss>) {
        let (handle, _, found, refusal) = self.resolve_uncounted(labels, refused, Hold::Kept);
        let word = found.and_then(|found| {
            let segment = &self.attached.segment;
            let words = segment.entry(Section::Series, found.record, series::WORDS)?;
            Some((&words[series::STATE], found.state))
        });
        let (state, found) = word.unwrap_or((&FOR_GOOD, 0));
        let known = Known {
            handle,
            state,
            found,
        };
        (known, refusal)
    }

    fn count(&self, refusal: Option<Loss>) {
        if let (Some((index, _)), Some(loss)) = (&self.known, refusal) {
            self.attached.count_folded(*index, loss);
        }
    }

    /// Remembers the series of a set that this process has not used before. Whichever thread is first counts it
    /// where it is refused.
    fn learn(
        &self,
        hash: u64,
        key: Box<[Part]>,
        resolve: impl Fn() -> (Known<H>, Option<Loss>),
    ) -> H {
        let mut refusal = None;
        let (known, is_new) = self.lookup.remember(hash, key, || {
            let (known, refused) = resolve();
            refusal = refused;
            known
        });
        if is_new {
            self.count(refusal);
        }
        known.live().unwrap_or_else(|| self.anew(resolve))
    }

    /// The handle of a set whose series was removed since it was remembered. What is remembered stays as it is, so
    /// that each use of the set comes here: such sets are for leases.
    fn anew(&self, resolve: impl Fn() -> (Known<H>, Option<Loss>)) -> H {
        let (known, refusal) = resolve();
        self.count(refusal);
        known.handle
    }

    #[inline(always)]
    fn find<const N: usize>(&self, labels: [(&str, &str); N]) -> Option<H> {
        let query = Pairs::new(labels);
        let hash = query.hash(self.lookup.seed());
        self.lookup.find(hash, &query)?.live()
    }

    /// The series of a set that was not found as it was given.
    #[cold]
    #[inline(never)]
    fn learn_pairs(&self, labels: &[(&str, &str)]) -> Result<H, Error> {
        let canonical = self.canonical(labels)?;
        let mut present: Vec<(&str, &str)> = labels.to_vec();
        present.retain(|(_, value)| !value.is_empty());
        Ok(match present[..] {
            [a] => self.learn_present([a], &canonical),
            [a, b] => self.learn_present([a, b], &canonical),
            [a, b, c] => self.learn_present([a, b, c], &canonical),
            [a, b, c, d] => self.learn_present([a, b, c, d], &canonical),
            _ => self.resolve(&canonical).0,
        })
    }

    fn learn_present<const N: usize>(&self, labels: [(&str, &str); N], canonical: &Canonical) -> H {
        let query = Pairs::new(labels);
        let hash = query.hash(self.lookup.seed());
        let found = self.lookup.find(hash, &query).and_then(Known::live);
        found.unwrap_or_else(|| self.learn(hash, query.key(), || self.known(canonical, None)))
    }

    /// The canonical set of one of a type; that of the overflow series, and why, where a value is too long.
    pub(crate) fn typed<L: LabelSet>(&self, labels: &L) -> (Canonical, Option<Loss>) {
        self.written(L::NAMES, &Written::of(labels).texts)
    }

    fn written(&self, names: &[&str], texts: &[Cow<'static, str>]) -> (Canonical, Option<Loss>) {
        match self.canonical(&pairs(names, texts)) {
            Ok(canonical) => (canonical, None),
            Err(_) => {
                let overflow = self.constant.with_names(names);
                let overflow = overflow.expect("they were checked at registration");
                (overflow, Some(Loss::LabelTooLong))
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn learn_typed(&self, hash: u64, names: &[&str], written: Written) -> H {
        let Written { key, texts } = written;
        self.learn(hash, key.into(), || {
            let (canonical, refused) = self.written(names, &texts);
            self.known(&canonical, refused)
        })
    }
}

/// A handle that was learnt, in memory of its own: where it shared some with handles that were found, those would go
/// through memory too.
#[inline(always)]
fn apart<H: Copy>(handle: H) -> H {
    *std::hint::black_box(&handle)
}

/// The names of a set with these values.
pub(crate) fn pairs<'a>(
    names: &[&'a str],
    texts: &'a [Cow<'static, str>],
) -> Vec<(&'a str, &'a str)> {
    let names = names.iter().copied();
    names.zip(texts.iter().map(|text| &**text)).collect()
}

impl<H> Drop for Family<H> {
    fn drop(&mut self) {
        if let Some((index, _)) = &self.known {
            self.attached.release_family(*index);
        }
    }
}

impl<H: Handle> Family<H> {
    pub(crate) fn attached(&self) -> &'static Attached {
        self.attached
    }

    /// The number of its record, if it has one.
    pub(crate) fn index(&self) -> Option<u32> {
        self.known.as_ref().map(|(index, _)| *index)
    }
}

impl<H: Handle> FamilyHandle<H> {
    /// Registers the series with these labels, in any order, or finds it, and returns its handle.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label. A full table is no error: see [`crate::Registration::register`].
    #[inline]
    pub fn with(&self, labels: &[(&str, &str)]) -> Result<H, Error> {
        let known = match labels {
            [a] => self.family.find([*a]),
            [a, b] => self.family.find([*a, *b]),
            [a, b, c] => self.family.find([*a, *b, *c]),
            [a, b, c, d] => self.family.find([*a, *b, *c, *d]),
            _ => None,
        };
        match known {
            Some(handle) => Ok(handle),
            None => self.family.learn_pairs(labels).map(apart),
        }
    }
}

/// A family whose series are told apart by label sets of one type, texts among them.
///
/// Updates of a set that this process has used before take neither a lock nor an allocation; others are
/// registered as they come, up to the family's limit, and folded into its overflow series from there.
///
/// ```
/// use tachograph::{Counter, LabelSet, Labelled, SegmentOptions};
///
/// #[derive(LabelSet)]
/// struct Request<'a> {
///     endpoint: &'a str,
///     code: u16,
/// }
///
/// let writer = SegmentOptions::new().heap()?;
/// let requests: Labelled<Counter, Request<'static>> =
///     writer.counter("requests_total", "Requests served").labelled()?;
///
/// let endpoint = String::from("/search");
/// requests.with(&Request { endpoint: &endpoint, code: 200 }).inc();
///
/// let snapshot = writer.snapshot()?;
/// assert_eq!(snapshot.number("requests_total", &[("endpoint", "/search"), ("code", "200")]), 1.0);
/// # Ok::<(), tachograph::Error>(())
/// ```
pub struct Labelled<H, L> {
    pub(crate) handle: FamilyHandle<H>,
    pub(crate) labels: PhantomData<fn() -> L>,
}

impl<H: Handle, L: LabelSet> Labelled<H, L> {
    /// The handle of the series with these labels. It can be kept, and keeps the series' memory until the process
    /// ends: for label sets that come and go there is [`Labelled::lease`].
    ///
    /// Past the family's limit it is that of the overflow series, whose updates are in nobody's way; how many
    /// sets were folded into it is counted in the segment. An empty value means that the label is absent.
    #[inline(always)]
    pub fn with<Q: LabelSet<Static = L>>(&self, labels: &Q) -> H {
        let family = &*self.handle.family;
        let query = Typed::new(labels, family.lookup.seed());
        let hash = query.hash();
        if let Some(known) = family.lookup.find(hash, &query)
            && known.is_live()
        {
            return known.handle;
        }
        // A set that is written down here stays in registers where it is known.
        let written = Written::of(labels);
        apart(family.learn_typed(hash, Q::NAMES, written))
    }
}

impl<H> Clone for FamilyHandle<H> {
    fn clone(&self) -> Self {
        FamilyHandle {
            family: Arc::clone(&self.family),
        }
    }
}

impl<H, L> Clone for Labelled<H, L> {
    fn clone(&self) -> Self {
        Labelled {
            handle: self.handle.clone(),
            labels: PhantomData,
        }
    }
}

impl<H> std::fmt::Debug for FamilyHandle<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.family.known.as_ref().map(|known| &known.1.spec.name);
        f.debug_tuple("FamilyHandle").field(&name).finish()
    }
}

impl<H, L> std::fmt::Debug for Labelled<H, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Labelled").field(&self.handle).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::proof::meanwhile;
    use crate::{Counter, SegmentOptions};

    #[test]
    fn a_set_that_two_threads_are_refused_at_once_is_counted_once() {
        let writer = SegmentOptions::new().heap().unwrap();
        let counter = writer.counter("a_total", "h").series_limit(1);
        let family: FamilyHandle<Counter> = counter.family().unwrap();
        family.with(&[("k", "1")]).unwrap();
        let other = family.clone();
        let refuse = move || other.with(&[("k", "2")]).unwrap().inc();
        let _planned = meanwhile::at("overflow-made", refuse);
        family.with(&[("k", "2")]).unwrap().inc();
        let snapshot = writer.snapshot().unwrap();
        assert_eq!(snapshot.losses.count(Loss::SeriesLimit), 1);
        assert_eq!(snapshot.number("a_total", &[("k", OVERFLOW_VALUE)]), 2.0);
    }
}
