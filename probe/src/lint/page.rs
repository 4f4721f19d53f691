//! What must hold on a whole page.

use std::collections::{HashMap, HashSet};

use super::family::{Family, is_kind, suffixes};
use super::line::{Line, Sample, parse};
use super::{Dialect, Finding};

/// What was found on a page.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    pub(crate) families: usize,
    pub(crate) samples: usize,
}

/// Judges a whole page.
pub(crate) fn judge(page: &[u8], dialect: Dialect) -> Verdict {
    let mut state = State {
        dialect,
        verdict: Verdict::default(),
        current: None,
        finished: HashSet::new(),
        sample_names: HashMap::new(),
        series: HashMap::new(),
        ended: None,
    };
    let mut count = 0;
    for (line, bytes) in (1..).zip(page.split_inclusive(|&byte| byte == b'\n')) {
        count = line;
        state.line(line, bytes);
    }
    state.close();
    if dialect == Dialect::OpenMetrics && state.ended.is_none() {
        state.find(count.max(1), "eof", "the last line is not # EOF");
    }
    let mut verdict = state.verdict;
    verdict
        .findings
        .sort_by_key(|finding| (finding.line, finding.rule));
    verdict
}

struct State {
    dialect: Dialect,
    verdict: Verdict,
    current: Option<Family>,
    finished: HashSet<String>,
    /// The family that each name of a sample belongs to, of those declared so far.
    sample_names: HashMap<String, String>,
    /// The line of each series.
    series: HashMap<String, usize>,
    ended: Option<usize>,
}

impl State {
    fn find(&mut self, line: usize, rule: &'static str, message: impl Into<String>) {
        let findings = &mut self.verdict.findings;
        findings.push(Finding::new(line, rule, message));
    }

    fn line(&mut self, line: usize, bytes: &[u8]) {
        if let Some(end) = self.ended.filter(|&end| end + 1 == line) {
            self.find(line, "eof", format!("line {end} was the end"));
        }
        let Some(bytes) = bytes.strip_suffix(b"\n") else {
            self.find(line, "line-end", "the last line has no line end");
            return self.text(line, bytes);
        };
        self.text(line, bytes);
    }

    fn text(&mut self, line: usize, bytes: &[u8]) {
        let Ok(text) = str::from_utf8(bytes) else {
            return self.find(line, "utf-8", "it is not UTF-8");
        };
        let text = match text.strip_suffix('\r') {
            None => text,
            Some(text) => {
                self.find(line, "line-end", "lines end in a line feed alone");
                text
            }
        };
        match parse(text, self.dialect) {
            Ok(read) => self.read(line, read),
            Err((rule, message)) => self.find(line, rule, message),
        }
    }

    fn read(&mut self, line: usize, read: Line) {
        let is_openmetrics = self.dialect == Dialect::OpenMetrics;
        match read {
            Line::End => self.ended = Some(line),
            Line::Blank if is_openmetrics => self.find(line, "blank", "it has no empty lines"),
            Line::Comment if is_openmetrics => self.find(line, "comment", "it has no comments"),
            Line::Blank | Line::Comment => {}
            Line::Help { name } => {
                let family = self.header(line, name, "HELP");
                if std::mem::replace(&mut family.has_help, true) {
                    self.find(line, "once", "there is a HELP already");
                }
            }
            Line::Type { name, kind } => self.kind(line, name, kind),
            Line::Unit { name, unit } => {
                let family = self.header(line, name, "UNIT");
                if family.unit.replace((line, unit)).is_some() {
                    self.find(line, "once", "there is a UNIT already");
                }
            }
            Line::Sample(sample) => self.sample(line, sample),
        }
    }

    fn kind(&mut self, line: usize, name: String, kind: String) {
        let dialect = self.dialect;
        let taken = suffixes(&kind, dialect).iter().find_map(|suffix| {
            let sample = format!("{name}{suffix}");
            let owner = self
                .sample_names
                .get(&sample)
                .filter(|owner| **owner != name);
            owner.map(|owner| format!("{sample} is a sample of {owner}, too"))
        });
        if let Some(message) = taken {
            self.find(line, "clash", message);
        }
        if !is_kind(&kind, dialect) {
            self.find(line, "type", format!("{kind:?} is no type"));
        }
        for suffix in suffixes(&kind, dialect) {
            let sample = format!("{name}{suffix}");
            self.sample_names
                .entry(sample)
                .or_insert_with(|| name.clone());
        }
        let family = self.header(line, name, "TYPE");
        if family.kind.replace(kind).is_some() {
            self.find(line, "once", "there is a TYPE already");
        }
    }

