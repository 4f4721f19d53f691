//! Which series are shown, in which order.

use std::cmp::Ordering;

use super::track::{Note, Track};
use crate::filter::Filter;
use crate::frame::{Directory, Family, Kind, Series, Value};
use crate::selector::Selector;

/// A column of the table of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Series,
    Value,
    Rate,
    P50,
    P90,
    P99,
    P999,
    Max,
    Trend,
    Changed,
    Note,
}

impl Column {
    /// Those that can be sorted by, in the order of the key that changes it.
    pub(crate) const SORTABLE: [Column; 10] = [
        Column::Series,
        Column::Rate,
        Column::Value,
        Column::P50,
        Column::P90,
        Column::P99,
        Column::P999,
        Column::Max,
        Column::Changed,
        Column::Note,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Column::Series => "SERIES",
            Column::Value => "VALUE",
            Column::Rate => "RATE",
            Column::P50 => "P50",
            Column::P90 => "P90",
            Column::P99 => "P99",
            Column::P999 => "P99.9",
            Column::Max => "MAX",
            Column::Trend => "TREND",
            Column::Changed => "CHANGED",
            Column::Note => "NOTE",
        }
    }

    /// The quantile that it shows; 1 stands for the greatest value.
    pub(crate) fn quantile(self) -> Option<f64> {
        match self {
            Column::P50 => Some(0.5),
            Column::P90 => Some(0.9),
            Column::P99 => Some(0.99),
            Column::P999 => Some(0.999),
            Column::Max => Some(1.0),
            _ => None,
        }
    }
}

/// By what the table is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) column: Column,
    /// Upside down: names from Z, numbers from the least.
    pub(crate) reversed: bool,
}

impl Order {
    pub(crate) fn step(self, by: isize) -> Order {
        let all = Column::SORTABLE;
        let at = all.iter().position(|column| *column == self.column);
        let count = all.len().cast_signed();
        let next = (at.unwrap_or(0).cast_signed() + by).rem_euclid(count);
        Order {
            column: all[next.cast_unsigned()],
            reversed: false,
        }
    }
}

/// What was typed to choose series.
#[derive(Debug, Clone)]
pub(crate) enum Query {
    /// Words that must all stand in a series' name, where they are wanted, and must not where not.
    Words(Vec<(String, bool)>),
    /// What has a brace: a name with matchers.
    Selector(Filter),
    /// A selector that is not whole yet; it shows all.
    Unfinished,
}

impl Query {
    pub(crate) fn new(text: &str) -> Query {
        if text.contains('{') {
            return match text.parse::<Selector>() {
                Ok(selector) => Query::Selector(Filter::new(vec![selector], Vec::new())),
                Err(_) => Query::Unfinished,
            };
        }
        let words = text.split_whitespace().map(|word| {
            let word = word.to_lowercase();
            match word.strip_prefix('!') {
                Some(rest) => (rest.to_owned(), false),
                None => (word, true),
            }
        });
        Query::Words(words.filter(|(word, _)| !word.is_empty()).collect())
    }

    fn admits(&self, family: &Family, series: &Series) -> bool {
        match self {
            Query::Words(words) if words.is_empty() => true,
            Query::Words(words) => {
                let name = series.name(family).to_lowercase();
                words
                    .iter()
                    .all(|(word, wanted)| name.contains(word.as_str()) == *wanted)
            }
            Query::Selector(filter) => is_selected(filter, family, series),
            Query::Unfinished => true,
        }
    }
}

/// Whether a filter of the command line means a series.
fn is_selected(filter: &Filter, family: &Family, series: &Series) -> bool {
    let admission = filter.admit_named(&family.name, family.kind == Kind::Histogram);
    admission.is_some_and(|admission| {
        admission.admits(|name| {
            let found = series.labels.iter().find(|label| label.0 == name);
            found.map(|(_, value)| value.as_str())
        })
    })
}

/// The series that both mean, by their place in the frame.
pub(crate) fn matching(directory: &Directory, selection: &Filter, query: &Query) -> Vec<usize> {
    let all = directory.series().enumerate();
    all.filter(|(_, (family, series))| {
        is_selected(selection, family, series) && query.admits(family, series)
    })
    .map(|(index, _)| index)
    .collect()
}

/// `matching` sorted; those without a number come last, equal ones by name.
pub(crate) fn arranged(track: &Track, mut matching: Vec<usize>, order: Order) -> Vec<usize> {
    if order.column == Column::Series {
        if order.reversed {
            matching.reverse();
        }
        return matching;
    }
    let keyed = matching.into_iter();
    let mut keyed: Vec<(Option<f64>, usize)> = keyed
        .map(|index| (key(track, index, order.column), index))
        .collect();
    keyed.sort_by(|a, b| by_number(a.0, b.0, order.reversed).then_with(|| a.1.cmp(&b.1)));
    keyed.into_iter().map(|(_, index)| index).collect()
}

