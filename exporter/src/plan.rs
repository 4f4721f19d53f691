//! What a page always says: HELP, TYPE, names and labels, rendered and escaped once.
//!
//! A [`Plan`] belongs to the directories of the segments that it was made from. It has the beginnings of all
//! lines, in the order of the page; a scrape walks them and adds the numbers. Both text formats have the same
//! lines; only their headers differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use tachograph::{Directory, Family, GaugeMode, Kind, Series, Snapshot};

use crate::chain::Chain;
use crate::escape;
use crate::escaping::{Escaping, is_legacy, is_legacy_label};
use crate::label::{self, LabelNames};
use crate::number;
use crate::openmetrics::{self, Names};
use crate::wanted::Wanted;

/// The unchanging parts of a page.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    made_from: Vec<(Option<String>, Arc<Directory>)>,
    escaping: Escaping,
    /// Whether no name needs escaping, so that the plan is one for all schemes.
    is_plain: bool,
    /// Two headers for each group, then the beginnings of the lines of its parts. The second header is
    /// OpenMetrics'; it is empty where OpenMetrics cannot show the group.
    pub(crate) lines: Chain,
    /// The groups, by name.
    pub(crate) groups: Vec<Group>,
    /// The families that are not shown.
    pub(crate) conflicts: Vec<Conflict>,
}

/// All lines of one name: one HELP, one TYPE, and the families of that name, one a segment.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) first: Source,
    pub(crate) parts: Vec<Part>,
    /// How many beginnings of lines it has, its two headers aside.
    pub(crate) lines: usize,
    /// Whether OpenMetrics may show exemplars: not where it must call the type unknown.
    pub(crate) has_exemplars: bool,
}

/// One family of one segment.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) source: Source,
    pub(crate) shape: Shape,
    /// Whether each series has one more line, a whole one: the `_created` line of OpenMetrics.
    pub(crate) created: bool,
    /// Series that are not shown because an earlier one looks the same, in order; most often none.
    pub(crate) hidden: Vec<usize>,
}

/// Where a family is: the index of its segment, and its own index there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) segment: usize,
    pub(crate) family: usize,
}

/// The lines that each series of a part has.
#[derive(Debug, PartialEq)]
pub(crate) enum Shape {
    /// One line.
    Single,
    /// A line a process; its beginning ends where the labels of the process belong.
    Each,
    /// A line for each of the buckets with these indexes, then `+Inf`, `_sum` and `_count`.
    Histogram(Vec<usize>),
    /// A line a state.
    States(usize),
    /// A line a state and process; the beginning ends where the labels of the process belong.
    EachState(usize),
}

/// A family, or some series of it, that is not shown because its name is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Its segment, as an index into what was rendered.
    pub segment: usize,
    /// The family, as it is registered.
    pub family: String,
    /// What is wrong with it, in a word.
    pub cause: Cause,
    /// The same for people.
    pub reason: String,
}

/// Why something is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The name is that of a family of another type.
    Type,
    /// The name is that of a family with another unit.
    Unit,
    /// It was to be merged with a family with other buckets or states.
    Buckets,
    /// Another family of the segment has the same name once it is escaped.
    Name,
    /// The name is that of a sample of another family.
    Sample,
    /// Series have the same labels once these are renamed or escaped; the first is shown.
    Series,
    /// OpenMetrics keeps the name for another family; the other formats show it.
    OpenMetrics,
}

impl Cause {
    /// Every cause there is.
    pub const ALL: [Cause; 7] = [
        Cause::Type,
        Cause::Unit,
        Cause::Buckets,
        Cause::Name,
        Cause::Sample,
        Cause::Series,
        Cause::OpenMetrics,
    ];

    /// The cause in a word, as a value of a label.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Type => "type",
            Cause::Unit => "unit",
            Cause::Buckets => "buckets",
            Cause::Name => "name",
            Cause::Sample => "sample",
            Cause::Series => "series",
            Cause::OpenMetrics => "openmetrics",
        }
    }
}

