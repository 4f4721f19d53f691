//! The text formats: Prometheus' own and OpenMetrics.
//!
//! All that never changes is in the plan (`plan.rs`), for both; a scrape copies it and adds the numbers.

use tachograph::{
    Exemplar, Family, FamilyView, HistogramView, Number, ProcessValue, Scale, SeriesView, Snapshot,
    ValueView,
};

use crate::chain::{Text, Walk};
use crate::escaping::Escaping;
use crate::exemplars;
use crate::number::push_integer;
use crate::openmetrics;
use crate::plan::{Conflict, Group, Part, Plan, Shape};
use crate::sheet::Sheet;
use crate::wanted::Wanted;

/// Which of the text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Prometheus text 0.0.4, or 1.0.0 where names are allowed to be UTF-8.
    Prometheus,
    /// OpenMetrics 1.0.0, without its last line: a page may have more families.
    OpenMetrics,
}

/// Renders snapshots; keeps what is the same on the next page.
#[derive(Debug, Default)]
pub struct TextRenderer {
    plan: Plan,
    page: Vec<u8>,
    created: bool,
}

impl TextRenderer {
    /// A renderer that has rendered nothing yet.
    pub fn new() -> TextRenderer {
        TextRenderer::default()
    }

    /// A renderer that, if asked to, adds a `_created` line to each counter and histogram of OpenMetrics.
    pub fn with_created(created: bool) -> TextRenderer {
        TextRenderer {
            created,
            ..TextRenderer::default()
        }
    }

    /// Renders the page of `segments`: for each the value of its `segment` label, if it has one, and its
    /// snapshot. The bytes are overwritten by the next call.
    pub fn render(&mut self, segments: &[(Option<&str>, &Snapshot)]) -> &[u8] {
        let mut page = std::mem::take(&mut self.page);
        self.render_over(segments, &mut page);
        self.page = page;
        &self.page
    }

    /// Renders the page of `segments` as OpenMetrics, with its last line.
    pub fn render_openmetrics(&mut self, segments: &[(Option<&str>, &Snapshot)]) -> &[u8] {
        let mut page = std::mem::take(&mut self.page);
        let (wanted, escaping) = (Wanted::default(), Escaping::default());
        self.render_as(Syntax::OpenMetrics, escaping, segments, &wanted, &mut page);
        page.extend_from_slice(openmetrics::END);
        self.page = page;
        &self.page
    }

    /// Renders the page of `segments` in place of what `page` holds, which costs least when that is an
    /// earlier page.
    pub fn render_over(&mut self, segments: &[(Option<&str>, &Snapshot)], page: &mut Vec<u8>) {
        let (wanted, escaping) = (Wanted::default(), Escaping::default());
        self.render_as(Syntax::Prometheus, escaping, segments, &wanted, page);
    }

    /// The same in either format, with names of any scheme and the families that are `wanted`.
    pub fn render_as(
        &mut self,
        syntax: Syntax,
        escaping: Escaping,
        segments: &[(Option<&str>, &Snapshot)],
        wanted: &Wanted,
        page: &mut Vec<u8>,
    ) {
        if !self.plan.fits(segments, escaping) {
            // The old one makes room for the new one.
            self.plan = Plan::default();
            self.plan = Plan::new(segments, escaping, self.created);
        }
        let views: Vec<Vec<FamilyView<'_>>> = segments
            .iter()
            .map(|(_, snapshot)| snapshot.families().collect())
            .collect();
        let mut writer = Writer {
            syntax,
            lines: self.plan.lines.walk(),
            sheet: Sheet::over(std::mem::take(page)),
            labels: Vec::new(),
        };
        for group in &self.plan.groups {
            if self.plan.is_wanted(group, wanted) {
                writer.write_group(group, &views);
            } else {
                writer.lines.skip(2 + group.lines);
            }
        }
        *page = writer.sheet.into_bytes();
    }

    /// Whether it keeps nothing that names of this scheme would displace.
    pub(crate) fn serves(&self, escaping: Escaping) -> bool {
        self.plan.serves(escaping)
    }

    /// The families that the last page does not show because their names were taken.
    pub fn conflicts(&self) -> &[Conflict] {
        &self.plan.conflicts
    }
}

/// Walks a plan and adds the numbers.
struct Writer<'a> {
    syntax: Syntax,
    lines: Walk<'a>,
    sheet: Sheet,
    /// The beginning of a line with the labels of a process.
    labels: Vec<u8>,
}