    /// The family that a header is of.
    fn header(&mut self, line: usize, name: String, what: &str) -> &mut Family {
        self.enter(line, &name);
        let has_samples = self
            .current
            .as_ref()
            .is_some_and(|it| !it.samples.is_empty());
        if has_samples {
            self.find(
                line,
                "before",
                format!("{what} stands behind samples of {name}"),
            );
        }
        self.current.get_or_insert_default()
    }

    /// Makes `name` the family of the moment.
    fn enter(&mut self, line: usize, name: &str) {
        if self.current.as_ref().is_some_and(|it| it.name == name) {
            return;
        }
        self.close();
        if self.finished.contains(name) {
            self.find(line, "grouping", format!("lines of {name} stand apart"));
        } else {
            self.verdict.families += 1;
        }
        self.current = Some(Family {
            name: name.to_owned(),
            ..Family::default()
        });
    }

    /// Judges the family of the moment.
    fn close(&mut self) {
        if let Some(family) = self.current.take() {
            family.judge(self.dialect, &mut self.verdict.findings);
            self.finished.insert(family.name);
        }
    }

    fn sample(&mut self, line: usize, sample: Sample) {
        self.verdict.samples += 1;
        let family = self.sample_names.get(&sample.name);
        let family = family.unwrap_or(&sample.name).clone();
        self.enter(line, &family);
        let mut names: Vec<&str> = sample
            .labels
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("the label {} is there twice", pair[0]);
            self.find(line, "label", message);
        }
        if let Some((name, _)) = sample
            .labels
            .iter()
            .find(|(name, _)| name.starts_with("__"))
        {
            self.find(
                line,
                "label",
                format!("labels called {name} are the scraper's"),
            );
        }
        // With times one series may be there more than once; their order is judged with the family.
        let series = series_name(&sample);
        if let Some(first) = self.series.get(&series) {
            if sample.timestamp.is_none() || self.dialect == Dialect::Text {
                let message = format!("{series} stands on line {first} already");
                self.find(line, "unique", message);
            }
        } else {
            self.series.insert(series, line);
        }
        let current = self.current.get_or_insert_default();
        current.samples.push((line, sample));
    }
}

