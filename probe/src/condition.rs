//! What `watch` waits for: `rate(errors_total{code=~"5.."}) > 10`, `p99(request_seconds) > 250ms`.

use std::str::FromStr;

use tachograph::{Family, FamilyView, Number, Snapshot, ValueView};

use crate::distributions;
use crate::filter::Filter;
use crate::rates::Change;
use crate::selector::{Part, Selector};

/// A measure compared with a number.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    text: String,
    measure: Measure,
    filter: Filter,
    selector: Option<Selector>,
    operator: Operator,
    value: f64,
}

/// One number of all series that are meant.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Measure {
    /// The sum of counters, of gauges, and of the counts of histograms.
    Value,
    /// How much counters rise, and how many values histograms take, a second.
    Rate,
    /// A quantile of the values that one histogram family took since the last look.
    Quantile(f64),
    /// Their mean.
    Mean,
    /// How many series there are.
    Series,
    /// How many processes live.
    Processes,
}

impl Measure {
    const NAMED: [(&'static str, Measure); 9] = [
        ("rate", Measure::Rate),
        ("p50", Measure::Quantile(0.5)),
        ("p90", Measure::Quantile(0.9)),
        ("p99", Measure::Quantile(0.99)),
        ("p999", Measure::Quantile(0.999)),
        ("max", Measure::Quantile(1.0)),
        ("mean", Measure::Mean),
        ("series", Measure::Series),
        ("processes", Measure::Processes),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    Other,
}

impl Operator {
    /// The longer ones first.
    const ALL: [(&'static str, Operator); 6] = [
        (">=", Operator::AtLeast),
        ("<=", Operator::AtMost),
        ("==", Operator::Equal),
        ("!=", Operator::Other),
        (">", Operator::Above),
        ("<", Operator::Below),
    ];

    fn holds(self, measured: f64, value: f64) -> bool {
        match self {
            Operator::Above => measured > value,
            Operator::AtLeast => measured >= value,
            Operator::Below => measured < value,
            Operator::AtMost => measured <= value,
            Operator::Equal => measured == value,
            Operator::Other => measured != value,
        }
    }
}

impl Condition {
    /// The condition as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn selector(&self) -> Option<&Selector> {
        self.selector.as_ref()
    }

    /// Whether it holds; it does not while there is nothing to measure.
    pub(crate) fn holds(&self, older: Option<&Snapshot>, newer: &Snapshot) -> bool {
        self.measure(older, newer)
            .is_some_and(|measured| self.operator.holds(measured, self.value))
    }

    /// What it looks at, in base units; `None` where there is nothing to measure, or no window yet.
    #[expect(clippy::cast_precision_loss, reason = "conditions compare floats")]
    pub(crate) fn measure(&self, older: Option<&Snapshot>, newer: &Snapshot) -> Option<f64> {
        let change = older.and_then(|older| Change::between(older, newer));
        let families = newer
            .families()
            .filter(|view| self.filter.admit(view.family).is_some());
        match self.measure {
            Measure::Value => sum(families.filter_map(|view| self.value_of(&view))),
            Measure::Rate => {
                let change = change?;
                sum(families.filter_map(|view| self.rate_of(&view, &change)))
            }
            Measure::Quantile(_) | Measure::Mean => {
                let change = change?;
                let mut histograms = families.filter(|view| view.family.buckets.is_some());
                self.of_window(&histograms.next()?, &change)
            }
            Measure::Series => Some(families.map(|view| self.admitted(&view).len() as f64).sum()),
            Measure::Processes => {
                let living = newer.processes.iter().filter(|process| process.alive);
                Some(living.count() as f64)
            }
        }
    }

    /// The indexes of a family's series that are meant.
    fn admitted(&self, view: &FamilyView<'_>) -> Vec<usize> {
        let Some(admission) = self.filter.admit(view.family) else {
            return Vec::new();
        };
        let series = view.family.series.iter().enumerate();
        series
            .filter(|(_, series)| admission.admits_series(series))
            .map(|(index, _)| index)
            .collect()
    }

    fn value_of(&self, view: &FamilyView<'_>) -> Option<f64> {
        let part = self.filter.admit(view.family)?.part;
        let values: Vec<ValueView<'_>> = view.series().map(|series| series.value).collect();
        let admitted = self.admitted(view).into_iter();
        sum(admitted.filter_map(|index| number(view.family, values[index], part)))
    }

    fn rate_of(&self, view: &FamilyView<'_>, change: &Change<'_>) -> Option<f64> {
        let before = change.before(view);
        let now: Vec<ValueView<'_>> = view.series().map(|series| series.value).collect();
        let admitted = self.admitted(view).into_iter();
        sum(
            admitted.filter_map(|index| match (now[index], before[index]) {
                (ValueView::Histogram(now), before) => {
                    let before = match before {
                        Some(ValueView::Histogram(before)) => before.count(),
                        _ => 0,
                    };
                    let taken = Number::Unsigned(now.count().saturating_sub(before));
                    Some(taken.as_f64() / change.seconds())
                }
                (ValueView::Number(now), before) => change.rate(view.family, before, now),
                _ => None,
            }),
        )
    }

    /// Of the values that all series of a histogram family took in the window together.
    fn of_window(&self, view: &FamilyView<'_>, change: &Change<'_>) -> Option<f64> {
        let admission = self.filter.admit(view.family)?;
        let taken = distributions::of_series(view, &admission, Some(change));
        let distribution = distributions::merged(&taken)?.distribution(view.family)?;
        match self.measure {
            Measure::Quantile(quantile) => distribution.quantile(quantile),
            _ => distribution.mean(),
        }
    }
}

/// The sum, if there is anything to sum.
fn sum(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    numbers.reduce(|sum, number| sum + number)
}

fn number(family: &Family, value: ValueView<'_>, part: Part) -> Option<f64> {
    let scale = family.unit.scale();
    match value {
        ValueView::Number(number) => Some(number.scaled(scale).as_f64()),
        ValueView::Each(values) => sum(values.iter().map(|each| each.value.scaled(scale).as_f64())),
        ValueView::Histogram(view) if part == Part::Sum => Some(view.distribution(family)?.sum()),
        ValueView::Histogram(view) => Some(Number::Unsigned(view.count()).as_f64()),
        ValueView::Info => Some(1.0),
        ValueView::States(_) | ValueView::Absent => None,
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let (left, operator, right) = split(text)
            .ok_or("give a comparison, as in 'x_total > 5' or 'p99(x_seconds) > 250ms'")?;
        let (measure, selector) = match left.split_once('(') {
            Some((name, rest)) if !name.contains('{') => {
                let inner = rest.trim_end().strip_suffix(')');
                let inner = inner.ok_or("the parenthesis is not closed")?;
                (named(name.trim())?, inner.trim())
            }
            _ => (Measure::Value, left.trim()),
        };
        let selector: Option<Selector> = match (measure, selector) {
            (Measure::Processes, "") => None,
            (Measure::Processes, _) => return Err("say processes(), with nothing in it".into()),
            (_, selector) => Some(selector.parse()?),
        };
        let selectors: Vec<Selector> = selector.iter().cloned().collect();
        Ok(Condition {
            text: text.trim().to_owned(),
            measure,
            filter: Filter::new(selectors, Vec::new()),
            selector,
            operator,
            value: value(right.trim())?,
        })
    }
}

fn named(name: &str) -> Result<Measure, String> {
    let found = Measure::NAMED.iter().find(|(known, _)| *known == name);
    found.map(|(_, measure)| *measure).ok_or_else(|| {
        let names: Vec<&str> = Measure::NAMED.iter().map(|(name, _)| *name).collect();
        format!("`{name}` is none of {}", names.join(", "))
    })
}

/// Splits at the comparison that stands outside of braces and quotes.
fn split(text: &str) -> Option<(&str, Operator, &str)> {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (at, character) in text.char_indices() {
        if let Some(end) = quote {
            if escaped {
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == end {
                quote = None;
            }
            continue;
        }
        match character {
            '"' | '\'' => quote = Some(character),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth > 0 => {}
            _ => {
                let rest = &text[at..];
                let found = Operator::ALL
                    .into_iter()
                    .find(|known| rest.starts_with(known.0));
                if let Some((sign, operator)) = found {
                    return Some((&text[..at], operator, &rest[sign.len()..]));
                }
            }
        }
    }
    None
}

/// A number with the suffix of a time or a size, in base units.
fn value(text: &str) -> Result<f64, String> {
    // Division by a power of ten rounds as the number itself would.
    const SUFFIXES: [(&str, f64, f64); 10] = [
        ("KiB", 1024.0, 1.0),
        ("MiB", 1_048_576.0, 1.0),
        ("GiB", 1_073_741_824.0, 1.0),
        ("ns", 1.0, 1e9),
        ("us", 1.0, 1e6),
        ("µs", 1.0, 1e6),
        ("ms", 1.0, 1e3),
        ("s", 1.0, 1.0),
        ("m", 60.0, 1.0),
        ("h", 3600.0, 1.0),
    ];
    let (number, multiplier, divisor) = SUFFIXES
        .into_iter()
        .find_map(|(suffix, multiplier, divisor)| {
            Some((text.strip_suffix(suffix)?, multiplier, divisor))
        })
        .unwrap_or((text, 1.0, 1.0));
    match number.trim().parse::<f64>() {
        Ok(number) if !number.is_nan() => Ok(number * multiplier / divisor),
        _ => Err(format!(
            "`{text}` is no number: give one as 5, 1e6, 250ms or 10MiB"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph::{GaugeMode, SegmentOptions, Unit};

    #[test]
    fn values_have_suffixes() {
        assert_eq!(value("5"), Ok(5.0));
        assert_eq!(value("1e6"), Ok(1e6));
        assert_eq!(value("-2.5"), Ok(-2.5));
        assert_eq!(value("250ms"), Ok(0.25));
        assert_eq!(value("300 ns"), Ok(3e-7));
        assert_eq!(value("2m"), Ok(120.0));
        assert_eq!(value("10MiB"), Ok(10_485_760.0));
        assert!(value("").is_err() && value("ms").is_err() && value("NaN").is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in [
            "x_total",
            "x_total >",
            "> 5",
            "rate(x_total > 5",
            "nosuch(x_total) > 5",
            "processes(x) > 5",
            "x{code=\"5} > 5",
            "x = 5",
        ] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn measures_are_of_all_that_is_meant() {
        let writer = SegmentOptions::new().heap().unwrap();
        let family = writer.counter("x_total", "X").family().unwrap();
        let with = |code| family.with(&[("code", code)]).unwrap();
        with("200").add(5);
        with("503").add(2);
        let queue = writer.gauge("queue_bytes", "Q").unit(Unit::BYTES);
        queue.mode(GaugeMode::Each).register().unwrap().set(2048);
        let times = writer.histogram("t_seconds", "T").unit(Unit::NANOSECONDS);
        let times = times.register().unwrap();
        times.record(1_000_000_000);
        let older = writer.snapshot().unwrap();
        with("503").add(10);
        times.record_n(1_000_000, 99);
        times.record(500_000_000);
        let newer = writer.snapshot().unwrap();
        let measure = |text: &str| {
            let condition: Condition = text.parse().unwrap();
            condition.measure(Some(&older), &newer)
        };
        let seconds = Change::between(&older, &newer).unwrap().seconds();
        assert_eq!(measure("x_total > 0"), Some(17.0));
        assert_eq!(measure("x_total{code=~\"5..\"} > 0"), Some(12.0));
        assert_eq!(
            measure("rate(x_total{code!=\"200\"}) > 0"),
            Some(10.0 / seconds)
        );
        assert_eq!(measure("queue_bytes >= 2KiB"), Some(2048.0));
        assert_eq!(measure("t_seconds_count > 0"), Some(101.0));
        assert_eq!(measure("series(x_total) == 2"), Some(2.0));
        assert_eq!(measure("series(nosuch) == 0"), Some(0.0));
        assert_eq!(measure("processes() == 1"), Some(1.0));
        let p50 = measure("p50(t_seconds) > 0").unwrap();
        assert!((0.001..0.001_04).contains(&p50), "{p50}");
        let max = measure("max(t_seconds) > 0").unwrap();
        assert!((0.5..0.52).contains(&max), "{max} is of the window alone");
        assert_eq!(measure("nosuch > 0"), None);
        let holds = |text: &str| {
            let condition: Condition = text.parse().unwrap();
            condition.holds(None, &newer)
        };
        assert!(holds("x_total>=17") && holds("x_total != 1") && !holds("x_total<17"));
        assert!(!holds("rate(x_total) >= 0"), "there is no window");
        assert!(!holds("nosuch == 0"), "there is nothing to measure");
    }
}
