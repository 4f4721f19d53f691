//! Metrics declared as a struct: registered in one call, under one prefix and with the same constant labels.

use crate::counter::{Counter, CounterF64};
use crate::dense::Dense;
use crate::error::Error;
use crate::family::{FamilyHandle, Handle, Labelled};
use crate::gauge::{Gauge, GaugeF64, Info, StateSet};
use crate::histogram::Histogram;
use crate::options::SegmentOptions;
use crate::sets::{BoundedSet, LabelSet};
use crate::snapshot::{HistogramView, Snapshot, ValueView};
use crate::traced::{Traceable, Traced};
use crate::writer::{Registration, Writer};

/// A struct of metrics: derive it.
///
/// ```
/// use tachograph::{
///     Counter, Dense, Gauge, Histogram, LabelSet, LabelValue, Labelled, Metrics, StateSet, Traced,
/// };
///
/// #[derive(Clone, Copy, LabelValue)]
/// enum Method { Get, Post }
///
/// #[derive(Clone, Copy, LabelSet)]
/// struct Request { method: Method, cached: bool }
///
/// #[derive(LabelSet)]
/// struct Endpoint<'a> { path: &'a str }
///
/// #[derive(Clone, Copy, LabelValue)]
/// enum State { Starting, Serving }
///
/// #[derive(Metrics)]
/// #[metrics(prefix = "shop", labels(service = "api"))]
/// struct ShopMetrics {
///     /// Requests served.
///     requests_total: Dense<Counter, Request>,
///     /// Bytes sent.
///     #[metric(name = "sent_bytes_total", unit = bytes, series_limit = 100)]
///     sent: Labelled<Counter, Endpoint<'static>>,
///     /// Time to serve a request.
///     #[metric(unit = nanoseconds, buckets = [1_000_000, 10_000_000])]
///     request_duration_seconds: Traced<Histogram>,
///     /// The longest queue of a living process.
///     #[metric(mode = max)]
///     waiting_requests: Gauge,
///     /// What the server does.
///     #[metric(states = State, labels(part = "listener"))]
///     state: StateSet,
///     #[metric(flatten, prefix = "store")]
///     store: StoreMetrics,
/// }
///
/// #[derive(Metrics)]
/// struct StoreMetrics {
///     /// Rows read.
///     rows_total: Counter,
/// }
///
/// // In a program: `ShopMetrics::register(&Writer::attach()?)?`.
/// let (metrics, test) = ShopMetrics::for_test();
/// metrics.requests_total.get(Request { method: Method::Get, cached: true }).inc();
/// metrics.sent.with(&Endpoint { path: "/cart" }).add(512);
/// metrics.store.rows_total.add(3);
///
/// let labels = [("service", "api"), ("method", "get"), ("cached", "true")];
/// assert_eq!(test.value("shop_requests_total", &labels), Some(1.0));
/// assert_eq!(test.value("shop_sent_bytes_total", &[("service", "api"), ("path", "/cart")]), Some(512.0));
/// assert_eq!(test.value("shop_store_rows_total", &[("service", "api")]), Some(3.0));
/// ```
///
/// The help text is the doc comment. On the struct, `#[metrics(…)]` takes
///
/// | option | meaning |
/// |---|---|
/// | `prefix = "shop"` | stands before every name, with an underscore between |
/// | `labels(service = "api")` | constant labels of every series |
///
/// and on a field, `#[metric(…)]` takes
///
/// | option | meaning |
/// |---|---|
/// | `name = "…"` | the name, where it is not the field's |
/// | `help = "…"` | the help text, where it is not the doc comment |
/// | `unit = nanoseconds` | what is recorded: `nanoseconds`, `microseconds`, `milliseconds`, `seconds`, `bytes`, `kibibytes`, `ratio`, `percent`, or an expression such as `Unit::custom("joules", 1, 1)` |
/// | `labels(part = "x")` | constant labels of its series |
/// | `series_limit = 100` | how many series the family may have |
/// | `allow_id_labels` | accepts labels such as `user_id` |
/// | `utf8_names` | accepts any UTF-8 in its name and labels, such as `name = "http.requests_total"` |
/// | `keep_for = "10m"` | how long a series is kept that nobody writes to: `ms`, `s`, `m`, `h`, `d`, or an expression of type [`std::time::Duration`]; of a [`Labelled`] or [`FamilyHandle`] |
/// | `mode = max` | of a gauge or state set: `sum`, `min`, `max`, `each`, `latest`, `lasting_sum`, `lasting_min`, `lasting_max`, `lasting_latest` |
/// | `buckets = […]` | of a histogram: bounds in the recorded unit, `log_linear(precision, highest)`, or an expression of type [`crate::Buckets`] |
/// | `sharding = …` | of a histogram: an expression of type [`crate::Sharding`] |
/// | `states = State` | of a state set: an enum that derives [`crate::LabelValue`], or `["a", "b"]` |
/// | `flatten` | the field is another declared struct; `prefix` and `labels` go with it |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a declared struct of metrics",
    note = "derive `Metrics` on it"
)]
pub trait Metrics: Sized {
    /// Registers the metrics in a scope.
    ///
    /// # Errors
    /// [`Error::Field`], which names the field that is wrong.
    fn register_in(scope: &Scope) -> Result<Self, Error>;

