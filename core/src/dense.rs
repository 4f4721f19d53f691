//! Families of bounded label sets: a block of handles, indexed by arithmetic.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::Error;
use crate::family::{self, Family, Handle};
use crate::record::FamilySpec;
use crate::sets::BoundedSet;

/// A family with a series for every combination of some bounded labels: all there from the start, at zero.
///
/// ```
/// use tachograph::{Counter, Dense, LabelSet, LabelValue, SegmentOptions};
///
/// #[derive(Clone, Copy, LabelValue)]
/// enum Method { Get, Post }
///
/// #[derive(Clone, Copy, LabelSet)]
/// struct Request {
///     method: Method,
///     cached: bool,
/// }
///
/// let writer = SegmentOptions::new().heap()?;
/// let requests: Dense<Counter, Request> =
///     writer.counter("requests_total", "Requests served").dense()?;
///
/// requests.get(Request { method: Method::Post, cached: false }).inc();
///
/// let snapshot = writer.snapshot()?;
/// assert_eq!(snapshot.family("requests_total").unwrap().series().len(), 4);
/// assert_eq!(snapshot.number("requests_total", &[("method", "post"), ("cached", "false")]), 1.0);
/// # Ok::<(), tachograph::Error>(())
/// ```
pub struct Dense<H, L> {
    handles: Arc<[H]>,
    labels: PhantomData<fn() -> L>,
}

impl<H: Handle, L: BoundedSet> Dense<H, L> {
    /// Registers every combination.
    pub(crate) fn new(family: &Family<H>) -> Result<Dense<H, L>, Error> {
        let spec = family.record().map(|known| &known.spec);
        if let Some(spec) = spec
            && L::COUNT as u64 > spec.series_limit
        {
            let reason = format!(
                "its labels have {} combinations and it may have {} series; raise series_limit, \
                 or use Labelled, which registers what is used",
                L::COUNT,
                spec.series_limit
            );
            return Err(refused(spec, reason));
        }
        if let Some(spec) = spec.filter(|spec| spec.keep_nanos > 0) {
            let reason =
                "its handles are kept for good; leave out keep_for, or use Labelled and leases";
            return Err(refused(spec, reason.to_owned()));
        }
        let register = |index| {
            let texts = L::texts(index);
            let labels = family.canonical(&family::pairs(L::NAMES, &texts))?;
            Ok(family.resolve(&labels).0)
        };
        let handles: Result<Arc<[H]>, Error> = (0..L::COUNT).map(register).collect();
        Ok(Dense {
            handles: handles?,
            labels: PhantomData,
        })
    }

    /// The handle of the series with these labels: one of the block, found by its index. It can be copied and kept.
    #[inline(always)]
    pub fn get(&self, labels: L) -> &H {
        &self.handles[labels.index()]
    }
}

fn refused(spec: &FamilySpec, reason: String) -> Error {
    Error::Invalid {
        what: "dense family",
        given: spec.name.clone(),
        reason,
    }
}

impl<H, L> Clone for Dense<H, L> {
    fn clone(&self) -> Self {
        Dense {
            handles: Arc::clone(&self.handles),
            labels: PhantomData,
        }
    }
}

impl<H, L> std::fmt::Debug for Dense<H, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let series = self.handles.len();
        f.debug_struct("Dense")
            .field("series", &series)
            .finish_non_exhaustive()
    }
}
