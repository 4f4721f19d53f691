//! What one interval of `watch` brought.

use serde::Serialize;
use tachograph::{Snapshot, ValueView as Seen};

use super::value::{self, SeriesView, ValueView, WatchedHistogram, WindowView};
use super::{Amount, SourceView};
use crate::filter::{Admission, Filter};
use crate::rates::Change;

/// The values at the end of an interval, and the rates over it.
#[derive(Debug, Serialize)]
pub(crate) struct TickView {
    pub(crate) time_unix_nanos: u64,
    pub(crate) segment: SourceView,
    /// How long the window is; none for the first look at a segment.
    pub(crate) seconds: Option<f64>,
    pub(crate) families: Vec<WatchedFamily>,
}

#[derive(Debug, Serialize)]
pub(crate) struct WatchedFamily {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) unit: String,
    pub(crate) series: Vec<WatchedSeries>,
}

#[derive(Debug, Serialize)]
pub(crate) struct WatchedSeries {
    #[serde(flatten)]
    pub(crate) series: SeriesView,
    /// Of a counter in base units per second, of a histogram in values per second; else none.
    pub(crate) rate: Option<Amount>,
    /// Whether it is not as it was at the last look.
    #[serde(skip)]
    pub(crate) changed: bool,
}

impl TickView {
    /// The same without the series that are as they were.
    pub(crate) fn changes(older: &Snapshot, newer: &Snapshot, filter: &Filter) -> TickView {
        let mut tick = TickView::new(Some(older), newer, filter);
        tick.families.retain_mut(|family| {
            family.series.retain(|series| series.changed);
            !family.series.is_empty()
        });
        tick
    }

    pub(crate) fn new(older: Option<&Snapshot>, newer: &Snapshot, filter: &Filter) -> TickView {
        let change = older.and_then(|older| Change::between(older, newer));
        let families = newer
            .families()
            .filter_map(|family| {
                let admission = filter.admit(family.family)?;
                Some(WatchedFamily {
                    name: family.family.name.clone(),
                    kind: family.family.kind.name(),
                    unit: family.family.unit.base().to_owned(),
                    series: watched(family, change.as_ref(), &admission),
                })
            })
            .filter(|family| !family.series.is_empty());
        TickView {
            time_unix_nanos: newer.time_unix_nanos,
            segment: SourceView::new(&newer.segment),
            seconds: change.as_ref().map(Change::seconds),
            families: families.collect(),
        }
    }
}

fn watched(
    view: tachograph::FamilyView<'_>,
    change: Option<&Change<'_>>,
    admission: &Admission<'_>,
) -> Vec<WatchedSeries> {
    let family = view.family;
    let is_counter = matches!(
        family.kind,
        tachograph::Kind::Counter | tachograph::Kind::CounterF64
    );
    let mut before = change
        .map(|change| change.before(&view))
        .into_iter()
        .flatten();
    let mut shown = Vec::new();
    for series in view.series() {
        let before = before.next().flatten();
        let (value, rate) = match series.value {
            Seen::Histogram(histogram) => {
                if !admission.admits_series(series.series) {
                    continue;
                }
                let window = change
                    .and_then(|change| change.distribution(family, &series.series.labels))
                    .map(|distribution| WindowView::new(&distribution));
                let rate = window.zip(change).map(|(window, change)| {
                    Amount::Unsigned(window.count.into()).as_f64() / change.seconds()
                });
                let count = histogram.count();
                (ValueView::Watched(WatchedHistogram { count, window }), rate)
            }
            now => {
                let Some(value) = value::value(family, &series, admission) else {
                    continue;
                };
                let rate = match (now, change) {
                    (Seen::Number(now), Some(change)) if is_counter => {
                        change.rate(family, before, now)
                    }
                    _ => None,
                };
                (value, rate)
            }
        };
        shown.push(WatchedSeries {
            series: SeriesView::new(family, &series, value, Vec::new()),
            rate: rate.map(Amount::Float),
            changed: before != Some(series.value),
        });
    }
    shown
}
