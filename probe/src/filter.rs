//! Which families and series a command shows: any of its selectors, and all of its `--label`s.

use tachograph::{Family, Kind, Series};

use crate::selector::{Matcher, Part, Selector};

/// What a command was asked to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    selectors: Vec<Selector>,
    labels: Vec<Matcher>,
}

/// What it was asked to show of one family.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    /// Those that mean this family; empty where there are no selectors at all.
    selectors: Vec<&'a Selector>,
    labels: &'a [Matcher],
    pub(crate) part: Part,
}

impl Filter {
    pub(crate) fn new(selectors: Vec<Selector>, labels: Vec<Matcher>) -> Filter {
        Filter { selectors, labels }
    }

    /// Whether everything is shown.
    pub(crate) fn is_open(&self) -> bool {
        self.selectors.is_empty() && self.labels.is_empty()
    }

    /// Whether labels decide what is shown.
    pub(crate) fn has_labels(&self) -> bool {
        !self.labels.is_empty() || self.selectors.iter().any(Selector::has_matchers)
    }

    /// What is shown of `family`, if anything. A family that is named as a whole is shown as a whole.
    pub(crate) fn admit(&self, family: &Family) -> Option<Admission<'_>> {
        self.admit_named(&family.name, family.kind == Kind::Histogram)
    }

    /// The same of a family of which no more is known.
    pub(crate) fn admit_named(&self, family: &str, is_histogram: bool) -> Option<Admission<'_>> {
        let mut part = Part::Whole;
        let mut selectors = Vec::new();
        for selector in &self.selectors {
            let Some(meant) = selector.part_of(family, is_histogram) else {
                continue;
            };
            let is_first = selectors.is_empty();
            part = if is_first || part == meant {
                meant
            } else {
                Part::Whole
            };
            selectors.push(selector);
        }
        let is_shown = self.selectors.is_empty() || !selectors.is_empty();
        is_shown.then_some(Admission {
            selectors,
            labels: &self.labels,
            part,
        })
    }

    /// Why nothing was shown, with a name that would have found something among `names`.
    pub(crate) fn nothing_found<'a>(&self, names: impl Iterator<Item = &'a Family>) -> String {
        let Some(selector) = self.selectors.first() else {
            return "no series has these labels".into();
        };
        let mut families = names.peekable();
        if families.peek().is_none() {
            return "the segment has no series yet".into();
        }
        let name = selector.name();
        let core = name.trim_matches(['*', '?']);
        let is_near = |family: &&Family| !core.is_empty() && family.name.contains(core);
        match families.find(|family| self.admit(family).is_some() || is_near(family)) {
            Some(family) if self.admit(family).is_some() => {
                format!("no series of '{name}' has these labels")
            }
            Some(family) => format!("no family is called '{name}'; there is {}", family.name),
            None => format!("no family is called '{name}'; see `ls`"),
        }
    }
}

impl Admission<'_> {
    /// Whether a series with the labels that `value_of` knows is shown; a missing label is empty.
    pub(crate) fn admits<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        let is_meant = |selector: &&Selector| selector.admits(&value_of);
        (self.selectors.is_empty() || self.selectors.iter().any(is_meant))
            && self.labels.iter().all(|label| label.admits(&value_of))
    }

    /// Whether a series with its own labels is shown.
    pub(crate) fn admits_series(&self, series: &Series) -> bool {
        self.admits(|name| series.labels.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph::Kind;

    fn filter(selectors: &[&str], labels: &[&str]) -> Filter {
        Filter::new(
            selectors.iter().map(|text| text.parse().unwrap()).collect(),
            labels.iter().map(|text| text.parse().unwrap()).collect(),
        )
    }

    #[test]
    fn any_selector_and_all_labels_must_hold() {
        let family = Family::new("x_total", Kind::Counter);
        let shows = |filter: &Filter, labels: &[(&str, &'static str)]| {
            filter.admit(&family).is_some_and(|admission| {
                admission.admits(|name| {
                    let found = labels.iter().find(|label| label.0 == name);
                    found.map(|label| label.1)
                })
            })
        };
        let labels = [("method", "get"), ("code", "503")];
        assert!(shows(&filter(&[], &[]), &labels));
        assert!(shows(&filter(&["y", "x_*"], &[]), &labels));
        assert!(!shows(&filter(&["y"], &[]), &labels));
        assert!(shows(&filter(&["x_*{code='1'}", "x_total"], &[]), &labels));
        assert!(!shows(&filter(&["x_*{code='1'}", "y"], &[]), &labels));
        assert!(shows(
            &filter(&["x_total"], &["method=get", "code=5*"]),
            &labels
        ));
        assert!(!shows(
            &filter(&["x_total"], &["method=get", "code=4*"]),
            &labels
        ));
    }

    #[test]
    fn a_part_is_shown_unless_the_whole_is_asked_for_too() {
        let family = Family::new("x_seconds", Kind::Histogram);
        let part = |selectors: &[&str]| filter(selectors, &[]).admit(&family).unwrap().part;
        assert_eq!(part(&["x_seconds_count"]), Part::Count);
        assert_eq!(part(&["x_seconds_count", "x_seconds"]), Part::Whole);
        assert_eq!(part(&["x_seconds_count", "*_sum"]), Part::Whole);
        assert_eq!(part(&[]), Part::Whole);
    }

    #[test]
    fn an_empty_result_names_what_is_near() {
        let families = ["http_requests_total", "queue_depth"];
        let families = families.map(|name| Family::new(name, Kind::Counter));
        let say = |selector| filter(&[selector], &[]).nothing_found(families.iter());
        assert_eq!(
            say("requests"),
            "no family is called 'requests'; there is http_requests_total"
        );
        assert_eq!(say("nosuch*"), "no family is called 'nosuch*'; see `ls`");
        assert_eq!(
            say("queue_depth{a='b'}"),
            "no series of 'queue_depth' has these labels"
        );
    }
}
