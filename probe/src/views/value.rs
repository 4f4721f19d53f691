//! Families, series and their values.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use tachograph::{Distribution, Exemplar, Family, Kind, Number, Scale, Snapshot};

use super::{Amount, Labels, RefusedView};
use crate::chart::{self, Row};
use crate::filter::{Admission, Filter};
use crate::selector::Part;

/// What is known of a family before its values.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FamilyFacts {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Whether it is a counter or gauge of floats.
    pub(crate) float: bool,
    /// How values combine across processes, where that is a choice.
    pub(crate) mode: Option<&'static str>,
    /// The base unit; empty for a plain number.
    pub(crate) unit: String,
    /// Multiplier and divisor that take what is recorded to the base unit.
    pub(crate) scale: (u32, u32),
    /// How a histogram sorts values into buckets, in recorded units.
    pub(crate) layout: Option<LayoutView>,
    pub(crate) help: String,
    pub(crate) states: Vec<String>,
    pub(crate) series_count: usize,
    pub(crate) series_limit: u64,
    /// Registrations that were folded into the overflow series.
    pub(crate) overflowed: u64,
    /// Memory of one series over all shards.
    pub(crate) series_bytes: u64,
    /// Registrations that asked for another definition, where there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<RefusedView>,
}

impl FamilyFacts {
    pub(crate) fn new(view: &tachograph::FamilyView<'_>) -> FamilyFacts {
        let family = view.family;
        FamilyFacts {
            name: family.name.clone(),
            kind: family.kind.name(),
            float: matches!(family.kind, Kind::CounterF64 | Kind::GaugeF64(_)),
            mode: family.kind.mode().map(|mode| mode.name()),
            unit: family.unit.base().to_owned(),
            scale: family.unit.scale().parts(),
            layout: family.buckets.as_ref().map(LayoutView::new),
            help: family.help.clone(),
            states: family.states.clone(),
            series_count: family.series.len(),
            series_limit: family.series_limit,
            overflowed: view.overflowed(),
            series_bytes: family.series_bytes,
            refused: view.refused().map(RefusedView::from),
        }
    }

    /// Memory of all its series.
    pub(crate) fn bytes(&self) -> u64 {
        let count = u64::try_from(self.series_count).unwrap_or(u64::MAX);
        self.series_bytes.saturating_mul(count)
    }
}

/// The buckets of a histogram.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LayoutView {
    /// Inclusive upper bounds.
    Bounds(Vec<u64>),
    /// Buckets no wider than `2^-precision` of their value, up to `highest`.
    LogLinear { precision: u8, highest: u64 },
}

impl LayoutView {
    fn new(buckets: &tachograph::Buckets) -> LayoutView {
        match buckets.log_linear_parts() {
            Some((precision, highest)) => LayoutView::LogLinear { precision, highest },
            None => LayoutView::Bounds(buckets.explicit_bounds().unwrap_or_default().to_vec()),
        }
    }
}

/// A family with the series that were asked for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FamilyView {
    #[serde(flatten)]
    pub(crate) facts: FamilyFacts,
    /// What of it was asked for.
    #[serde(skip)]
    pub(crate) part: Part,
    pub(crate) series: Vec<SeriesView>,
}

/// A series with its value, which stands under a key that tells its form.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SeriesView {
    pub(crate) labels: Labels,
    pub(crate) created_unix_nanos: u64,
    /// Where it is kept, and the how manieth series that is there.
    pub(crate) record: (u32, u64),
    #[serde(flatten)]
    pub(crate) value: ValueView,
    /// The value as it was recorded, where the base unit is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recorded: Option<Amount>,
    /// Of a counter or histogram that keeps them; none in `watch`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) exemplars: Vec<ExemplarView>,
}

impl SeriesView {
    pub(super) fn new(
        family: &Family,
        series: &tachograph::SeriesView<'_>,
        value: ValueView,
        exemplars: Vec<ExemplarView>,
    ) -> SeriesView {
        let recorded = match series.value {
            tachograph::ValueView::Number(number) => recorded(number, family.unit.scale()),
            _ => None,
        };
        SeriesView {
            labels: Labels::new(&series.series.labels),
            created_unix_nanos: series.series.created_unix_nanos,
            record: series.series.identity(),
            value,
            recorded,
            exemplars,
        }
    }
}