/// A series as people write it, its labels in order.
fn series_name(sample: &Sample) -> String {
    let mut labels: Vec<String> = sample
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    labels.sort_unstable();
    format!("{}{{{}}}", sample.name, labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(page: &str, dialect: Dialect) -> Vec<(usize, &'static str)> {
        let findings = judge(page.as_bytes(), dialect).findings;
        findings.iter().map(|it| (it.line, it.rule)).collect()
    }

    fn text(page: &str) -> Vec<(usize, &'static str)> {
        rules(page, Dialect::Text)
    }

    fn openmetrics(page: &str) -> Vec<(usize, &'static str)> {
        rules(&format!("{page}# EOF\n"), Dialect::OpenMetrics)
    }

    const HISTOGRAM: &str = "# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 3\n\
        h_sum 4.5\nh_count 3\n";

    #[test]
    fn sound_pages() {
        assert_eq!(text(""), []);
        assert_eq!(openmetrics(""), []);
        assert_eq!(text(HISTOGRAM), []);
        assert_eq!(openmetrics(HISTOGRAM), []);
        assert_eq!(
            text(
                "# a comment\n\n# HELP a_total A\n# TYPE a_total counter\na_total{x=\"1\"} 1 5\na_total 2\nb 3\n"
            ),
            []
        );
        assert_eq!(
            openmetrics(
                "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds A\n\
                 a_seconds_total 1 # {t=\"x\"} 1\na_seconds_created 1.5\n\
                 # TYPE b info\nb_info{v=\"1\"} 1\n# TYPE c stateset\nc{c=\"x\"} 1\nc{c=\"y\"} 0\n\
                 # TYPE d summary\nd{quantile=\"0.5\"} NaN\nd_count 0\nd_sum 0\ne 1 1\ne 1 2\n"
            ),
            []
        );
    }

    #[test]
    fn headers() {
        assert_eq!(
            text("# TYPE a gauge\n# TYPE a gauge\n# HELP a x\n# HELP a x\na 1\n"),
            [(2, "once"), (4, "once")]
        );
        assert_eq!(text("a 1\n# TYPE a gauge\n"), [(2, "before")]);
        assert_eq!(text("# TYPE a info\n"), [(1, "type")]);
        assert_eq!(openmetrics("# TYPE a untyped\n"), [(1, "type")]);
        assert_eq!(
            text("# TYPE h histogram\n# TYPE h_count gauge\n"),
            [(2, "clash")]
        );
        assert_eq!(
            openmetrics(
                "# TYPE a gauge\n# UNIT a bytes\na 1\n# TYPE b_s info\n# UNIT b_s s\nb_s_info 1\n"
            ),
            [(2, "unit"), (5, "unit")]
        );
    }

    #[test]
    fn groups_and_series() {
        assert_eq!(text("a 1\nb 1\na{x=\"1\"} 1\n"), [(3, "grouping")]);
        assert_eq!(
            text("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n"),
            [(2, "unique")]
        );
        assert_eq!(text("a{x=\"1\",x=\"2\"} 1\n"), [(1, "label")]);
        assert_eq!(text("a{__x=\"1\"} 1\n"), [(1, "label")]);
        assert_eq!(openmetrics("a 1 2\na 1 2\n"), [(2, "timestamp")]);
        assert_eq!(
            openmetrics("a 1 2\na 1\n"),
            [(2, "timestamp"), (2, "unique")]
        );
        assert_eq!(
            openmetrics(
                "# TYPE d summary\nd_count{x=\"1\"} 1\nd_count{x=\"2\"} 1\nd_sum{x=\"1\"} 1\nd_sum{x=\"2\"} 1\n"
            ),
            [(4, "grouping"), (5, "grouping")]
        );
    }

    #[test]
    fn histograms() {
        let with = |from: &str, to: &str| {
            let page = HISTOGRAM.replace(from, to);
            assert_ne!(page, HISTOGRAM);
            text(&page)
        };
        assert_eq!(with("1.0\"} 2", "1.0\"} 4"), [(3, "monotone")]);
        assert_eq!(with("h_count 3", "h_count 2"), [(5, "inf")]);
        assert_eq!(with("h_bucket{le=\"+Inf\"} 3\n", ""), [(2, "inf")]);
        assert_eq!(with("le=\"+Inf\"", "le=\"0.5\""), [(3, "inf"), (3, "le")]);
        assert_eq!(with("le=\"1.0\"", "le=\"one\""), [(2, "le")]);
        assert_eq!(with("{le=\"1.0\"}", ""), [(2, "le")]);
        assert_eq!(with("h_sum 4.5\n", ""), [(4, "count")]);
        assert_eq!(with("} 2", "} 2.5"), [(2, "value")]);
        assert_eq!(with("h_count", "h"), [(4, "count"), (5, "suffix")]);
    }

    #[test]
    fn counters_and_others() {
        assert_eq!(text("# TYPE a counter\na 1\n"), [(2, "total")]);
        assert_eq!(text("# TYPE a_total gauge\na_total 1\n"), [(2, "total")]);
        assert_eq!(text("# TYPE a_total counter\na_total -1\n"), [(2, "value")]);
        assert_eq!(openmetrics("# TYPE a counter\na 1\n"), [(2, "total")]);
        assert_eq!(openmetrics("# TYPE b info\nb_info 2\n"), [(2, "value")]);
        assert_eq!(
            openmetrics("# TYPE c stateset\nc 2\n"),
            [(2, "state"), (2, "value")]
        );
        assert_eq!(
            text(
                "# TYPE d summary\nd{quantile=\"2\"} 1\nd{quantile=\"1\"} 1\nd_count 1\nd_sum 1\n"
            ),
            [(2, "quantile"), (3, "quantile")]
        );
    }

    #[test]
    fn exemplars() {
        let page = |bucket: &str, exemplar: &str| {
            openmetrics(&HISTOGRAM.replace(bucket, &format!("{bucket} # {exemplar}")))
        };
        assert_eq!(page("1.0\"} 2", "{t=\"x\"} 0.5"), []);
        assert_eq!(page("1.0\"} 2", "{} 1.5 12.5"), [(2, "exemplar")]);
        assert_eq!(page("Inf\"} 3", "{} 1"), [(3, "exemplar")]);
        assert_eq!(page("h_count 3", "{} 1"), [(5, "exemplar")]);
        let long = format!("{{t=\"{}\"}} 1", "x".repeat(128));
        assert_eq!(page("1.0\"} 2", &long), [(2, "exemplar")]);
    }

    #[test]
    fn ends() {
        let openmetrics = |page| rules(page, Dialect::OpenMetrics);
        assert_eq!(openmetrics("a 1\n"), [(1, "eof")]);
        assert_eq!(openmetrics("# EOF\na 1\nb 1\n"), [(2, "eof")]);
        assert_eq!(openmetrics("# EOF"), [(1, "line-end")]);
        assert_eq!(openmetrics("\n# EOF\n"), [(1, "blank")]);
        assert_eq!(openmetrics("# x\n# EOF\n"), [(1, "comment")]);
        assert_eq!(text("a 1"), [(1, "line-end")]);
        assert_eq!(text("a 1\r\n"), [(1, "line-end")]);
        assert_eq!(judge(b"a \xff\n", Dialect::Text).findings[0].rule, "utf-8");
    }
}