    /// Registers the metrics, or finds them registered.
    ///
    /// # Errors
    /// [`Error::Field`], which names the field that is wrong.
    fn register(writer: &Writer) -> Result<Self, Error> {
        Self::register_in(&Scope::new(writer))
    }

    /// The metrics in a segment of their own, to be read by a test.
    ///
    /// # Panics
    /// Where they cannot be registered, with the reason.
    fn for_test() -> (Self, TestSegment) {
        let test = TestSegment::new();
        let metrics = Self::register(test.writer()).unwrap_or_else(|error| panic!("{error}"));
        (metrics, test)
    }
}

/// Where the metrics of a declared struct go: a writer, a prefix and constant labels.
#[derive(Debug, Clone)]
pub struct Scope {
    writer: Writer,
    prefix: String,
    labels: Vec<(String, String)>,
}

impl Scope {
    /// All of what a writer attached, without a prefix or labels.
    pub fn new(writer: &Writer) -> Scope {
        Scope {
            writer: *writer,
            prefix: String::new(),
            labels: Vec::new(),
        }
    }

    /// The same with a prefix after those it has, and an underscore after that.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Scope {
        self.prefix += prefix;
        self.prefix += "_";
        self
    }

    /// The same with another constant label.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Scope {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Declares a family of the scope by the type of its field.
    pub fn declare<F: Field>(&self, name: &str, help: &str) -> Registration<F::Handle> {
        let name = format!("{}{name}", self.prefix);
        let labels = self.labels.iter();
        labels.fold(
            self.writer.declare(&name, help),
            |registration, (name, value)| registration.label(name, value),
        )
    }
}

/// What a field of a declared struct may be: a handle, [`Traced`] or not, a [`Labelled`] or [`Dense`] family, or a
/// [`FamilyHandle`].
///
/// Anything else does not compile, nor does a dense family of a set with texts:
///
/// ```compile_fail,E0277
/// #[derive(tachograph::Metrics)]
/// struct NoMetric {
///     /// Help
///     text: String,
/// }
/// ```
///
/// ```compile_fail,E0277
/// #[derive(tachograph::LabelSet)]
/// struct Path<'a> { path: &'a str }
///
/// #[derive(tachograph::Metrics)]
/// struct NotDense {
///     /// Help
///     requests_total: tachograph::Dense<tachograph::Counter, Path<'static>>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a metric",
    label = "a field is a handle such as `Counter`, or `Labelled<…>` or `Dense<…>` of one",
    note = "mark a field that is another declared struct `#[metric(flatten)]`"
)]
pub trait Field: Sized {
    /// The handle that it holds or makes.
    type Handle: Handle;

