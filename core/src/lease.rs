//! Series that come and go: handles that are given back, removal, and whether a series is still there.

use std::ops::Deref;
use std::sync::Arc;

use crate::attached::{Attached, Outcome};
use crate::error::Error;
use crate::family::{FamilyHandle, Handle};
use crate::held::Hold;
use crate::index::Found;
use crate::layout::{Section, series};
use crate::removal;
use crate::sync::Ordering;

/// A handle that is given back when its last clone is dropped: for label sets that come and go.
///
/// Once a series is removed and no living process has a handle of it, its memory serves other series. A plain
/// handle lasts as long as its process.
///
/// ```
/// # let writer = tachograph::SegmentOptions::new().heap()?;
/// # use tachograph::Unit;
/// let sessions = writer.counter("session_bytes_total", "Bytes by session").unit(Unit::BYTES).family()?;
/// let session = sessions.lease(&[("session", "17")])?;
/// session.add(512);
/// drop(session);
/// assert!(sessions.remove(&[("session", "17")])?);
/// # Ok::<(), tachograph::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lease<H> {
    handle: H,
    outcome: Outcome,
    series: Option<Arc<Leased>>,
}

/// One hold on a series.
#[derive(Debug)]
struct Leased {
    attached: &'static Attached,
    found: Found,
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.attached.release(self.found.record);
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
        match &self.series {
            Some(series) => series.is_live(),
            None => self.outcome == Outcome::Overflow,
        }
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

impl<H: Handle> FamilyHandle<H> {
    /// Registers the series with these labels, in any order, and returns a handle that can be given back.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label. A full table is no error: see [`crate::Registration::register`].
    pub fn lease(&self, labels: &[(&str, &str)]) -> Result<Lease<H>, Error> {
        let labels = self.family.canonical(labels)?;
        let (handle, outcome, found) = self.family.resolve_held(&labels, Hold::Counted);
        let attached = self.family.attached();
        let series = found.map(|found| Arc::new(Leased { attached, found }));
        Ok(Lease {
            handle,
            outcome,
            series,
        })
    }

    /// Removes the series with these labels, in any order: the next scrape does not show it. Whether there was one.
    ///
    /// Handles of it record into nothing from then on. Registered again, it is another series, from zero. The
    /// overflow series stays.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label, [`Error::NotASegment`] where the segment is damaged.
    pub fn remove(&self, labels: &[(&str, &str)]) -> Result<bool, Error> {
        let labels = self.family.canonical(labels)?;
        let Some(family) = self.family.index() else {
            return Ok(false);
        };
        let attached = self.family.attached();
        removal::remove(&attached.segment, family, &labels, attached.asker())
    }

    /// Whether there is a series with these labels.
    ///
    /// # Errors
    /// As [`FamilyHandle::remove`].
    pub fn is_live(&self, labels: &[(&str, &str)]) -> Result<bool, Error> {
        let labels = self.family.canonical(labels)?;
        let Some(family) = self.family.index() else {
            return Ok(false);
        };
        removal::is_live(&self.family.attached().segment, family, &labels)
    }
}
