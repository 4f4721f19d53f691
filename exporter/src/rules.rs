//! Which series are shown, and under which names and labels.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use tachograph::{Family, GaugeMode, Kind, Series, Shown};

use crate::glob::Glob;

/// The label that tells segments apart.
pub(crate) const SEGMENT: &str = "segment";

/// What is done to series before they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// What becomes of several segments.
    pub segments: Several,
    /// Labels of every series.
    #[serde(deserialize_with = "named")]
    pub labels: BTreeMap<String, String>,
    /// What is done to which series, one rule after another.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// What becomes of several segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Several {
    /// Each series has a label that names its segment.
    #[default]
    Label,
    /// Series with one name and the same labels are added up. What cannot be added up keeps the label.
    Merge,
}

/// What is done to some series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Families by name.
    pub name: Glob,
    /// Series by the values of their labels; all must fit. A label that is not there counts as empty.
    #[serde(rename = "where")]
    pub labels: BTreeMap<String, Glob>,
    /// Whether they are shown.
    pub action: Action,
    /// A new name for their families; a counter's ends in `_total` in any case.
    #[serde(
        deserialize_with = "family_name",
        skip_serializing_if = "Option::is_none"
    )]
    pub rename: Option<String>,
    /// Labels that they lose; series that are then the same are added up.
    pub remove: Vec<String>,
    /// New names of labels, by the old ones.
    #[serde(deserialize_with = "to_names")]
    pub relabel: BTreeMap<String, String>,
    /// Labels that they get, or other values of those that they have.
    #[serde(deserialize_with = "named")]
    pub set: BTreeMap<String, String>,
}

/// Whether series are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They are, with the changes of the rule.
    #[default]
    Edit,
    /// They are not.
    Drop,
    /// Nothing else is.
    Keep,
}

impl Rules {
    /// Whether everything is shown as it is.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Rules::default()
    }

    /// How a series of `segment` is shown, if it is.
    pub(crate) fn shown<'a>(
        &'a self,
        segment: &'a str,
        family: &Family,
        series: &'a Series,
    ) -> Option<Shown> {
        let labels = series.labels.iter();
        let mut view = View {
            segment,
            name: family.name.clone(),
            labels: labels
                .map(|label| (label.name.into(), label.value.into()))
                .collect(),
        };
        for rule in &self.rules {
            match (rule.action, rule.fits(&view)) {
                (Action::Drop, true) | (Action::Keep, false) => return None,
                (Action::Keep, true) => {}
                (Action::Edit, true) => rule.edit(&mut view, family),
                (_, false) => {}
            }
        }
        for (name, value) in &self.labels {
            view.add(name, value.as_str());
        }
        if self.segments == Several::Merge && !adds_up(family.kind) {
            view.add(SEGMENT, segment);
        }
        Some(view.shown())
    }
}

/// Whether values of several segments make one.
fn adds_up(kind: Kind) -> bool {
    let is_of_one = matches!(
        kind.mode(),
        Some(GaugeMode::Each | GaugeMode::Latest | GaugeMode::LastingLatest)
    );
    !is_of_one && !matches!(kind, Kind::StateSet(_))
}

/// A series while rules are applied to it.
struct View<'a> {
    segment: &'a str,
    name: String,
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl<'a> View<'a> {
    fn label(&self, name: &str) -> &str {
        match self.labels.get(name) {
            Some(value) => value,
            None if name == SEGMENT => self.segment,
            None => "",
        }
    }

    /// Adds a label; the writer's of that name becomes `exported_<name>`.
    fn add(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        let (mut name, mut value) = (Cow::Borrowed(name), value.into());
        while let Some(before) = self.labels.insert(name.clone(), value) {
            (name, value) = (format!("exported_{name}").into(), before);
        }
    }

    fn shown(self) -> Shown {
        let labels = self.labels.into_iter();
        // An empty label is none.
        let labels = labels.filter(|(_, value)| !value.is_empty());
        Shown {
            name: self.name,
            labels: labels.collect(),
        }
    }
}

impl Rule {
    fn fits(&self, view: &View<'_>) -> bool {
        let mut labels = self.labels.iter();
        self.name.fits(&view.name) && labels.all(|(name, value)| value.fits(view.label(name)))
    }

    fn edit<'a>(&'a self, view: &mut View<'a>, family: &Family) {
        if let Some(name) = &self.rename {
            let stem = name.strip_suffix("_total").unwrap_or(name);
            let total = if family.kind.name() == "counter" {
                "_total"
            } else {
                ""
            };
            view.name = format!("{stem}{total}");
        }
        for name in &self.remove {
            view.labels.remove(name.as_str());
        }
        for (old, new) in &self.relabel {
            if let Some(value) = view.labels.remove(old.as_str()) {
                view.add(new, value);
            }
        }
        for (name, value) in &self.set {
            view.labels
                .insert(name.as_str().into(), value.as_str().into());
        }
    }
}

/// Whether all formats can say it; the exporter's own names are its own.
fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_')
}

