//! Handles whose series keep exemplars.

use std::ops::Deref;
use std::time::Duration;

use crate::attached::{Attached, Resolve, Resolved};
use crate::buckets::to_recorded;
use crate::counter::{Counter, CounterF64};
use crate::exemplar::Exemplars;
use crate::family::Handle;
use crate::histogram::Histogram;
use crate::record::FamilyRecord;
use crate::schema::Kind;
use crate::trace::SpanContext;

/// A handle whose series keep exemplars: values with the trace that they were recorded in.
///
/// It does what `H` does, at the same cost, and can leave an exemplar with a value. A counter keeps one, a histogram
/// up to sixteen, spread over its buckets so that quick and slow requests both have one. Each is left alone
/// for 100 ms after it was taken, so that a request that leaves none pays a look at the clock.
///
/// Whether a family keeps exemplars is decided by whoever registers it first. Where it keeps none, or there is no
/// room for them, values are recorded all the same.
///
/// ```
/// use tachograph::{Histogram, Metrics, SpanContext, Traced};
///
/// #[derive(Metrics)]
/// struct Served {
///     /// Time to serve a request.
///     #[metric(unit = nanoseconds)]
///     request_duration_seconds: Traced<Histogram>,
/// }
///
/// let (served, test) = Served::for_test();
/// let span = SpanContext::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
/// served.request_duration_seconds.record_with_exemplar(1_250_000, &span);
/// served.request_duration_seconds.record(3_000);
///
/// let snapshot = test.snapshot();
/// let series = snapshot.series("request_duration_seconds", &[]).unwrap();
/// let exemplar = series.exemplars().next().unwrap();
/// assert_eq!(exemplar.value.as_f64(), 1_250_000.0);
/// assert_eq!(exemplar.trace_id, span.trace_id());
/// # Ok::<(), tachograph::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Traced<H> {
    handle: H,
    exemplars: Exemplars,
}

/// A handle whose series can keep exemplars: [`Counter`], [`CounterF64`] and [`Histogram`].
pub trait Traceable: Handle {}

impl Traceable for Counter {}
impl Traceable for CounterF64 {}
impl Traceable for Histogram {}

/// A handle of a distribution: [`Histogram`], and [`Traced`] of it.
pub trait Bucketed: Handle {}

impl Bucketed for Histogram {}
impl Bucketed for Traced<Histogram> {}

impl<H> Deref for Traced<H> {
    type Target = H;

    #[inline(always)]
    fn deref(&self) -> &H {
        &self.handle
    }
}

impl Traced<Histogram> {
    /// Records one value, and leaves it with its trace as an exemplar of its bucket.
    #[inline]
    pub fn record_with_exemplar(&self, value: u64, span: &SpanContext) {
        self.handle.record(value);
        let index = self.handle.shape().exemplar_of(value);
        self.exemplars.leave(index, value, span);
    }

    /// Records a duration as [`Histogram::record_duration`] does, and leaves an exemplar.
    #[inline]
    pub fn record_duration_with_exemplar(&self, duration: Duration, span: &SpanContext) {
        let scale = self.handle.shape().scale;
        if scale.invert(1.0) == 1e9 {
            let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            self.record_with_exemplar(nanos, span);
        } else {
            self.record_f64_with_exemplar(duration.as_secs_f64(), span);
        }
    }

    /// Records a value given in the base unit as [`Histogram::record_f64`] does, and leaves an exemplar.
    #[inline]
    pub fn record_f64_with_exemplar(&self, value: f64, span: &SpanContext) {
        match to_recorded(value, self.handle.shape().scale) {
            Some(recorded) => self.record_with_exemplar(recorded, span),
            None => self.handle.record_f64(value),
        }
    }
}

impl Traced<Counter> {
    /// Adds `n`, and leaves it with its trace as the counter's exemplar.
    #[inline]
    pub fn add_with_exemplar(&self, n: u64, span: &SpanContext) {
        self.handle.add(n);
        self.exemplars.leave(0, n, span);
    }
}

impl Traced<CounterF64> {
    /// Adds `n` in recorded units, and leaves it with its trace as the counter's exemplar. NaN, negative and infinite
    /// amounts are refused and counted.
    #[inline]
    pub fn add_with_exemplar(&self, n: f64, span: &SpanContext) {
        self.handle.add(n);
        if (0.0..f64::INFINITY).contains(&n) {
            self.exemplars.leave(0, n.to_bits(), span);
        }
    }
}

impl<H: Traceable> Resolve for Traced<H> {
    const KIND: Kind = H::KIND;
    const KEEPS_EXEMPLARS: bool = true;

    fn resolve(
        attached: &'static Attached,
        family: (u32, &FamilyRecord),
        resolved: &Resolved,
    ) -> Option<Traced<H>> {
        let handle = H::resolve(attached, family, resolved)?;
        let (first, count) = (resolved.cells.exemplars, family.1.placement.exemplars);
        let exemplars = Exemplars::new(&attached.segment, first, count);
        Some(Traced { handle, exemplars })
    }

    fn sink(attached: &'static Attached) -> Traced<H> {
        Traced {
            handle: H::sink(attached),
            exemplars: Exemplars::NONE,
        }
    }
}

impl<H: Traceable + Default> Default for Traced<H> {
    /// A handle that works and records nowhere.
    fn default() -> Traced<H> {
        Traced {
            handle: H::default(),
            exemplars: Exemplars::NONE,
        }
    }
}
