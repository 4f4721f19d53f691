//! Whether an exporter answers, and shows the numbers of the segment.

use tachograph::{Kind, Snapshot, ValueView};

use super::page::{self, Samples};
use crate::findings::{Finding, Severity};
use crate::source::Source;
use crate::terminal::printable;

/// Where the exporter listens unless it is told otherwise.
const DEFAULT: &str = "http://127.0.0.1:9464/metrics";

/// A number that only grows, before and after the page was made.
struct Bounds {
    key: String,
    name: String,
    before: f64,
    after: f64,
}

pub(super) fn findings(given: Option<&str>, source: &mut Source) -> Vec<Finding> {
    let url = given.unwrap_or(DEFAULT);
    let Ok(before) = source.snapshot() else {
        return Vec::new();
    };
    let page = match page::fetch(url) {
        Ok(page) => page,
        Err(error) => return vec![silent(url, given.is_some(), &error)],
    };
    let Ok(after) = source.snapshot() else {
        return Vec::new();
    };
    compare(url, &bounds(&before, &after), &page::samples(&page))
}

fn silent(url: &str, is_asked: bool, error: &std::io::Error) -> Finding {
    let severity = if is_asked {
        Severity::Error
    } else {
        Severity::Hint
    };
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        let what = format!("the numbers of the exporter at {url} cannot be compared: {error}");
        let next = "name an address of it without TLS and a login, such as --exporter unix:PATH";
        return Finding::new(Severity::Hint, "exporter_closed", url, what, next);
    }
    let what = format!("no exporter answers at {url}: {error}");
    let next = "start tachograph-exporter, or name its address with --exporter";
    Finding::new(severity, "exporter_silent", url, what, next)
}

/// The integer counters, and the counts of histograms, that both snapshots have.
fn bounds(before: &Snapshot, after: &Snapshot) -> Vec<Bounds> {
    let mut all = Vec::new();
    for view in before.families() {
        let Some(later) = after.family(&view.family.name) else {
            continue;
        };
        let name = match view.family.kind {
            Kind::Counter => view.family.name.clone(),
            Kind::Histogram => format!("{}_count", view.family.name),
            _ => continue,
        };
        let scale = view.family.unit.scale();
        let number = |value: ValueView<'_>| match value {
            ValueView::Number(number) => Some(number.scaled(scale).as_f64()),
            ValueView::Histogram(view) => Some(tachograph::Number::Unsigned(view.count()).as_f64()),
            _ => None,
        };
        let later: Vec<_> = later.series().collect();
        for series in view.series() {
            let found =
                later.binary_search_by(|other| other.series.labels.cmp(&series.series.labels));
            let after = found.ok().filter(|&at| later[at].series == series.series);
            let after = after.and_then(|at| number(later[at].value));
            if let (Some(before), Some(after)) = (number(series.value), after) {
                let labels = series.series.labels.iter();
                let labels = labels.map(|label| (label.name.to_string(), label.value.to_string()));
                all.push(Bounds {
                    key: page::key(&name, labels.collect()),
                    name: name.clone(),
                    before,
                    after,
                });
            }
        }
    }
    all
}

fn compare(url: &str, all: &[Bounds], samples: &Samples) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (found, missing): (Vec<&Bounds>, Vec<&Bounds>) = all
        .iter()
        .partition(|bounds| samples.contains_key(&bounds.key));
    if let Some(first) = missing.first() {
        findings.push(Finding::new(
            Severity::Warning,
            "exporter_lacks",
            url,
            format!(
                "the exporter shows {} of {} series: {} is missing",
                found.len(),
                all.len(),
                printable(&first.name)
            ),
            "see that it reads this segment (--segment), and that no rule of it drops or relabels them",
        ));
    }
    // What a float can hold of an integer, and of what was scaled.
    let slack = |number: f64| number.abs() * 1e-12;
    let differs = found.into_iter().filter(|bounds| {
        let shown = samples[&bounds.key];
        shown < bounds.before - slack(bounds.before) || shown > bounds.after + slack(bounds.after)
    });
    let differs: Vec<&Bounds> = differs.collect();
    if let Some(first) = differs.first() {
        findings.push(Finding::new(
            Severity::Error,
            "exporter_differs",
            url,
            format!(
                "the exporter shows {} for {}, the segment has {}; {} series differ",
                samples[&first.key],
                printable(&first.name),
                first.after,
                differs.len()
            ),
            "see that it reads this segment (--segment), and no older file of that name",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph::SegmentOptions;

    #[test]
    fn a_page_must_lie_between_two_looks() {
        let writer = SegmentOptions::new().heap().unwrap();
        let family = writer.counter("x_total", "X").family().unwrap();
        let series = family.with(&[("a", "1")]).unwrap();
        series.add(5);
        let before = writer.snapshot().unwrap();
        series.add(3);
        let all = bounds(&before, &writer.snapshot().unwrap());
        let codes = |page: &str| {
            let found = compare("url", &all, &page::samples(page));
            found
                .iter()
                .map(|finding| finding.code)
                .collect::<Vec<&str>>()
        };
        for shown in [5, 6, 8] {
            assert!(codes(&format!("x_total{{a=\"1\"}} {shown}\n")).is_empty());
        }
        assert_eq!(codes("x_total{a=\"1\"} 4\n"), ["exporter_differs"]);
        assert_eq!(codes("x_total{a=\"1\"} 9\n"), ["exporter_differs"]);
        assert_eq!(codes("x_total{a=\"2\"} 5\n"), ["exporter_lacks"]);
    }
}