impl Plan {
    /// Whether the plan, as it is or made anew, is for this scheme.
    pub(crate) fn serves(&self, escaping: Escaping) -> bool {
        self.is_plain || self.escaping == escaping
    }

    /// Whether the plan fits `segments`.
    pub(crate) fn fits(&self, segments: &[(Option<&str>, &Snapshot)], escaping: Escaping) -> bool {
        self.serves(escaping)
            && self.made_from.len() == segments.len()
            && self.made_from.iter().zip(segments).all(
                |((label, directory), (wanted, snapshot))| {
                    label.as_deref() == *wanted && Arc::ptr_eq(directory, &snapshot.directory)
                },
            )
    }

    /// A plan with the `_created` lines of OpenMetrics, if they are `created`.
    pub(crate) fn new(
        segments: &[(Option<&str>, &Snapshot)],
        escaping: Escaping,
        created: bool,
    ) -> Plan {
        let mut plan = Plan::grouped(segments, escaping, created);
        let mut names = Names::default();
        for at in 0..plan.groups.len() {
            plan.lay_out(at, &mut names);
        }
        plan.lines.finish();
        plan
    }

    /// A plan without lines, for a format that has none.
    pub(crate) fn grouped(
        segments: &[(Option<&str>, &Snapshot)],
        escaping: Escaping,
        created: bool,
    ) -> Plan {
        let mut plan = Plan {
            made_from: segments
                .iter()
                .map(|(label, snapshot)| {
                    (label.map(str::to_owned), Arc::clone(&snapshot.directory))
                })
                .collect(),
            escaping,
            is_plain: segments.iter().all(|(_, it)| is_plain(&it.directory)),
            ..Plan::default()
        };
        plan.groups = plan.group(created);
        plan
    }

