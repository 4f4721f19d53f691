//! The names that labels are exposed with.

use std::collections::HashSet;

use tachograph::{Labels, Series};

use crate::escaping::Escaping;

/// Gives the labels of series the names that they are exposed with.
///
/// A label keeps its name unless the page itself adds a label of that name, or a scraper would; then it becomes
/// `exported_<name>`, as a scraper would do with a label of its target.
pub(crate) struct LabelNames<'a> {
    escaping: Escaping,
    reserved: Vec<&'a str>,
    /// The names of the series before, which are most often those of the next.
    last: Vec<String>,
    exposed: Vec<String>,
}

impl<'a> LabelNames<'a> {
    pub(crate) fn new(escaping: Escaping, reserved: Vec<&'a str>) -> LabelNames<'a> {
        LabelNames {
            escaping,
            reserved,
            last: Vec::new(),
            exposed: Vec::new(),
        }
    }

    /// The exposed names of `labels`, in their order.
    pub(crate) fn of(&mut self, labels: &Labels) -> &[String] {
        if !labels.iter().map(|label| label.name).eq(&self.last) {
            self.last = labels.iter().map(|label| label.name.to_owned()).collect();
            self.exposed.clear();
            for label in labels.iter() {
                let name = self.unused(label.name, labels);
                self.exposed.push(name);
            }
        }
        &self.exposed
    }

    fn unused(&self, own: &str, labels: &Labels) -> String {
        let mut name = self.escaping.label(own).into_owned();
        let is_taken = |name: &str| {
            // Scrapers keep names with two underscores in front for themselves.
            name.starts_with("__")
                || self.reserved.contains(&name)
                || self.exposed.iter().any(|exposed| exposed == name)
                || (name != own && labels.get(name).is_some())
        };
        while is_taken(&name) {
            name.insert_str(0, "exported_");
        }
        name
    }
}

/// The series that look like an earlier one when their labels are exposed, of those of one family. There can be
/// some only where a label is exposed with another name.
pub(crate) fn doubles(series: &[Series], escaping: Escaping, reserved: Vec<&str>) -> Vec<usize> {
    let mut names = LabelNames::new(escaping, reserved);
    let mut is_renamed = |series: &Series| {
        let exposed = names.of(&series.labels).iter();
        exposed
            .zip(series.labels.iter())
            .any(|(name, label)| name != label.name)
    };
    if !series.iter().any(&mut is_renamed) {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut is_double = |series: &Series| {
        let exposed = names.of(&series.labels).iter().cloned();
        let mut labels: Vec<(String, &str)> = exposed
            .zip(series.labels.iter().map(|label| label.value))
            .collect();
        labels.sort_unstable();
        !seen.insert(
            labels
                .iter()
                .map(|(name, value)| format!("{name:?}={value:?},"))
                .collect::<String>(),
        )
    };
    (0..series.len())
        .filter(|&at| is_double(&series[at]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(reserved: &[&str], names: &[&str]) -> Vec<String> {
        let labels: Labels = names.iter().map(|name| (name, "")).collect();
        LabelNames::new(Escaping::Underscores, reserved.to_vec())
            .of(&labels)
            .to_vec()
    }

    #[test]
    fn labels_keep_their_names_unless_they_are_taken() {
        assert_eq!(exposed(&[], &["le", "segment"]), ["le", "segment"]);
        assert_eq!(
            exposed(&["segment"], &["a", "segment"]),
            ["a", "exported_segment"]
        );
        assert_eq!(
            exposed(&["segment"], &["exported_segment", "segment"]),
            ["exported_segment", "exported_exported_segment"]
        );
        assert_eq!(exposed(&[], &["花火"]), ["exported___"]);
        assert_eq!(exposed(&[], &["a.b", "a_b"]), ["exported_a_b", "a_b"]);
        assert_eq!(exposed(&[], &["a.b", "a:b"]), ["a_b", "exported_a_b"]);
    }

    #[test]
    fn names_are_found_anew_when_the_labels_change() {
        let named = |name: &str| Labels::from_iter([(name, "")]);
        let mut names = LabelNames::new(Escaping::Underscores, vec!["pid"]);
        assert_eq!(names.of(&named("a")), ["a"]);
        assert_eq!(names.of(&named("pid")), ["exported_pid"]);
        assert!(names.of(&Labels::default()).is_empty());
    }
}
