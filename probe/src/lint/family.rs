//! What must hold among the samples of one family.

use std::collections::HashMap;

use super::line::{Label, Sample, number};
use super::{Dialect, Finding};

/// The most characters of an exemplar's labels.
const EXEMPLAR_CHARACTERS_MAX: usize = 128;

/// A family as it was declared, with its samples.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) unit: Option<(usize, String)>,
    pub(crate) has_help: bool,
    pub(crate) samples: Vec<(usize, Sample)>,
}

/// What the names of samples of a type end in.
pub(crate) fn suffixes(kind: &str, dialect: Dialect) -> &'static [&'static str] {
    match (kind, dialect) {
        ("counter", Dialect::OpenMetrics) => &["_total", "_created"],
        ("histogram", Dialect::OpenMetrics) => &["_bucket", "_count", "_sum", "_created"],
        ("histogram", Dialect::Text) => &["_bucket", "_count", "_sum"],
        ("gaugehistogram", Dialect::OpenMetrics) => &["_bucket", "_gcount", "_gsum"],
        ("summary", Dialect::OpenMetrics) => &["", "_count", "_sum", "_created"],
        ("summary", Dialect::Text) => &["", "_count", "_sum"],
        ("info", Dialect::OpenMetrics) => &["_info"],
        _ => &[""],
    }
}

/// Whether there is such a type.
pub(crate) fn is_kind(kind: &str, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Text => ["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind),
        Dialect::OpenMetrics => [
            "counter",
            "gauge",
            "histogram",
            "gaugehistogram",
            "summary",
            "info",
            "stateset",
            "unknown",
        ]
        .contains(&kind),
    }
}

/// The samples of a histogram or summary with the same labels, but for `le` and `quantile`.
#[derive(Default)]
struct Point<'a> {
    line: usize,
    bounds: Vec<(usize, f64, &'a Sample)>,
    count: Option<(usize, f64)>,
    sum: Option<usize>,
}

impl Family {
    /// Finds what is wrong with the samples.
    pub(crate) fn judge(&self, dialect: Dialect, findings: &mut Vec<Finding>) {
        let mut judge = Judge {
            family: self,
            dialect,
            findings,
        };
        judge.names();
        judge.values();
        judge.exemplars();
        judge.times();
        match self.kind() {
            "histogram" | "gaugehistogram" => judge.histograms(),
            "summary" => judge.summaries(),
            _ => {}
        }
    }

    fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("unknown")
    }
}