    /// Sorts all families into groups; what does not fit an earlier one is a conflict.
    fn group(&mut self, created: bool) -> Vec<Group> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        let mut names = Names::default();
        for segment in 0..self.made_from.len() {
            let directory = Arc::clone(&self.made_from[segment].1);
            for (at, family) in directory.families.iter().enumerate() {
                let source = Source {
                    segment,
                    family: at,
                };
                let name = exposed_name(family, self.escaping);
                let shape = Shape::of(family);
                let has_segment = self.made_from[segment].0.is_some();
                let reserved = shape.reserved(&name, has_segment);
                if shape.is_ambiguous(&name, &reserved) {
                    let reason = "its states stand in a label of its name, which is another's";
                    self.refuse(source, Cause::Name, reason.into());
                    continue;
                }
                let hidden = label::doubles(&family.series, self.escaping, reserved);
                let doubles = hidden.len();
                let part = Part {
                    source,
                    shape,
                    created: created && matches!(family.kind.name(), "counter" | "histogram"),
                    hidden,
                };
                if doubles > 0 {
                    let reason = format!("{doubles} of its series have the labels of others");
                    self.refuse(source, Cause::Series, reason);
                }
                match groups.get_mut(&name) {
                    Some(group) => match self.mismatch(group, source) {
                        None => group.parts.push(part),
                        Some((cause, reason)) => self.refuse(source, cause, reason),
                    },
                    None => match names.claim(&name, sample_suffixes(family.kind)) {
                        Ok(()) => {
                            let group = Group {
                                name: name.clone(),
                                first: source,
                                parts: vec![part],
                                lines: 0,
                                has_exemplars: false,
                            };
                            groups.insert(name, group);
                        }
                        Err(taken) => {
                            let reason = format!("{taken} is a sample of another family");
                            self.refuse(source, Cause::Sample, reason);
                        }
                    },
                }
            }
        }
        groups.into_values().collect()
    }

    /// Whether a group is asked for, by the name on the page or by that in the segment.
    pub(crate) fn is_wanted(&self, group: &Group, wanted: &Wanted) -> bool {
        let first = self.family(group.first);
        let kind = first.kind.name();
        wanted.includes(&group.name, kind) || wanted.includes(&first.name, kind)
    }

    pub(crate) fn family(&self, source: Source) -> &Family {
        &self.made_from[source.segment].1.families[source.family]
    }

    /// Why the family at `source` cannot join `group`.
    fn mismatch(&self, group: &Group, source: Source) -> Option<(Cause, String)> {
        let (first, other) = (self.family(group.first), self.family(source));
        if group
            .parts
            .iter()
            .any(|part| part.source.segment == source.segment)
        {
            let reason = format!("{} of the same segment has this name", first.name);
            return Some((Cause::Name, reason));
        }
        let differs = |cause: Cause, here: &str, there: &str| {
            let property = cause.name();
            let reason = format!("{property} is {here} here and {there} in an earlier segment");
            Some((cause, reason))
        };
        if first.kind.name() != other.kind.name() {
            return differs(Cause::Type, other.kind.name(), first.kind.name());
        }
        if first.unit.base() != other.unit.base() {
            let shown = |base: &str| if base.is_empty() { "none" } else { base }.to_owned();
            return differs(
                Cause::Unit,
                &shown(other.unit.base()),
                &shown(first.unit.base()),
            );
        }
        None
    }

    fn refuse(&mut self, source: Source, cause: Cause, reason: String) {
        self.conflicts.push(Conflict {
            segment: source.segment,
            family: self.family(source).name.clone(),
            cause,
            reason,
        });
    }

    /// Renders the headers and the beginnings of all lines of a group.
    fn lay_out(&mut self, group: usize, names: &mut Names) {
        let Plan {
            made_from,
            lines,
            groups,
            conflicts,
            escaping,
            ..
        } = self;
        let group = &mut groups[group];
        let start = lines.len();
        let first = &made_from[group.first.segment].1.families[group.first.family];
        lines.add(|line| push_header(line, &group.name, first.kind.name(), &first.help));
        let declared = names.declare(&group.name, first.kind.name());
        lines.add(|line| {
            if let Ok(declared) = &declared {
                openmetrics::push_header(line, declared, first.unit.base(), &first.help);
            }
        });
        group.has_exemplars =
            matches!(&declared, Ok(of) if matches!(of.kind, "counter" | "histogram"));
        conflicts.extend(declared.err().map(|taken| Conflict {
            segment: group.first.segment,
            family: first.name.clone(),
            cause: Cause::OpenMetrics,
            reason: format!("OpenMetrics keeps {taken} for another family; text shows it"),
        }));
        for part in &group.parts {
            let (label, directory) = &made_from[part.source.segment];
            let family = &directory.families[part.source.family];
            add_part(
                lines,
                *escaping,
                &group.name,
                family,
                part,
                label.as_deref(),
            );
        }
        group.lines = lines.len() - start - 2;
    }
}

impl Shape {
    fn of(family: &Family) -> Shape {
        let each = family.kind.mode() == Some(GaugeMode::Each);
        match (family.kind, &family.buckets) {
            (Kind::Histogram, _) => {
                let bounds = rendered_bounds(family).into_iter();
                Shape::Histogram(bounds.map(|(index, _)| index).collect())
            }
            (Kind::StateSet(_), _) if each => Shape::EachState(family.states.len()),
            (Kind::StateSet(_), _) => Shape::States(family.states.len()),
            _ if each => Shape::Each,
            _ => Shape::Single,
        }
    }

