//! Families, series and their values.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use tachograph::{Distribution, Family, Kind, Series, Snapshot};

use super::{Amount, Labels};
use crate::chart::{self, Row};
use crate::filter::Filter;

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
    pub(crate) help: String,
    pub(crate) states: Vec<String>,
    pub(crate) series_count: usize,
    pub(crate) series_limit: u64,
    /// Registrations that were folded into the overflow series.
    pub(crate) overflowed: u64,
    /// Memory of one series over all shards.
    pub(crate) series_bytes: u64,
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
            help: family.help.clone(),
            states: family.states.clone(),
            series_count: family.series.len(),
            series_limit: family.series_limit,
            overflowed: view.overflowed(),
            series_bytes: family.series_bytes,
        }
    }

    /// Memory of all its series.
    pub(crate) fn bytes(&self) -> u64 {
        let count = u64::try_from(self.series_count).unwrap_or(u64::MAX);
        self.series_bytes.saturating_mul(count)
    }
}

/// A family with the series that were asked for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FamilyView {
    #[serde(flatten)]
    pub(crate) facts: FamilyFacts,
    pub(crate) series: Vec<SeriesView>,
}

/// A series with its value, which stands under a key that tells its form.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SeriesView {
    pub(crate) labels: Labels,
    pub(crate) created_unix_nanos: u64,
    #[serde(flatten)]
    pub(crate) value: ValueView,
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
    pub(crate) lower: Amount,
    pub(crate) upper: Amount,
    pub(crate) count: u64,
}

impl HistogramView {
    fn new(family: &Family, view: tachograph::HistogramView<'_>) -> Option<HistogramView> {
        let distribution = view.distribution(family)?;
        let quantile = |q| distribution.quantile(q).map(Amount::Float);
        let buckets = distribution
            .buckets()
            .map(|(lower, upper, count)| BucketView {
                lower: Amount::Float(lower),
                upper: Amount::Float(upper),
                count,
            });
        Some(HistogramView {
            count: distribution.count(),
            sum: if family.unit.scale().is_one() {
                Amount::Unsigned(view.sum)
            } else {
                Amount::Float(distribution.sum())
            },
            mean: distribution.mean().map(Amount::Float),
            min: distribution.min().map(Amount::Float),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: distribution.max().map(Amount::Float),
            buckets: buckets.collect(),
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

fn label<'a>(series: &'a Series, name: &str) -> Option<&'a str> {
    let found = series.labels.iter().find(|label| &*label.name == name);
    found.map(|label| &*label.value)
}

/// Whether `filter` shows a series with its own labels.
pub(super) fn admits(filter: &Filter, series: &Series) -> bool {
    filter.admits_labels(|name| label(series, name))
}

/// The value of one series; `None` where a filter on `pid` or `slot` leaves nothing of it.
pub(super) fn value(
    family: &Family,
    series: &tachograph::SeriesView<'_>,
    filter: &Filter,
) -> Option<ValueView> {
    let scale = family.unit.scale();
    if let tachograph::ValueView::Each(set) = series.value
        && !set.is_empty()
    {
        let values: Vec<EachView> = set
            .iter()
            .filter(|each| {
                let (pid, slot) = (each.pid.to_string(), each.slot.to_string());
                filter.admits_labels(|name| match name {
                    "pid" => Some(pid.as_str()),
                    "slot" => Some(slot.as_str()),
                    name => label(series.series, name),
                })
            })
            .map(|each| EachView {
                slot: each.slot,
                pid: each.pid,
                value: Amount::new(each.value, scale),
                state: state_name(family, each.value),
            })
            .collect();
        return (!values.is_empty()).then_some(ValueView::Each(values));
    }
    admits(filter, series.series).then(|| match series.value {
        tachograph::ValueView::Number(number) => ValueView::Value(Some(Amount::new(number, scale))),
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

/// The families and series that `filter` admits, with their values, by name.
pub(crate) fn families(snapshot: &Snapshot, filter: &Filter) -> Vec<FamilyView> {
    snapshot
        .families()
        .filter(|view| filter.admits_family(&view.family.name))
        .map(|view| FamilyView {
            facts: FamilyFacts::new(&view),
            series: view
                .series()
                .filter_map(|series| {
                    Some(SeriesView {
                        labels: Labels::new(&series.series.labels),
                        created_unix_nanos: series.series.created_unix_nanos,
                        value: value(view.family, &series, filter)?,
                    })
                })
                .collect(),
        })
        .filter(|view| !view.series.is_empty() || !filter.has_labels())
        .collect()
}