fn check_label<E: Error>(name: &str) -> Result<(), E> {
    if is_name(name) && !name.starts_with("__") {
        return Ok(());
    }
    let what = "give a name of letters, digits and underscores, without two of these in front";
    Err(E::custom(format!("{name:?} is no label; {what}")))
}

/// Values by names of labels.
fn named<'a, D: Deserializer<'a>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    let labels = BTreeMap::<String, String>::deserialize(input)?;
    labels.keys().try_for_each(|name| check_label(name))?;
    Ok(labels)
}

/// Names of labels by others.
fn to_names<'a, D: Deserializer<'a>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    let names = BTreeMap::<String, String>::deserialize(input)?;
    names.values().try_for_each(|name| check_label(name))?;
    Ok(names)
}

fn family_name<'a, D: Deserializer<'a>>(input: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(input)?;
    let is_own = ["tachograph_", "process_"]
        .iter()
        .any(|own| name.starts_with(own));
    if is_name(&name) && !is_own {
        return Ok(Some(name));
    }
    let what = "give a name of letters, digits and underscores that does not begin with tachograph_ or process_";
    Err(D::Error::custom(format!(
        "{name:?} is no name of a family; {what}"
    )))
}

#[cfg(test)]
mod tests {
    use tachograph::SegmentOptions;

    use super::*;

    /// The names and labels under which the series of a segment are shown.
    fn shown(rules: &str) -> Vec<String> {
        let rules: Rules = toml::from_str(rules).unwrap();
        let writer = SegmentOptions::new().series(100).heap().unwrap();
        let http = writer.counter("http_total", "").family().unwrap();
        http.with(&[("code", "200"), ("path", "/")]).unwrap();
        http.with(&[("code", "500"), ("path", "/in")]).unwrap();
        let level = writer.gauge("level", "").mode(GaugeMode::Latest);
        level.label("host", "x").register().unwrap();
        let snapshot = writer.snapshot().unwrap();
        let mut lines = Vec::new();
        for family in &snapshot.directory.families {
            for series in &family.series {
                lines.extend(rules.shown("web", family, series).map(|shown| {
                    let labels = shown.labels.iter();
                    let labels: Vec<String> = labels
                        .map(|it| format!("{}={}", it.name, it.value))
                        .collect();
                    format!("{}{{{}}}", shown.name, labels.join(","))
                }));
            }
        }
        lines
    }

    #[test]
    fn without_rules_nothing_changes() {
        assert_eq!(
            shown(""),
            [
                "http_total{code=200,path=/}",
                "http_total{code=500,path=/in}",
                "level{host=x}"
            ]
        );
        assert!(toml::from_str::<Rules>("").unwrap().is_empty());
    }

    #[test]
    fn series_are_dropped_and_kept() {
        assert_eq!(
            shown("[[rule]]\nname = 'http_*'\naction = 'drop'"),
            ["level{host=x}"]
        );
        assert_eq!(
            shown("[[rule]]\nwhere = { code = '5??' }\naction = 'keep'"),
            ["http_total{code=500,path=/in}"]
        );
        // A label that is not there is empty; the segment's is there.
        assert_eq!(
            shown("[[rule]]\nwhere = { code = '' }\naction = 'keep'"),
            ["level{host=x}"]
        );
        assert_eq!(
            shown("[[rule]]\nwhere = { segment = 'web' }\naction = 'drop'"),
            [""; 0]
        );
    }

    #[test]
    fn series_are_edited() {
        assert_eq!(
            shown(
                "labels = { zone = 'a', host = 'y' }\n\
                 [[rule]]\nname = 'http_*'\nrename = 'requests'\nremove = ['path']\n\
                 relabel = { code = 'status' }\nset = { side = 'server' }\n\
                 [[rule]]\nwhere = { status = '500' }\naction = 'drop'"
            ),
            [
                "requests_total{host=y,side=server,status=200,zone=a}",
                "level{exported_host=x,host=y,zone=a}"
            ]
        );
        assert_eq!(
            shown("[[rule]]\nset = { code = '', path = '', host = '' }")[0],
            "http_total{}"
        );
    }

    #[test]
    fn what_cannot_be_merged_keeps_its_segment() {
        assert_eq!(
            shown("segments = 'merge'")[1..],
            ["http_total{code=500,path=/in}", "level{host=x,segment=web}"]
        );
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for (rules, why) in [
            ("labels = { 'a b' = 'x' }", "is no label"),
            ("labels = { __x = 'x' }", "is no label"),
            ("[[rule]]\nrelabel = { a = '1' }", "is no label"),
            ("[[rule]]\nrename = 'tachograph_x'", "no name of a family"),
            ("[[rule]]\nrename = ''", "no name of a family"),
            ("[[rule]]\naction = 'dorp'", "unknown variant"),
            ("[[rule]]\nnmae = 'x'", "unknown field"),
            ("segments = 'sum'", "unknown variant"),
        ] {
            let error = toml::from_str::<Rules>(rules).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