impl Writer<'_> {
    fn write_group(&mut self, group: &Group, views: &[Vec<FamilyView<'_>>]) {
        let start = self.sheet.len();
        for syntax in [Syntax::Prometheus, Syntax::OpenMetrics] {
            let header = self.lines.next();
            if syntax == self.syntax {
                self.sheet.push(header);
            }
        }
        let header_end = self.sheet.len();
        let has_exemplars = group.has_exemplars && self.syntax == Syntax::OpenMetrics;
        for part in &group.parts {
            self.write_part(
                part,
                has_exemplars,
                &views[part.source.segment][part.source.family],
            );
        }
        if header_end == start || self.sheet.len() == header_end {
            // A name without a sample says nothing, and a sample without a name must not be.
            self.sheet.truncate(start);
        }
    }

    fn write_part(&mut self, part: &Part, has_exemplars: bool, view: &FamilyView<'_>) {
        let scale = view.family.unit.scale();
        for (at, series) in view.series().enumerate() {
            if part.is_hidden(at) {
                continue;
            }
            if has_exemplars && series.exemplars().len() > 0 {
                self.write_with_exemplars(part, view.family, &series);
                continue;
            }
            match (&part.shape, series.value) {
                (Shape::Single, ValueView::Number(number)) => self.write_next(number, scale),
                (Shape::Single, ValueView::Info) => self.write_count(1),
                (Shape::Histogram(bounds), ValueView::Histogram(histogram)) => {
                    self.write_histogram(bounds, histogram, scale, &[]);
                }
                (Shape::States(count), ValueView::States(states)) => {
                    self.write_states(*count, states);
                }
                (Shape::Each, ValueView::Each(values)) => self.write_each(values, scale),
                (Shape::EachState(states), ValueView::Each(values)) => {
                    self.write_each_state(*states, values);
                }
                _ => {
                    self.lines.skip(part.lines());
                    continue;
                }
            }
            if part.created {
                self.write_created();
            }
        }
    }

    #[inline(always)]
    fn write_next(&mut self, number: Number, scale: Scale) {
        let line = self.lines.next();
        write_line(&mut self.sheet, line, number.scaled(scale));
    }

    #[inline]
    fn write_count(&mut self, count: u64) {
        let line = self.lines.next();
        self.sheet.push_unsigned(line, count);
    }

    fn write_created(&mut self) {
        let line = self.lines.next();
        if self.syntax == Syntax::OpenMetrics {
            self.sheet.push(line);
        }
    }

    /// Writes a counter or a histogram that has exemplars.
    #[inline(never)]
    fn write_with_exemplars(&mut self, part: &Part, family: &Family, series: &SeriesView<'_>) {
        let scale = family.unit.scale();
        match (&part.shape, series.value) {
            (Shape::Single, ValueView::Number(number)) => {
                self.write_next(number, scale);
                self.append_exemplar(series.exemplars().next(), scale);
            }
            (Shape::Histogram(bounds), ValueView::Histogram(histogram)) => {
                let exemplars = exemplars::by_bucket(series.exemplars(), family, bounds);
                self.write_histogram(bounds, histogram, scale, &exemplars);
            }
            _ => self.lines.skip(part.shape.lines()),
        }
        if part.created {
            self.write_created();
        }
    }

    fn append_exemplar(&mut self, exemplar: Option<&Exemplar>, scale: Scale) {
        if let Some(exemplar) = exemplar {
            let mut text = Vec::new();
            exemplars::push(&mut text, exemplar, scale);
            self.sheet.extend_line(&text);
        }
    }

    /// Buckets of a segment are disjoint; those of the format hold what the ones below hold, too.
    fn write_histogram(
        &mut self,
        bounds: &[usize],
        histogram: HistogramView<'_>,
        scale: Scale,
        exemplars: &[Option<&Exemplar>],
    ) {
        let (mut below, mut cumulative) = (0, 0u64);
        let mut exemplars = exemplars.iter().copied();
        for &index in bounds {
            cumulative = cumulative.wrapping_add(total(&histogram.counts[below..=index]));
            below = index + 1;
            self.write_count(cumulative);
            self.append_exemplar(exemplars.next().flatten(), scale);
        }
        let count = cumulative.wrapping_add(total(&histogram.counts[below..]));
        self.write_count(count);
        self.append_exemplar(exemplars.next().flatten(), scale);
        let sum = self.lines.next();
        if scale.is_one() {
            self.sheet.push_integer(sum, histogram.sum);
        } else {
            #[expect(clippy::cast_precision_loss, reason = "a scaled sum is a float")]
            let scaled = scale.apply(histogram.sum as f64);
            self.sheet.push_float(sum, scaled);
        }
        self.write_count(count);
    }

    fn write_states(&mut self, count: usize, states: &[bool]) {
        for state in 0..count {
            let holds = states.get(state).copied().unwrap_or(false);
            self.write_count(u64::from(holds));
        }
    }

    fn write_each(&mut self, values: &[ProcessValue], scale: Scale) {
        let line = self.lines.next();
        for value in values {
            label_process(&mut self.labels, line, value);
            write_line(
                &mut self.sheet,
                self.labels.as_slice().into(),
                value.value.scaled(scale),
            );
        }
    }

    /// The value of a process is the index of the state it is in. Rare: it stays out of the loop over all series.
    #[inline(never)]
    fn write_each_state(&mut self, states: usize, values: &[ProcessValue]) {
        // The lines of one process stand together, as OpenMetrics wants it.
        let lines: Vec<Text<'_>> = (0..states).map(|_| self.lines.next()).collect();
        for value in values {
            for (state, &line) in lines.iter().enumerate() {
                #[expect(clippy::cast_precision_loss, reason = "there are few states")]
                let holds = value.value.as_f64() == state as f64;
                label_process(&mut self.labels, line, value);
                self.sheet
                    .push_unsigned(self.labels.as_slice(), u64::from(holds));
            }
        }
    }
}

/// Completes the beginning of a line with the labels of a process.
fn label_process(labels: &mut Vec<u8>, line: Text<'_>, value: &ProcessValue) {
    labels.clear();
    line.append(labels);
    labels.extend_from_slice(b"pid=\"");
    push_integer(labels, value.pid);
    labels.extend_from_slice(b"\",slot=\"");
    push_integer(labels, value.slot);
    labels.extend_from_slice(b"\"} ");
}

#[inline(always)]
fn write_line(sheet: &mut Sheet, line: Text<'_>, number: Number) {
    match number {
        Number::Unsigned(value) => sheet.push_unsigned(line, value),
        Number::Signed(value) => match u64::try_from(value) {
            Ok(value) => sheet.push_unsigned(line, value),
            Err(_) => sheet.push_integer(line, value),
        },
        Number::Float(value) => sheet.push_float(line, value),
    }
}

fn total(counts: &[u64]) -> u64 {
    counts
        .iter()
        .fold(0, |total, &count| total.wrapping_add(count))
}