    /// The labels that the page adds to series of the family `name`.
    pub(crate) fn reserved<'a>(&self, name: &'a str, has_segment: bool) -> Vec<&'a str> {
        let mut reserved = if has_segment { vec!["segment"] } else { vec![] };
        match self {
            Shape::Single => {}
            Shape::Each => reserved.extend(["pid", "slot"]),
            Shape::Histogram(_) => reserved.push("le"),
            Shape::States(_) => reserved.push(name),
            Shape::EachState(_) => reserved.extend([name, "pid", "slot"]),
        }
        reserved
    }

    /// Whether the label for the states of the family `name` is there already: as the name itself, or of those that are
    /// `reserved`.
    fn is_ambiguous(&self, name: &str, reserved: &[&str]) -> bool {
        let has_states = matches!(self, Shape::States(_) | Shape::EachState(_));
        has_states && (name == "__name__" || reserved.iter().filter(|it| **it == name).count() > 1)
    }

    pub(crate) fn lines(&self) -> usize {
        match self {
            Shape::Single | Shape::Each => 1,
            Shape::Histogram(bounds) => bounds.len() + 3,
            Shape::States(states) | Shape::EachState(states) => *states,
        }
    }
}

impl Part {
    pub(crate) fn is_hidden(&self, series: usize) -> bool {
        !self.hidden.is_empty() && self.hidden.binary_search(&series).is_ok()
    }

    /// How many beginnings each series has.
    pub(crate) fn lines(&self) -> usize {
        self.shape.lines() + usize::from(self.created)
    }
}

/// Adds the beginnings of all lines of a part.
fn add_part(
    lines: &mut Chain,
    escaping: Escaping,
    name: &str,
    family: &Family,
    part: &Part,
    segment: Option<&str>,
) {
    let bounds = rendered_bounds(family).into_iter().map(|(_, bound)| bound);
    let bounds: Vec<String> = bounds.chain([rendered(f64::INFINITY)]).collect();
    let mut names = LabelNames::new(escaping, part.shape.reserved(name, segment.is_some()));
    let mut labels = Vec::new();
    for (at, series) in family.series.iter().enumerate() {
        if part.is_hidden(at) {
            continue;
        }
        labels.clear();
        if let Some(segment) = segment {
            push_label(&mut labels, "segment", segment);
        }
        for (name, label) in names.of(&series.labels).iter().zip(series.labels.iter()) {
            push_label(&mut labels, name, label.value);
        }
        add_series(lines, name, family, &part.shape, &labels, &bounds);
        if part.created {
            lines.add(|line| push_created(line, name, &labels, series.created_unix_nanos));
        }
    }
}

fn add_series(
    lines: &mut Chain,
    name: &str,
    family: &Family,
    shape: &Shape,
    labels: &[u8],
    bounds: &[String],
) {
    match shape {
        Shape::Single => lines.add(|line| push_line(line, name, "", labels, None)),
        Shape::Each => lines.add(|line| push_open_line(line, name, labels, None)),
        Shape::Histogram(_) => {
            for bound in bounds {
                let le = Some(("le", bound.as_str()));
                lines.add(|line| push_line(line, name, "_bucket", labels, le));
            }
            lines.add(|line| push_line(line, name, "_sum", labels, None));
            lines.add(|line| push_line(line, name, "_count", labels, None));
        }
        Shape::States(_) => {
            for state in &family.states {
                let state = Some((name, state.as_str()));
                lines.add(|line| push_line(line, name, "", labels, state));
            }
        }
        Shape::EachState(_) => {
            for state in &family.states {
                let state = Some((name, state.as_str()));
                lines.add(|line| push_open_line(line, name, labels, state));
            }
        }
    }
}

/// The exposed bounds of a histogram's buckets in base units, each with its bucket. Of bounds that are one
/// float the last is exposed: no two lines may be the same.
fn rendered_bounds(family: &Family) -> Vec<(usize, String)> {
    let scale = family.unit.scale();
    let buckets = family.buckets.iter().flat_map(|buckets| buckets.exposed());
    let mut bounds: Vec<(usize, String)> = Vec::new();
    for (index, bound) in buckets {
        #[expect(clippy::cast_precision_loss, reason = "a bound is exposed as a float")]
        let rendered = rendered(scale.apply(bound as f64));
        bounds.pop_if(|(_, last)| *last == rendered);
        bounds.push((index, rendered));
    }
    bounds
}

fn rendered(bound: f64) -> String {
    let mut text = Vec::new();
    number::push_canonical(&mut text, bound);
    String::from_utf8_lossy(&text).into_owned()
}

