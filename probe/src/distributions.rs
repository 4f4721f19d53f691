//! What histograms took: all of it or that of a window, of one series or of several together.

use tachograph::{Distribution, Family, FamilyView, HistogramView, ValueView};

use crate::filter::Admission;
use crate::rates::Change;
use crate::views::Labels;

/// The values that one series of a histogram took, or several of one family.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    pub(crate) labels: Labels,
    pub(crate) counts: Vec<u64>,
    /// In recorded units.
    pub(crate) sum: u128,
}

impl Taken {
    /// `None` where `family` is no histogram.
    pub(crate) fn distribution(&self, family: &Family) -> Option<Distribution> {
        HistogramView {
            counts: &self.counts,
            sum: self.sum,
        }
        .distribution(family)
    }
}

/// What each admitted series took: within `change`, or since it was registered.
pub(crate) fn of_series(
    view: &FamilyView<'_>,
    admission: &Admission<'_>,
    change: Option<&Change<'_>>,
) -> Vec<Taken> {
    let before = change.map(|change| change.before(view)).unwrap_or_default();
    let mut all = Vec::new();
    for (index, series) in view.series().enumerate() {
        let ValueView::Histogram(now) = series.value else {
            continue;
        };
        if !admission.admits_series(series.series) {
            continue;
        }
        let mut taken = Taken {
            labels: Labels::new(&series.series.labels),
            counts: now.counts.to_vec(),
            sum: now.sum,
        };
        if let Some(Some(ValueView::Histogram(before))) = before.get(index) {
            for (count, before) in taken.counts.iter_mut().zip(before.counts) {
                *count = count.saturating_sub(*before);
            }
            taken.sum = taken.sum.saturating_sub(before.sum);
        }
        all.push(taken);
    }
    all
}

/// All of it together, without labels; `None` where there is nothing.
pub(crate) fn merged(all: &[Taken]) -> Option<Taken> {
    let (first, rest) = all.split_first()?;
    let mut merged = Taken {
        labels: Labels::default(),
        ..first.clone()
    };
    for taken in rest {
        for (count, more) in merged.counts.iter_mut().zip(&taken.counts) {
            *count = count.wrapping_add(*more);
        }
        merged.sum = merged.sum.wrapping_add(taken.sum);
    }
    Some(merged)
}