/// What was recorded, unless the base unit says the same.
fn recorded(number: Number, scale: Scale) -> Option<Amount> {
    (!scale.is_one()).then(|| Amount::new(number, Scale::ONE))
}

/// A value that was recorded in a trace.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ExemplarView {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) value: Amount,
    /// The value as it was recorded, where the base unit is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recorded: Option<Amount>,
    pub(crate) time_unix_nanos: u64,
}

impl ExemplarView {
    fn new(exemplar: &Exemplar, scale: Scale) -> ExemplarView {
        ExemplarView {
            trace_id: exemplar.trace_id.to_string(),
            span_id: exemplar.span_id.to_string(),
            value: Amount::new(exemplar.value, scale),
            recorded: recorded(exemplar.value, scale),
            time_unix_nanos: exemplar.time_unix_nanos,
        }
    }
}

/// A value in base units.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ValueView {
    /// A counter, a gauge or an info; none where no living process has set it.
    Value(Option<Amount>),
    /// A value a living process.
    Each(Vec<EachView>),
    Histogram(Box<HistogramView>),
    /// A histogram as `watch` shows it.
    #[serde(rename = "histogram")]
    Watched(WatchedHistogram),
    States(StatesView),
}

/// What one living process has set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct EachView {
    pub(crate) slot: u32,
    pub(crate) pid: u32,
    pub(crate) value: Amount,
    /// The value as it was recorded, where the base unit is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recorded: Option<Amount>,
    /// The name of the state, of a state set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
}

/// Whether each state holds; an object in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatesView(pub(crate) Vec<(String, bool)>);

impl Serialize for StatesView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (state, holds) in &self.0 {
            map.serialize_entry(state, holds)?;
        }
        map.end()
    }
}

/// A distribution in base units; the numbers are null while it is empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct HistogramView {
    pub(crate) count: u64,
    pub(crate) sum: Amount,
    pub(crate) recorded_sum: u128,
    pub(crate) mean: Option<Amount>,
    pub(crate) min: Option<Amount>,
    pub(crate) p50: Option<Amount>,
    pub(crate) p90: Option<Amount>,
    pub(crate) p99: Option<Amount>,
    pub(crate) p999: Option<Amount>,
    pub(crate) max: Option<Amount>,
    pub(crate) buckets: Vec<BucketView>,
    /// The buckets merged for a chart.
    #[serde(skip)]
    pub(crate) rows: Vec<Row>,
}

/// A bucket that is not empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct BucketView {
    /// Its place in the family's layout.
    pub(crate) index: usize,
    pub(crate) lower: Amount,
    pub(crate) upper: Amount,
    pub(crate) count: u64,
}

impl BucketView {
    /// The buckets of a distribution that are not empty; `counts` are those of all.
    pub(crate) fn filled(
        counts: &[u64],
        distribution: &Distribution,
    ) -> impl Iterator<Item = BucketView> {
        let filled = counts.iter().enumerate();
        let filled = filled.filter(|&(_, &count)| count > 0);
        filled
            .zip(distribution.buckets())
            .map(|((index, _), (lower, upper, count))| BucketView {
                index,
                lower: Amount::Float(lower),
                upper: Amount::Float(upper),
                count,
            })
    }
}

impl HistogramView {
    fn new(family: &Family, view: tachograph::HistogramView<'_>) -> Option<HistogramView> {
        let distribution = view.distribution(family)?;
        let quantile = |q| distribution.quantile(q).map(Amount::Float);
        Some(HistogramView {
            count: distribution.count(),
            sum: if family.unit.scale().is_one() {
                Amount::Unsigned(view.sum)
            } else {
                Amount::Float(distribution.sum())
            },
            recorded_sum: view.sum,
            mean: distribution.mean().map(Amount::Float),
            min: distribution.min().map(Amount::Float),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: distribution.max().map(Amount::Float),
            buckets: BucketView::filled(view.counts, &distribution).collect(),
            rows: chart::rows(family, view.counts),
        })
    }
}