    /// Registers what was declared.
    ///
    /// # Errors
    /// As [`Registration::register`].
    fn register(declared: Registration<Self::Handle>) -> Result<Self, Error>;
}

macro_rules! field {
    ($($handle:ident),+) => {$(
        impl Field for $handle {
            type Handle = $handle;
            fn register(declared: Registration<$handle>) -> Result<$handle, Error> {
                declared.register()
            }
        }
    )+};
}

field!(
    Counter, CounterF64, Gauge, GaugeF64, Histogram, Info, StateSet
);

impl<H: Traceable> Field for Traced<H> {
    type Handle = Traced<H>;
    fn register(declared: Registration<Traced<H>>) -> Result<Traced<H>, Error> {
        declared.register()
    }
}

impl<H: Handle> Field for FamilyHandle<H> {
    type Handle = H;
    fn register(declared: Registration<H>) -> Result<Self, Error> {
        declared.family()
    }
}

impl<H: Handle, L: LabelSet> Field for Labelled<H, L> {
    type Handle = H;
    fn register(declared: Registration<H>) -> Result<Self, Error> {
        declared.labelled()
    }
}

impl<H: Handle, L: BoundedSet> Field for Dense<H, L> {
    type Handle = H;
    fn register(declared: Registration<H>) -> Result<Self, Error> {
        declared.dense()
    }
}

/// A segment on the heap, for the tests of a program. Its memory is never freed.
///
/// ```
/// use tachograph::TestSegment;
///
/// let test = TestSegment::new();
/// let requests = test.writer().counter("requests_total", "Requests").register()?;
/// requests.add(2);
/// assert_eq!(test.value("requests_total", &[]), Some(2.0));
/// assert_eq!(test.value("requests_total", &[("method", "get")]), None);
/// # Ok::<(), tachograph::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TestSegment {
    writer: Writer,
}

impl Default for TestSegment {
    fn default() -> TestSegment {
        TestSegment::new()
    }
}

impl TestSegment {
    /// An empty segment.
    ///
    /// # Panics
    /// Never: its options are possible.
    pub fn new() -> TestSegment {
        let options = SegmentOptions::new().processes(4).histogram_bytes(16 << 20);
        let writer = options.string_bytes(1 << 20).heap();
        TestSegment {
            writer: writer.expect("these options are possible"),
        }
    }

    /// A writer of the segment.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// All values of this moment.
    ///
    /// # Panics
    /// Where the segment was damaged.
    pub fn snapshot(&self) -> Snapshot {
        let snapshot = self.writer.snapshot();
        snapshot.unwrap_or_else(|error| panic!("a segment on the heap can be read: {error}"))
    }

    /// The value of a counter or gauge in base units, 1 for an info; `None` where the series is not there, is not
    /// set, or is of another type.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let snapshot = self.snapshot();
        let scale = snapshot.family(name)?.family.unit.scale();
        match snapshot.value(name, labels)? {
            ValueView::Number(number) => Some(number.scaled(scale).as_f64()),
            ValueView::Info => Some(1.0),
            _ => None,
        }
    }

    /// How many values a histogram recorded; `None` where it is not there.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        self.histogram(name, labels, |view, _| view.count())
    }

    /// The sum of what a histogram recorded, in base units; `None` where it is not there.
    #[expect(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.histogram(name, labels, |view, snapshot| {
            let scale = snapshot.family(name).map(|view| view.family.unit.scale());
            scale.map_or(0.0, |scale| scale.apply(view.sum as f64))
        })
    }

    /// How many label sets were folded into a family's overflow series.
    pub fn folded(&self, name: &str) -> u64 {
        let snapshot = self.snapshot();
        snapshot.family(name).map_or(0, |view| view.overflowed())
    }

    fn histogram<T>(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        read: impl FnOnce(HistogramView<'_>, &Snapshot) -> T,
    ) -> Option<T> {
        let snapshot = self.snapshot();
        match snapshot.value(name, labels)? {
            ValueView::Histogram(view) => Some(read(view, &snapshot)),
            _ => None,
        }
    }
}