/// Greatest first, nothing last.
fn by_number(a: Option<f64>, b: Option<f64>, reversed: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if reversed => a.total_cmp(&b),
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn key(track: &Track, index: usize, column: Column) -> Option<f64> {
    let frame = track.frame()?;
    let life = track.life(index)?;
    match column {
        Column::Rate => life.rate,
        Column::Value => {
            let (family, _) = frame.directory.locate(index)?;
            family
                .number(frame.values.get(index)?)
                .map(|amount| amount.as_f64())
        }
        #[expect(clippy::cast_precision_loss, reason = "an order of times")]
        Column::Changed => life.changed.map(|time| time as f64),
        Column::Note => match track.note(index) {
            Note::None => None,
            Note::Stale => Some(1.0),
            Note::Full => Some(2.0),
            Note::Other => Some(3.0),
        },
        Column::Series | Column::Trend => None,
        quantile => track.window(index)?.quantile(quantile.quantile()?),
    }
}

/// Whether one of `indexes` is a histogram.
pub(crate) fn has_histogram(track: &Track, indexes: &[usize]) -> bool {
    let values = track.frame().map(|frame| &frame.values);
    indexes.iter().any(|&index| {
        let value = values.and_then(|values| values.get(index));
        matches!(value, Some(Value::Histogram(_)))
    })
}

/// Families with the most series first.
pub(crate) fn by_cardinality(directory: &Directory) -> Vec<usize> {
    let mut families: Vec<usize> = (0..directory.families.len()).collect();
    families.sort_by_key(|&index| std::cmp::Reverse(directory.families[index].series.len()));
    families
}

/// Whether nothing happened to a counter or a histogram in the last window.
pub(crate) fn is_idle(track: &Track, index: usize) -> bool {
    let frame = track.frame();
    let found = frame.and_then(|frame| frame.directory.locate(index));
    let is_counted =
        found.is_some_and(|(family, _)| matches!(family.kind, Kind::Counter | Kind::Histogram));
    let rate = track.life(index).and_then(|life| life.rate);
    is_counted && rate == Some(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::tests::sample;

    fn track() -> Track {
        let mut track = Track::default();
        sample(5).into_iter().for_each(|frame| track.feed(frame));
        track
    }

    fn names(track: &Track, order: Order) -> Vec<String> {
        let directory = &track.frame().unwrap().directory;
        arranged(track, all(directory, ""), order)
            .into_iter()
            .map(|index| {
                let (family, series) = directory.locate(index).unwrap();
                series.name(family)
            })
            .collect()
    }

    #[test]
    fn numbers_come_from_the_greatest_and_nothing_last() {
        let track = track();
        let order = Order {
            column: Column::Rate,
            reversed: false,
        };
        let down = names(&track, order);
        assert_eq!(
            down[..4],
            [
                "requests_total{method=\"put\"}",
                "request_duration_seconds",
                "cpu_seconds_total",
                "requests_total{method=\"get\"}",
            ]
        );
        assert_eq!(down[4..], ["queue_jobs", "state", "worker_jobs"]);
        let up = names(
            &track,
            Order {
                reversed: true,
                ..order
            },
        );
        assert_eq!(up[0], "requests_total{method=\"get\"}");
        assert_eq!(up[4..], ["queue_jobs", "state", "worker_jobs"]);
    }

    #[test]
    fn percentiles_put_histograms_first() {
        let order = Order {
            column: Column::P99,
            reversed: false,
        };
        assert_eq!(names(&track(), order)[0], "request_duration_seconds");
    }

    #[test]
    fn every_order_can_be_reached_and_returns() {
        let start = Order {
            column: Column::Series,
            reversed: true,
        };
        let mut order = start;
        for _ in 0..Column::SORTABLE.len() {
            order = order.step(1);
        }
        assert_eq!(order.column, start.column);
        assert_eq!(start.step(-1).column, Column::Note);
    }

    fn all(directory: &Directory, query: &str) -> Vec<usize> {
        matching(directory, &Filter::default(), &Query::new(query))
    }

    #[test]
    fn words_and_selectors_choose_series() {
        let track = track();
        let directory = &track.frame().unwrap().directory;
        let count = |query| all(directory, query).len();
        assert_eq!(count("  ! "), 7);
        assert_eq!(count("REQUEST"), 3);
        assert_eq!(count("Requests !put"), 1);
        assert_eq!(count("requests nosuch"), 0);
        assert_eq!(count("requests_total{method=~\"p.*\"}"), 1);
        assert_eq!(count("{method!=\"put\"}"), 6);
        assert_eq!(count("request_duration_seconds_count{}"), 1);
        assert_eq!(count("requests_total{method="), 7);
    }

    #[test]
    fn idle_is_what_could_have_risen_and_did_not() {
        let track = track();
        let directory = &track.frame().unwrap().directory;
        let idle: Vec<usize> = (0..directory.len())
            .filter(|&index| is_idle(&track, index))
            .collect();
        assert_eq!(idle.len(), 1, "the first of two counters");
    }
}
