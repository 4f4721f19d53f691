//! Families whose series are found by their labels: by names and values, or by a type of label sets.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::attached::{Attached, Outcome, Resolve};
use crate::error::Error;
use crate::labels::{self, LabelSet as Canonical, OVERFLOW_VALUE};
use crate::lookup::{Digest, Lookup, Missed, Part, Query};
use crate::loss::Loss;
use crate::record::FamilyRecord;
use crate::sets::{self, LabelSet, LabelValue, LabelVisitor};

/// Labels of a type of label sets: more than any should have.
const DIGESTS: usize = 16;

/// What a program holds to record: one of [`crate::Counter`], [`crate::CounterF64`], [`crate::Gauge`],
/// [`crate::GaugeF64`], [`crate::Histogram`], [`crate::Info`] and [`crate::StateSet`].
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

/// A family as this process uses it.
pub(crate) struct Family<H> {
    attached: &'static Attached,
    /// `None` where not even the family could be registered.
    known: Option<(u32, FamilyRecord)>,
    constant: Constant,
    lookup: Lookup<H>,
}

/// The labels that every series of a family has, and what its others may be called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constant {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) allows_ids: bool,
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
        Canonical::new(&all)
    }

    /// The overflow series' labels of a family with sets of one type, whose names are checked with it.
    pub(crate) fn with_names<L: LabelSet>(&self) -> Result<Canonical, Error> {
        let texts = vec![Cow::Borrowed(OVERFLOW_VALUE); L::NAMES.len()];
        self.with(&pairs::<L>(&texts))
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

    pub(crate) fn known(&self) -> Option<&FamilyRecord> {
        self.known.as_ref().map(|(_, record)| record)
    }

    /// The canonical set of these labels and the constant ones, checked.
    pub(crate) fn canonical(&self, labels: &[(&str, &str)]) -> Result<Canonical, Error> {
        self.constant.with(labels)
    }

    /// Registers a series or finds it, and counts where it had to go elsewhere.
    pub(crate) fn resolve(&self, labels: &Canonical) -> (H, Outcome) {
        let (handle, outcome, refusal) = self.resolve_uncounted(labels, None);
        self.count(refusal);
        (handle, outcome)
    }

    /// Registers a series or finds it, unless it is refused already. A refusal is left to be counted.
    fn resolve_uncounted(
        &self,
        labels: &Canonical,
        refused: Option<Loss>,
    ) -> (H, Outcome, Option<Loss>) {
        let sink = || H::sink(self.attached);
        let Some((index, record)) = &self.known else {
            return (sink(), Outcome::Sink, None);
        };
        let family = (*index, record);
        let (resolved, refusal) = match refused {
            Some(loss) => (self.attached.overflow(family, labels), Some(loss)),
            None => self.attached.resolve(family, labels),
        };
        let is_series = resolved.outcome != Outcome::Sink;
        let handle = is_series.then(|| H::resolve(self.attached, family, &resolved));
        match handle.flatten() {
            Some(handle) => (handle, resolved.outcome, refusal),
            None => (sink(), Outcome::Sink, refusal),
        }
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
        missed: Missed,
        query: &impl Query,
        resolve: impl FnOnce() -> (H, Option<Loss>),
    ) -> H {
        let mut refusal = None;
        let (handle, is_new) = self.lookup.remember(missed, query, || {
            let (handle, refused) = resolve();
            refusal = refused;
            handle
        });
        if is_new {
            self.count(refusal);
        }
        handle
    }

    #[inline(always)]
    fn find<const N: usize>(&self, labels: [(&str, &str); N]) -> Option<H> {
        self.lookup.find(&Pairs::new(labels)).ok()
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
        self.lookup.find(&query).unwrap_or_else(|missed| {
            self.learn(missed, &query, || {
                let (handle, _, refusal) = self.resolve_uncounted(canonical, None);
                (handle, refusal)
            })
        })
    }

    #[cold]
    #[inline(never)]
    fn learn_typed<L: LabelSet>(&self, missed: Missed, labels: &L) -> H {
        self.learn(missed, &Typed::new(labels), || {
            let texts = sets::texts(labels);
            let overflow = || {
                let names = self.constant.with_names::<L>();
                names.expect("they were checked at registration")
            };
            let (canonical, refused) = match self.canonical(&pairs::<L>(&texts)) {
                Ok(canonical) => (canonical, None),
                // The names were checked at registration: a value is too long.
                Err(_) => (overflow(), Some(Loss::LabelTooLong)),
            };
            let (handle, _, refusal) = self.resolve_uncounted(&canonical, refused);
            (handle, refusal)
        })
    }
}

/// The names of a set with these values.
pub(crate) fn pairs<'a, L: LabelSet>(
    texts: &'a [Cow<'static, str>],
) -> Vec<(&'static str, &'a str)> {
    let names = L::NAMES.iter().copied();
    names.zip(texts.iter().map(|text| &**text)).collect()
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
            None => self.family.learn_pairs(labels),
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
    /// The handle of the series with these labels. It can be kept.
    ///
    /// Past the family's limit it is that of the overflow series, whose updates are in nobody's way; how many
    /// sets were folded into it is counted in the segment. An empty value means that the label is absent.
    #[inline(always)]
    pub fn with<Q: LabelSet<Static = L>>(&self, labels: &Q) -> H {
        let family = &*self.handle.family;
        match family.lookup.find(&Typed::new(labels)) {
            Ok(handle) => handle,
            Err(missed) => family.learn_typed(missed, labels),
        }
    }
}

