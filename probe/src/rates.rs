//! What changed between two snapshots: rates of counters, distributions of histograms over the window.

use tachograph::{
    Distribution, Family, FamilyView, Label, Number, SeriesView, Snapshot, ValueView, Window,
};

/// Two snapshots of the same segment, the older first.
pub(crate) struct Change<'a> {
    older: &'a Snapshot,
    window: Window<'a>,
}

impl<'a> Change<'a> {
    /// `None` when the two are of different segments or no time lies between them.
    pub(crate) fn between(older: &'a Snapshot, newer: &'a Snapshot) -> Option<Change<'a>> {
        let window = Window::between(older, newer)?;
        Some(Change { older, window })
    }

    /// How long the window is.
    pub(crate) fn seconds(&self) -> f64 {
        self.window.seconds()
    }

    /// What each series of `newer` was before, in their order; `None` for one that is new.
    pub(crate) fn before(&self, newer: &FamilyView<'_>) -> Vec<Option<ValueView<'a>>> {
        let older = self.older.family(&newer.family.name);
        let older: Vec<SeriesView<'a>> = older.iter().flat_map(FamilyView::series).collect();
        let mut rest = older.iter().peekable();
        newer
            .family
            .series
            .iter()
            .map(|series| {
                // Both are sorted by their label sets, so one pass over each is enough.
                while rest
                    .next_if(|old| old.series.labels < series.labels)
                    .is_some()
                {}
                rest.next_if(|old| old.series.labels == series.labels)
                    .map(|old| old.value)
            })
            .collect()
    }

    /// How fast a counter of `family` rose, in base units per second; one that is new began at zero.
    pub(crate) fn rate(
        &self,
        family: &Family,
        before: Option<ValueView<'_>>,
        now: Number,
    ) -> Option<f64> {
        let risen = match (before, now) {
            (None, now) => now,
            (Some(ValueView::Number(Number::Unsigned(before))), Number::Unsigned(now)) => {
                Number::Unsigned(now.checked_sub(before)?)
            }
            (Some(ValueView::Number(before)), now) => Number::Float(now.as_f64() - before.as_f64()),
            (Some(_), _) => return None,
        };
        let risen = risen.scaled(family.unit.scale()).as_f64();
        (risen >= 0.0).then(|| risen / self.seconds())
    }

    /// The values that a histogram took in the window.
    pub(crate) fn distribution(&self, family: &Family, labels: &[Label]) -> Option<Distribution> {
        let labels: Vec<(&str, &str)> = labels
            .iter()
            .map(|label| (&*label.name, label.value.as_str()))
            .collect();
        self.window.histogram(&family.name, &labels)
    }
}
