//! Values as single numbers with a name each: the rows of CSV, and what is compared.

use std::borrow::Cow;

use crate::selector::Part;
use crate::units;
use crate::views::{Amount, FamilyView, HistogramView, Labels, SeriesView, ValueView};

/// The columns of [`Sample::row`].
pub(crate) const COLUMNS: [&str; 6] = ["family", "type", "unit", "labels", "field", "value"];

/// One number of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) family: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) unit: &'a str,
    /// The series' own, and `pid` and `slot` of a value a process.
    pub(crate) labels: Cow<'a, Labels>,
    /// `value`, what a histogram has, or a state's name.
    pub(crate) field: &'a str,
    /// None where there is none.
    pub(crate) value: Option<Amount>,
}

impl Sample<'_> {
    /// The sample under [`COLUMNS`].
    pub(crate) fn row(&self) -> [Cow<'_, str>; 6] {
        [
            self.family.into(),
            self.kind.into(),
            self.unit.into(),
            self.labels.inner().into(),
            self.field.into(),
            self.value.map_or_else(String::new, units::plain).into(),
        ]
    }
}

/// Every number of a family that was asked for.
pub(crate) fn of(family: &FamilyView) -> impl Iterator<Item = Sample<'_>> {
    family
        .series
        .iter()
        .flat_map(move |series| of_series(family, series))
}

fn of_series<'a>(family: &'a FamilyView, series: &'a SeriesView) -> Vec<Sample<'a>> {
    let sample = |field: &'a str, value| Sample {
        family: &family.facts.name,
        kind: family.facts.kind,
        unit: &family.facts.unit,
        labels: Cow::Borrowed(&series.labels),
        field,
        value,
    };
    match &series.value {
        ValueView::Value(value) => vec![sample("value", *value)],
        ValueView::Each(values) => values
            .iter()
            .map(|each| Sample {
                labels: Cow::Owned(series.labels.with([
                    ("pid", each.pid.to_string()),
                    ("slot", each.slot.to_string()),
                ])),
                ..sample("value", Some(each.value))
            })
            .collect(),
        ValueView::States(states) => states
            .0
            .iter()
            .map(|(state, holds)| sample(state, Some(Amount::Unsigned(u128::from(*holds)))))
            .collect(),
        ValueView::Histogram(histogram) => of_histogram(histogram, family.part)
            .into_iter()
            .map(|(field, value)| sample(field, value))
            .collect(),
        ValueView::Watched(histogram) => {
            vec![sample(
                "count",
                Some(Amount::Unsigned(histogram.count.into())),
            )]
        }
    }
}

fn of_histogram(histogram: &HistogramView, part: Part) -> Vec<(&'static str, Option<Amount>)> {
    let count = ("count", Some(Amount::Unsigned(histogram.count.into())));
    let sum = ("sum", Some(histogram.sum));
    match part {
        Part::Count => vec![count],
        Part::Sum => vec![sum],
        Part::Whole | Part::Bucket => vec![
            count,
            sum,
            ("mean", histogram.mean),
            ("min", histogram.min),
            ("p50", histogram.p50),
            ("p90", histogram.p90),
            ("p99", histogram.p99),
            ("p999", histogram.p999),
            ("max", histogram.max),
        ],
    }
}

/// A sample as the expositions have it.
pub(crate) struct Exposed {
    pub(crate) name: String,
    /// Labels that are not the series' own.
    pub(crate) more: Vec<(&'static str, String)>,
    pub(crate) value: Amount,
}

/// The samples that a histogram is exposed as, of the part that was asked for.
pub(crate) fn exposed(family: &str, histogram: &HistogramView, part: Part) -> Vec<Exposed> {
    let one = |suffix: &str, value| {
        vec![Exposed {
            name: format!("{family}{suffix}"),
            more: Vec::new(),
            value,
        }]
    };
    match part {
        Part::Whole => Vec::new(),
        Part::Count => one("_count", Amount::Unsigned(histogram.count.into())),
        Part::Sum => one("_sum", histogram.sum),
        Part::Bucket => cumulative(family, histogram),
    }
}

/// What lies at or below the upper bound of each bucket that is not empty, and of all.
fn cumulative(family: &str, histogram: &HistogramView) -> Vec<Exposed> {
    let mut seen = 0u64;
    let mut bounds: Vec<(Amount, u64)> = Vec::new();
    for bucket in &histogram.buckets {
        seen = seen.wrapping_add(bucket.count);
        bounds.push((bucket.upper, seen));
    }
    let infinity = Amount::Float(f64::INFINITY);
    if bounds.last().is_none_or(|last| last.0 != infinity) {
        bounds.push((infinity, histogram.count));
    }
    bounds
        .into_iter()
        .map(|(upper, seen)| Exposed {
            name: format!("{family}_bucket"),
            more: vec![("le", units::plain(upper))],
            value: Amount::Unsigned(seen.into()),
        })
        .collect()
}