/// The name that a family has in the text format.
fn exposed_name(family: &Family, escaping: Escaping) -> String {
    let name = match family.kind {
        Kind::Info if !family.name.ends_with("_info") => format!("{}_info", family.name),
        _ => family.name.clone(),
    };
    escaping.family(&name).into_owned()
}

/// Whether every scraper reads all names as they are.
fn is_plain(directory: &Directory) -> bool {
    let has_plain_labels = |series: &Series| {
        let mut labels = series.labels.iter();
        labels.all(|label| is_legacy_label(label.name))
    };
    let mut families = directory.families.iter();
    families.all(|family| is_legacy(&family.name) && family.series.iter().all(has_plain_labels))
}

/// What the names of a family's samples end in.
fn sample_suffixes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Histogram => &["", "_bucket", "_sum", "_count"],
        _ => &[""],
    }
}

/// Appends the HELP and TYPE lines of a family. The text format has neither infos nor state sets.
pub(crate) fn push_header(out: &mut Vec<u8>, name: &str, kind: &str, help: &str) {
    let kind = match kind {
        "info" | "stateset" => "gauge",
        other => other,
    };
    out.extend_from_slice(b"# HELP ");
    escape::push_name(out, name, "");
    out.push(b' ');
    escape::push_help(out, help);
    out.extend_from_slice(b"\n# TYPE ");
    escape::push_name(out, name, "");
    out.push(b' ');
    out.extend_from_slice(kind.as_bytes());
    out.push(b'\n');
}

/// Appends `name="value"`, behind a comma when it is not the first label.
pub(crate) fn push_label(out: &mut Vec<u8>, name: &str, value: &str) {
    if !out.is_empty() && !out.ends_with(b"{") {
        out.push(b',');
    }
    escape::push_label_name(out, name);
    out.extend_from_slice(b"=\"");
    escape::push_label_value(out, value);
    out.push(b'"');
}

/// Appends a line up to the blank before its value.
fn push_line(
    out: &mut Vec<u8>,
    name: &str,
    suffix: &str,
    labels: &[u8],
    more: Option<(&str, &str)>,
) {
    let is_quoted = push_sample_name(out, name, suffix);
    if !labels.is_empty() || more.is_some() || is_quoted {
        push_labels(out, labels, more);
        out.push(b'}');
    } else {
        out.pop();
    }
    out.push(b' ');
}

/// Appends the name of a sample and the brace before its labels, in which a quoted name stands. Returns whether it does.
fn push_sample_name(out: &mut Vec<u8>, name: &str, suffix: &str) -> bool {
    let is_quoted = !is_legacy(name);
    if is_quoted {
        out.push(b'{');
    }
    escape::push_quoted_if(is_quoted, out, name, suffix);
    if !is_quoted {
        out.push(b'{');
    }
    is_quoted
}

/// Appends a whole line that says when a series began.
fn push_created(out: &mut Vec<u8>, name: &str, labels: &[u8], unix_nanos: u64) {
    let stem = name.strip_suffix("_total").unwrap_or(name);
    push_line(out, stem, "_created", labels, None);
    number::push_integer(out, unix_nanos / 1_000_000_000);
    let rest = unix_nanos % 1_000_000_000;
    out.extend_from_slice(format!(".{rest:09}\n").as_bytes());
}

/// Appends a line up to where the labels of a process belong.
fn push_open_line(out: &mut Vec<u8>, name: &str, labels: &[u8], more: Option<(&str, &str)>) {
    push_sample_name(out, name, "");
    push_labels(out, labels, more);
    if !out.ends_with(b"{") {
        out.push(b',');
    }
}

fn push_labels(out: &mut Vec<u8>, labels: &[u8], more: Option<(&str, &str)>) {
    if !labels.is_empty() && !out.ends_with(b"{") {
        out.push(b',');
    }
    out.extend_from_slice(labels);
    if let Some((name, value)) = more {
        push_label(out, name, value);
    }
}