/// A histogram's count, and the values of the last window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct WatchedHistogram {
    pub(crate) count: u64,
    pub(crate) window: Option<WindowView>,
}

/// The values that a histogram took in a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct WindowView {
    pub(crate) count: u64,
    pub(crate) mean: Option<Amount>,
    pub(crate) p50: Option<Amount>,
    pub(crate) p99: Option<Amount>,
}

impl WindowView {
    pub(crate) fn new(distribution: &Distribution) -> WindowView {
        WindowView {
            count: distribution.count(),
            mean: distribution.mean().map(Amount::Float),
            p50: distribution.quantile(0.5).map(Amount::Float),
            p99: distribution.quantile(0.99).map(Amount::Float),
        }
    }
}

/// The value of one series; `None` where it is not shown, or a filter on `pid` or `slot` leaves nothing of it.
pub(super) fn value(
    family: &Family,
    series: &tachograph::SeriesView<'_>,
    admission: &Admission<'_>,
) -> Option<ValueView> {
    let scale = family.unit.scale();
    if let tachograph::ValueView::Each(set) = series.value
        && !set.is_empty()
    {
        let values: Vec<EachView> = set
            .iter()
            .filter(|each| {
                let (pid, slot) = (each.pid.to_string(), each.slot.to_string());
                admission.admits(|name| match name {
                    "pid" => Some(pid.as_str()),
                    "slot" => Some(slot.as_str()),
                    name => series.series.labels.get(name),
                })
            })
            .map(|each| EachView {
                slot: each.slot,
                pid: each.pid,
                value: Amount::new(each.value, scale),
                recorded: recorded(each.value, scale),
                state: state_name(family, each.value),
            })
            .collect();
        return (!values.is_empty()).then_some(ValueView::Each(values));
    }
    admission
        .admits_series(series.series)
        .then(|| match series.value {
            tachograph::ValueView::Number(number) => {
                ValueView::Value(Some(Amount::new(number, scale)))
            }
            tachograph::ValueView::Info => ValueView::Value(Some(Amount::Unsigned(1))),
            tachograph::ValueView::Histogram(view) => match HistogramView::new(family, view) {
                Some(histogram) => ValueView::Histogram(Box::new(histogram)),
                None => ValueView::Value(None),
            },
            tachograph::ValueView::States(holds) => ValueView::States(StatesView(
                family
                    .states
                    .iter()
                    .cloned()
                    .zip(holds.iter().copied())
                    .collect(),
            )),
            tachograph::ValueView::Each(_) => ValueView::Each(Vec::new()),
            tachograph::ValueView::Absent => ValueView::Value(None),
        })
}

fn state_name(family: &Family, value: tachograph::Number) -> Option<String> {
    let tachograph::Number::Signed(index) = value else {
        return None;
    };
    family.states.get(usize::try_from(index).ok()?).cloned()
}

fn exemplars(family: &Family, series: &tachograph::SeriesView<'_>) -> Vec<ExemplarView> {
    let scale = family.unit.scale();
    let exemplars = series.exemplars();
    exemplars
        .map(|exemplar| ExemplarView::new(exemplar, scale))
        .collect()
}

/// The families and series that `filter` admits, with their values, by name.
pub(crate) fn families(snapshot: &Snapshot, filter: &Filter) -> Vec<FamilyView> {
    snapshot
        .families()
        .filter_map(|view| Some(family(&view, &filter.admit(view.family)?)))
        .filter(|view| !view.series.is_empty() || !filter.has_labels())
        .collect()
}

/// A family with the series that `admission` admits.
pub(crate) fn family(view: &tachograph::FamilyView<'_>, admission: &Admission<'_>) -> FamilyView {
    let series = view.series().filter_map(|series| {
        let value = value(view.family, &series, admission)?;
        let exemplars = exemplars(view.family, &series);
        Some(SeriesView::new(view.family, &series, value, exemplars))
    });
    FamilyView {
        facts: FamilyFacts::new(view),
        part: admission.part,
        series: series.collect(),
    }
}