/// Labels by name, in any order.
struct Pairs<'a, const N: usize> {
    labels: [(&'a str, &'a str); N],
    digests: [(Digest, Digest); N],
}

/// Loops, because the compiler leaves adapters over arrays out of line.
impl<'a, const N: usize> Pairs<'a, N> {
    #[inline(always)]
    fn new(labels: [(&'a str, &'a str); N]) -> Pairs<'a, N> {
        let mut digests = [(Digest::EMPTY, Digest::EMPTY); N];
        for (digest, (name, value)) in digests.iter_mut().zip(labels) {
            *digest = (Digest::of(name), Digest::of(value));
        }
        Pairs { labels, digests }
    }

    #[inline(always)]
    fn is_at(&self, at: usize, [name, value]: &[Part; 2]) -> bool {
        let (of_name, of_value) = self.digests[at];
        name.is(of_name, self.labels[at].0) && value.is(of_value, self.labels[at].1)
    }

    #[inline(never)]
    fn is_anywhere(&self, part: &[Part; 2]) -> bool {
        (0..N).any(|at| self.is_at(at, part))
    }
}

impl<const N: usize> Query for Pairs<'_, N> {
    #[inline(always)]
    fn hash(&self, seed: u64) -> u64 {
        let mut sum = 0u64;
        for ((name, value), (of_name, of_value)) in self.labels.iter().zip(self.digests) {
            // A sum, because the order does not matter.
            sum = sum.wrapping_add(of_value.hash(of_name.hash(seed, name), value));
        }
        sum
    }

    /// Every name of a key is there once, so as many labels that cover the key are the same set.
    #[inline(always)]
    fn is(&self, key: &[Part]) -> bool {
        let (kept, _) = key.as_chunks::<2>();
        if kept.len() != N {
            return false;
        }
        for (at, part) in kept.iter().enumerate() {
            if !self.is_at(at, part) && !self.is_anywhere(part) {
                return false;
            }
        }
        true
    }

    fn key(&self) -> Box<[Part]> {
        let pairs = self.labels.iter().zip(self.digests);
        let parts = pairs.flat_map(|((name, value), (of_name, of_value))| {
            [Part::new(of_name, name), Part::new(of_value, value)]
        });
        parts.collect()
    }
}

/// A set of one type, whose names go without saying.
struct Typed<'a, L> {
    labels: &'a L,
    digests: [Digest; DIGESTS],
}

impl<'a, L: LabelSet> Typed<'a, L> {
    #[inline(always)]
    fn new(labels: &'a L) -> Typed<'a, L> {
        const {
            assert!(
                L::NAMES.len() <= DIGESTS,
                "a label set has at most 16 labels"
            )
        };
        let mut digests = [Digest::EMPTY; DIGESTS];
        let mut at = 0;
        labels.visit(&mut Each(|value: Value<'_>| {
            digests[at] = value.digest();
            at += 1;
        }));
        Typed { labels, digests }
    }

    /// Shows every value with its digest.
    #[inline(always)]
    fn each(&self, mut show: impl FnMut(Digest, &str)) {
        let mut at = 0;
        self.labels.visit(&mut Each(|value: Value<'_>| {
            let text = match value {
                Value::Text(text) => text,
                Value::Number(_) => "",
            };
            show(self.digests[at], text);
            at += 1;
        }));
    }
}

impl<L: LabelSet> Query for Typed<'_, L> {
    #[inline(always)]
    fn hash(&self, seed: u64) -> u64 {
        let mut hash = seed;
        self.each(|digest, text| hash = digest.hash(hash, text));
        hash
    }

    #[inline(always)]
    fn is(&self, key: &[Part]) -> bool {
        let mut parts = key.iter();
        let mut is = true;
        self.each(|digest, text| {
            is = is && parts.next().is_some_and(|part| part.is(digest, text));
        });
        is
    }

    fn key(&self) -> Box<[Part]> {
        let mut key = Vec::with_capacity(L::NAMES.len());
        self.each(|digest, text| key.push(Part::new(digest, text)));
        key.into()
    }
}

/// A value of a label set.
enum Value<'a> {
    Text(&'a str),
    /// A number, or the place of a value in its domain.
    Number(i128),
}

impl Value<'_> {
    #[inline(always)]
    fn digest(&self) -> Digest {
        match self {
            Value::Text(text) => Digest::of(text),
            Value::Number(number) => Digest::of_number(*number),
        }
    }
}

/// A visitor that hands every value on.
struct Each<F>(F);

impl<F: FnMut(Value<'_>)> LabelVisitor for Each<F> {
    #[inline(always)]
    fn text(&mut self, value: &str) {
        self.0(Value::Text(value));
    }

    #[inline(always)]
    fn number(&mut self, value: i128) {
        self.0(Value::Number(value));
    }

    #[inline(always)]
    fn bounded<V: LabelValue>(&mut self, value: V) {
        self.0(Value::Number(value.index() as i128));
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
