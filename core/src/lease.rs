//! Series that come and go: handles that are given back, removal, and whether a series is still there.

use std::ops::Deref;
use std::sync::Arc;

use crate::attached::{Attached, Outcome};
use crate::error::Error;
use crate::family::{Family, FamilyHandle, Handle, Labelled};
use crate::held::Hold;
use crate::index::Found;
use crate::labels::LabelSet as Canonical;
use crate::layout::{Section, series};
use crate::loss::Loss;
use crate::removal;
use crate::sets::LabelSet;
use crate::sync::Ordering;

/// A handle that is given back when its last clone is dropped: for label sets that come and go.
///
/// Once a series is removed and no living process has a handle of it, its memory serves other series. A plain
/// handle lasts as long as its process. What is copied out of a lease must not be used once the lease is dropped:
/// it may then write to another series.
///
/// ```
/// use tachograph::{Counter, LabelSet, Labelled, Metrics};
///
/// #[derive(LabelSet)]
/// struct Session<'a> { session: &'a str }
///
/// #[derive(Metrics)]
/// struct ServerMetrics {
///     /// Bytes sent by session
///     #[metric(unit = bytes, keep_for = "10m")] // those that nobody closed
///     session_bytes_total: Labelled<Counter, Session<'static>>,
/// }
///
/// let (metrics, test) = ServerMetrics::for_test();
/// let key = Session { session: "17" };
/// let session = metrics.session_bytes_total.lease(&key);
/// session.add(512);
/// assert_eq!(test.value("session_bytes_total", &[("session", "17")]), Some(512.0));
/// assert!(metrics.session_bytes_total.remove(&key)?);
/// assert!(!session.is_live());
/// assert_eq!(test.value("session_bytes_total", &[("session", "17")]), None);
/// # Ok::<(), tachograph::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lease<H> {
    handle: H,
    outcome: Outcome,
    series: Option<Arc<Leased>>,
}

/// One hold on a series and its family.
#[derive(Debug)]
struct Leased {
    attached: &'static Attached,
    family: u32,
    found: Found,
    /// False of an overflow series, which stays as long as its family is held.
    is_counted: bool,
}

impl Drop for Leased {
    fn drop(&mut self) {
        if self.is_counted {
            self.attached.release(self.found.record);
        }
        self.attached.release_family(self.family);
    }
}

impl Leased {
    fn is_live(&self) -> bool {
        let segment = &self.attached.segment;
        let words = segment.entry(Section::Series, self.found.record, series::WORDS);
        words.is_some_and(|words| words[series::STATE].load(Ordering::Relaxed) == self.found.state)
    }
}

impl<H> Lease<H> {
    /// Whether what is recorded shows: false once the series was removed.
    pub fn is_live(&self) -> bool {
        self.series.as_ref().is_some_and(|series| series.is_live())
    }

    /// Where what is recorded goes.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl<H> Deref for Lease<H> {
    type Target = H;

    #[inline(always)]
    fn deref(&self) -> &H {
        &self.handle
    }
}

impl<H: Handle> Family<H> {
    fn lease(&self, labels: &Canonical, refused: Option<Loss>) -> Lease<H> {
        let (handle, outcome, found) = self.resolve_held(labels, refused, Hold::Counted);
        let attached = self.attached();
        let held = self.index().zip(found);
        let series = held.map(|(family, found)| {
            Arc::new(Leased {
                attached,
                family,
                found,
                is_counted: outcome == Outcome::Series,
            })
        });
        Lease {
            handle,
            outcome,
            series,
        }
    }

    fn remove(&self, labels: &Canonical) -> Result<bool, Error> {
        let Some(family) = self.index() else {
            return Ok(false);
        };
        let attached = self.attached();
        removal::remove(&attached.segment, family, labels, attached.asker())
    }

    fn is_live(&self, labels: &Canonical) -> Result<bool, Error> {
        match self.index() {
            Some(family) => removal::is_live(&self.attached().segment, family, labels),
            None => Ok(false),
        }
    }
}

impl<H: Handle> FamilyHandle<H> {
    /// Registers the series with these labels, in any order, and returns a handle that can be given back.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label. A full table is no error: see [`crate::Registration::register`].
    pub fn lease(&self, labels: &[(&str, &str)]) -> Result<Lease<H>, Error> {
        let labels = self.family.canonical(labels)?;
        Ok(self.family.lease(&labels, None))
    }

    /// Removes the series with these labels, in any order: the next scrape does not show it. Whether there was one.
    ///
    /// Handles of it record into nothing from then on. Registered again, it is another series, from zero. The
    /// overflow series stays.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label, [`Error::NotASegment`] where the segment is damaged.
    pub fn remove(&self, labels: &[(&str, &str)]) -> Result<bool, Error> {
        self.family.remove(&self.family.canonical(labels)?)
    }

    /// Whether there is a series with these labels.
    ///
    /// # Errors
    /// As [`FamilyHandle::remove`].
    pub fn is_live(&self, labels: &[(&str, &str)]) -> Result<bool, Error> {
        self.family.is_live(&self.family.canonical(labels)?)
    }
}

impl<H: Handle, L: LabelSet> Labelled<H, L> {
    /// The series with these labels, as [`Labelled::with`], by a handle that can be given back.
    ///
    /// A registration each time: take it where the label set comes up, and keep it as long as that is in use.
    pub fn lease<Q: LabelSet<Static = L>>(&self, labels: &Q) -> Lease<H> {
        let (labels, refused) = self.handle.family.typed(labels);
        self.handle.family.lease(&labels, refused)
    }

    /// Removes the series with these labels, as [`FamilyHandle::remove`]. Whether there was one.
    ///
    /// # Errors
    /// [`Error::NotASegment`] where the segment is damaged.
    pub fn remove<Q: LabelSet<Static = L>>(&self, labels: &Q) -> Result<bool, Error> {
        match self.handle.family.typed(labels) {
            (labels, None) => self.handle.family.remove(&labels),
            (_, Some(_)) => Ok(false),
        }
    }

    /// Whether there is a series with these labels.
    ///
    /// # Errors
    /// As [`Labelled::remove`].
    pub fn is_live<Q: LabelSet<Static = L>>(&self, labels: &Q) -> Result<bool, Error> {
        match self.handle.family.typed(labels) {
            (labels, None) => self.handle.family.is_live(&labels),
            (_, Some(_)) => Ok(false),
        }
    }
}
