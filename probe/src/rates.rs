//! What changed between two snapshots: rates of counters, distributions of histograms over the window.

use tachograph::{
    Distribution, Family, FamilyView, Labels, Number, SeriesView, Snapshot, ValueView, Window,
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
                // One that was removed and registered again since is another series, and began at zero.
                rest.next_if(|old| old.series.labels == series.labels)
                    .filter(|old| old.series == series)
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
    pub(crate) fn distribution(&self, family: &Family, labels: &Labels) -> Option<Distribution> {
        let labels: Vec<(&str, &str)> = labels
            .iter()
            .map(|label| (label.name, label.value))
            .collect();
        self.window.histogram(&family.name, &labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph::{SegmentOptions, Unit};

    fn number(value: Option<ValueView<'_>>) -> Option<f64> {
        match value {
            Some(ValueView::Number(number)) => Some(number.as_f64()),
            _ => None,
        }
    }

    #[test]
    fn series_meet_what_they_were_though_others_came_between() {
        let writer = SegmentOptions::new().heap().unwrap();
        let family = writer.counter("x_total", "X").family().unwrap();
        for (label, value) in [("b", 1), ("d", 2), ("f", 3)] {
            family.with(&[("k", label)]).unwrap().add(value);
        }
        let older = writer.snapshot().unwrap();
        for label in ["a", "c", "d", "g"] {
            family.with(&[("k", label)]).unwrap().add(10);
        }
        writer.counter("y_total", "Y").register().unwrap().add(7);
        let newer = writer.snapshot().unwrap();
        let change = Change::between(&older, &newer).unwrap();
        let before = change.before(&newer.family("x_total").unwrap());
        let before: Vec<Option<f64>> = before.into_iter().map(number).collect();
        assert_eq!(
            before,
            [None, Some(1.0), None, Some(2.0), Some(3.0), None],
            "of a b c d f g"
        );
        let before = change.before(&newer.family("y_total").unwrap());
        assert_eq!(before, [None]);
    }

    #[test]
    fn rates_are_in_base_units_and_never_negative() {
        let writer = SegmentOptions::new().heap().unwrap();
        let waited = writer.counter("waited_seconds_total", "Waited");
        let waited = waited.unit(Unit::NANOSECONDS).register().unwrap();
        waited.add(1_000_000_000);
        let older = writer.snapshot().unwrap();
        waited.add(500_000_000);
        let newer = writer.snapshot().unwrap();
        let change = Change::between(&older, &newer).unwrap();
        let family = newer.family("waited_seconds_total").unwrap().family;
        let rate = |before: Option<u64>, now| {
            let before = before.map(|before| ValueView::Number(Number::Unsigned(before)));
            let rate = change.rate(family, before, Number::Unsigned(now))?;
            Some(rate * change.seconds())
        };
        let near = |rate: Option<f64>, wanted: f64| (rate.unwrap() - wanted).abs() < 1e-9;
        assert!(near(rate(Some(1_000_000_000), 1_500_000_000), 0.5));
        assert!(near(rate(None, 1_500_000_000), 1.5));
        assert_eq!(rate(Some(2), 1), None);
    }

    #[test]
    fn no_window_spans_two_segments() {
        let older = SegmentOptions::new().heap().unwrap().snapshot().unwrap();
        let newer = SegmentOptions::new().heap().unwrap().snapshot().unwrap();
        assert!(Change::between(&older, &newer).is_none());
    }
}