struct Judge<'a> {
    family: &'a Family,
    dialect: Dialect,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Judge<'a> {
    fn find(&mut self, line: usize, rule: &'static str, message: impl Into<String>) {
        self.findings.push(Finding::new(line, rule, message));
    }

    fn suffix_of(&self, sample: &'a Sample) -> &'a str {
        let suffix = sample.name.strip_prefix(&*self.family.name);
        suffix.unwrap_or_default()
    }

    fn names(&mut self) {
        let (name, kind) = (&self.family.name, self.family.kind());
        let Some(&(first, _)) = self.family.samples.first() else {
            return;
        };
        let is_total = name.ends_with("_total");
        match (self.dialect, kind) {
            (Dialect::Text, "counter") if !is_total => {
                self.find(
                    first,
                    "total",
                    format!("the counter {name} does not end in _total"),
                );
            }
            (Dialect::Text, "gauge" | "histogram" | "summary")
            | (Dialect::OpenMetrics, "gauge" | "histogram" | "summary" | "counter")
                if is_total =>
            {
                self.find(first, "total", format!("the {kind} {name} ends in _total"));
            }
            _ => {}
        }
        let allowed = suffixes(kind, self.dialect);
        for (line, sample) in &self.family.samples {
            if !allowed.contains(&self.suffix_of(sample)) {
                let rule = if kind == "counter" { "total" } else { "suffix" };
                let message = format!("{} is no sample of the {kind} {name}", sample.name);
                self.find(*line, rule, message);
            }
        }
        if let Some((line, unit)) = &self.family.unit
            && !unit.is_empty()
        {
            let stem = name.strip_suffix(unit.as_str()).unwrap_or_default();
            if !stem.ends_with('_') {
                self.find(
                    *line,
                    "unit",
                    format!("{name} does not end in its unit, {unit}"),
                );
            } else if matches!(kind, "info" | "stateset") {
                self.find(
                    *line,
                    "unit",
                    format!("a family of type {kind} has no unit"),
                );
            }
        }
    }

    fn values(&mut self) {
        let kind = self.family.kind();
        for (line, sample) in &self.family.samples {
            let value = sample.value;
            let suffix = self.suffix_of(sample);
            let is_count = matches!(suffix, "_bucket" | "_count" | "_gcount");
            match kind {
                "counter" if suffix != "_created" && (value.is_nan() || value < 0.0) => {
                    self.find(*line, "value", format!("a counter is not {value}"));
                }
                "histogram" | "gaugehistogram" | "summary"
                    if is_count && (value < 0.0 || value.fract() != 0.0) =>
                {
                    self.find(*line, "value", format!("{value} is no count"));
                }
                "info" if !same(value, 1.0) => {
                    self.find(*line, "value", format!("an info is 1, not {value}"));
                }
                "stateset" => {
                    if !same(value, 0.0) && !same(value, 1.0) {
                        self.find(*line, "value", format!("a state is 0 or 1, not {value}"));
                    }
                    if !sample
                        .labels
                        .iter()
                        .any(|(name, _)| *name == self.family.name)
                    {
                        let name = &self.family.name;
                        self.find(*line, "state", format!("the label {name} is missing"));
                    }
                }
                _ => {}
            }
        }
    }

    fn exemplars(&mut self) {
        let kind = self.family.kind();
        for (line, sample) in &self.family.samples {
            let Some(exemplar) = &sample.exemplar else {
                continue;
            };
            let allowed = match self.suffix_of(sample) {
                "_total" => kind == "counter",
                "_bucket" => matches!(kind, "histogram" | "gaugehistogram"),
                _ => false,
            };
            if !allowed {
                let message = format!("{} has no exemplars; buckets and totals have", sample.name);
                self.find(*line, "exemplar", message);
            }
            let texts = exemplar
                .labels
                .iter()
                .flat_map(|(name, value)| [name, value]);
            let characters: usize = texts.map(|text| text.chars().count()).sum();
            if characters > EXEMPLAR_CHARACTERS_MAX {
                let message =
                    format!("its labels have {characters} characters; at most 128 may be");
                self.find(*line, "exemplar", message);
            }
        }
    }

    /// A series with times has one at each sample, and no two that go back.
    fn times(&mut self) {
        let mut last: HashMap<(&str, &[Label]), Option<f64>> = HashMap::new();
        for (line, sample) in &self.family.samples {
            let series = (sample.name.as_str(), sample.labels.as_slice());
            match (last.insert(series, sample.timestamp), sample.timestamp) {
                (Some(Some(before)), Some(now)) if now <= before => {
                    self.find(*line, "timestamp", "times of a series grow");
                }
                (Some(None), Some(_)) | (Some(Some(_)), None) => {
                    self.find(
                        *line,
                        "timestamp",
                        "a series has times everywhere or nowhere",
                    );
                }
                _ => {}
            }
        }
    }

    /// The samples by their labels without `but`, in the order of the page; lines that lack `but`, or whose `but`
    /// is no number, are found.
    fn points(&mut self, but: &str, has_bound: impl Fn(&str) -> bool) -> Vec<Point<'a>> {
        let family = self.family;
        let mut points: Vec<Point<'a>> = Vec::new();
        let mut known = HashMap::new();
        let mut last = None;
        for (line, sample) in &family.samples {
            let mut key: Vec<_> = sample
                .labels
                .iter()
                .filter(|(name, _)| name != but)
                .collect();
            key.sort_unstable();
            let at = *known.entry(key).or_insert(points.len());
            if at == points.len() {
                points.push(Point {
                    line: *line,
                    ..Point::default()
                });
            } else if last != Some(at) && self.dialect == Dialect::OpenMetrics {
                self.find(
                    *line,
                    "grouping",
                    "the samples of one label set stand apart",
                );
            }
            last = Some(at);
            let suffix = self.suffix_of(sample);
            match suffix {
                _ if has_bound(suffix) => {
                    let bound = sample.labels.iter().find(|(name, _)| name == but);
                    match bound.map(|(_, bound)| number(bound)) {
                        Some(Ok(bound)) if !bound.is_nan() => {
                            points[at].bounds.push((*line, bound, sample));
                        }
                        Some(_) => self.find(*line, but_rule(but), "its bound is no number"),
                        None => {
                            self.find(*line, but_rule(but), format!("the label {but} is missing"))
                        }
                    }
                }
                "_count" | "_gcount" => points[at].count = Some((*line, sample.value)),
                "_sum" | "_gsum" => points[at].sum = Some(*line),
                _ => {}
            }
        }
        points
    }

    fn histograms(&mut self) {
        for point in self.points("le", |suffix| suffix == "_bucket") {
            self.order(&point, "le");
            self.buckets(&point);
            let Some(&(line, last, inf)) = point.bounds.last() else {
                self.find(point.line, "inf", "a histogram without buckets");
                continue;
            };
            if !same(last, f64::INFINITY) {
                self.find(line, "inf", "the last bucket is not le=\"+Inf\"");
            } else if let Some((line, count)) = point.count
                && !same(count, inf.value)
            {
                let message = format!("the count is {count} and the +Inf bucket {}", inf.value);
                self.find(line, "inf", message);
            }
            self.count_and_sum(&point);
        }
    }

    fn count_and_sum(&mut self, point: &Point<'_>) {
        match (point.count, point.sum, self.dialect) {
            (Some((line, _)), None, _) => self.find(line, "count", "there is no _sum"),
            (None, Some(line), _) => self.find(line, "count", "there is no _count"),
            (None, None, Dialect::Text) => {
                self.find(point.line, "count", "there are neither _count nor _sum");
            }
            _ => {}
        }
    }

    fn order(&mut self, point: &Point<'_>, but: &str) {
        for pair in point.bounds.windows(2) {
            if pair[1].1 <= pair[0].1 {
                let message = format!("{but} {} stands behind {}", pair[1].1, pair[0].1);
                self.find(pair[1].0, but_rule(but), message);
            }
        }
    }

    fn buckets(&mut self, point: &Point<'_>) {
        let mut below = (f64::NEG_INFINITY, 0.0);
        for &(line, bound, sample) in &point.bounds {
            if sample.value < below.1 {
                let message = format!(
                    "the bucket has {} and the one before {}",
                    sample.value, below.1
                );
                self.find(line, "monotone", message);
            }
            if let Some(exemplar) = &sample.exemplar
                && !(exemplar.value > below.0 && exemplar.value <= bound)
            {
                let value = exemplar.value;
                let message = format!("{value} is not in the bucket from {} to {bound}", below.0);
                self.find(line, "exemplar", message);
            }
            below = (bound, sample.value);
        }
    }

    fn summaries(&mut self) {
        for point in self.points("quantile", str::is_empty) {
            self.order(&point, "quantile");
            for &(line, quantile, _) in &point.bounds {
                if !(0.0..=1.0).contains(&quantile) {
                    self.find(
                        line,
                        "quantile",
                        format!("{quantile} is not between 0 and 1"),
                    );
                }
            }
            if self.dialect == Dialect::Text || point.bounds.is_empty() {
                self.count_and_sum(&point);
            }
        }
    }
}

fn but_rule(but: &str) -> &'static str {
    match but {
        "le" => "le",
        _ => "quantile",
    }
}

fn same(left: f64, right: f64) -> bool {
    left.total_cmp(&right).is_eq() || left == right
}
