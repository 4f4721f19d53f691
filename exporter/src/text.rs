//! The text format 0.0.4.
//!
//! All that never changes is in the [`Plan`]; a scrape copies it and adds the numbers.

use tachograph::{FamilyView, HistogramView, Number, ProcessValue, Scale, Snapshot, ValueView};

use crate::number::{push_float, push_integer, push_number};
use crate::plan::{Conflict, Group, Part, Plan, Shape};

/// What the page is, for an HTTP header.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bytes that a number with its line end takes, at most in the common case.
const NUMBER_BYTES: usize = 24;

/// Renders snapshots; keeps what is the same on the next page.
#[derive(Debug, Default)]
pub struct TextRenderer {
    plan: Plan,
    page: Vec<u8>,
}

impl TextRenderer {
    /// A renderer that has rendered nothing yet.
    pub fn new() -> TextRenderer {
        TextRenderer::default()
    }

    /// Renders the page of `segments`: for each the value of its `segment` label, if it has one, and its
    /// snapshot. The bytes are overwritten by the next call.
    pub fn render(&mut self, segments: &[(Option<&str>, &Snapshot)]) -> &[u8] {
        let mut page = std::mem::take(&mut self.page);
        page.clear();
        self.render_into(segments, &mut page);
        self.page = page;
        &self.page
    }

    /// Appends the page of `segments` to `out`.
    pub fn render_into(&mut self, segments: &[(Option<&str>, &Snapshot)], out: &mut Vec<u8>) {
        if !self.plan.fits(segments) {
            self.plan = Plan::new(segments);
        }
        let views: Vec<Vec<FamilyView<'_>>> = segments
            .iter()
            .map(|(_, snapshot)| snapshot.families().collect())
            .collect();
        out.reserve(self.plan.arena.len() + self.plan.lengths.len() * NUMBER_BYTES);
        let mut writer = Writer {
            arena: &self.plan.arena,
            lengths: self.plan.lengths.iter(),
            out,
        };
        for group in &self.plan.groups {
            writer.write_group(group, &views);
        }
    }

    /// The families that the last page does not show because their names were taken.
    pub fn conflicts(&self) -> &[Conflict] {
        &self.plan.conflicts
    }

    /// Whether the last page may hold samples of this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.plan.has_name(name)
    }
}

/// Walks a plan and adds the numbers.
struct Writer<'a> {
    arena: &'a [u8],
    lengths: std::slice::Iter<'a, u32>,
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// The next header or beginning of a line.
    fn next(&mut self) -> &'a [u8] {
        let length = self.lengths.next().map_or(0, |&length| length as usize);
        let (next, rest) = self.arena.split_at(length);
        self.arena = rest;
        next
    }

    fn skip(&mut self, lines: usize) {
        for _ in 0..lines {
            self.next();
        }
    }

    fn write_group(&mut self, group: &Group, views: &[Vec<FamilyView<'_>>]) {
        let start = self.out.len();
        let header = self.next();
        self.out.extend_from_slice(header);
        for part in &group.parts {
            self.write_part(part, &views[part.source.segment][part.source.family]);
        }
        if self.out.len() == start + header.len() {
            // A name without a sample says nothing.
            self.out.truncate(start);
        }
    }

    fn write_part(&mut self, part: &Part, view: &FamilyView<'_>) {
        let scale = view.family.unit.scale();
        for series in view.series() {
            match (&part.shape, series.value) {
                (Shape::Single, ValueView::Number(number)) => {
                    let line = self.next();
                    self.write_line(line, number.scaled(scale));
                }
                (Shape::Single, ValueView::Info) => {
                    let line = self.next();
                    self.write_line(line, Number::Unsigned(1));
                }
                (Shape::Histogram(bounds), ValueView::Histogram(histogram)) => {
                    self.write_histogram(bounds, histogram, scale);
                }
                (Shape::States(count), ValueView::States(states)) => {
                    self.write_states(*count, states);
                }
                (Shape::Each, ValueView::Each(values)) => self.write_each(values, scale),
                (Shape::EachState(states), ValueView::Each(values)) => {
                    self.write_each_state(*states, values);
                }
                (shape, _) => self.skip(shape.lines()),
            }
        }
    }

    fn write_line(&mut self, line: &[u8], number: Number) {
        self.out.extend_from_slice(line);
        push_number(self.out, number);
        self.out.push(b'\n');
    }

    /// Buckets of a segment are disjoint; those of the format hold what the ones below hold, too.
    fn write_histogram(&mut self, bounds: &[usize], histogram: HistogramView<'_>, scale: Scale) {
        let (mut below, mut cumulative) = (0, 0u64);
        for &index in bounds {
            cumulative = cumulative.wrapping_add(total(&histogram.counts[below..=index]));
            below = index + 1;
            let line = self.next();
            self.write_line(line, Number::Unsigned(cumulative));
        }
        let count = cumulative.wrapping_add(total(&histogram.counts[below..]));
        let infinite = self.next();
        self.write_line(infinite, Number::Unsigned(count));
        let sum = self.next();
        self.out.extend_from_slice(sum);
        if scale.is_one() {
            push_integer(self.out, histogram.sum);
        } else {
            #[expect(clippy::cast_precision_loss, reason = "a scaled sum is a float")]
            push_float(self.out, scale.apply(histogram.sum as f64));
        }
        self.out.push(b'\n');
        let line = self.next();
        self.write_line(line, Number::Unsigned(count));
    }

    fn write_states(&mut self, count: usize, states: &[bool]) {
        for state in 0..count {
            let holds = states.get(state).copied().unwrap_or(false);
            let line = self.next();
            self.write_line(line, Number::Unsigned(u64::from(holds)));
        }
    }

    fn write_each(&mut self, values: &[ProcessValue], scale: Scale) {
        let line = self.next();
        for value in values {
            self.out.extend_from_slice(line);
            push_process(self.out, value);
            self.write_line(b"", value.value.scaled(scale));
        }
    }

    /// The value of a process is the index of the state it is in.
    fn write_each_state(&mut self, states: usize, values: &[ProcessValue]) {
        for state in 0..states {
            let line = self.next();
            for value in values {
                #[expect(clippy::cast_precision_loss, reason = "there are few states")]
                let holds = value.value.as_f64() == state as f64;
                self.out.extend_from_slice(line);
                push_process(self.out, value);
                self.write_line(b"", Number::Unsigned(u64::from(holds)));
            }
        }
    }
}

fn total(counts: &[u64]) -> u64 {
    counts
        .iter()
        .fold(0, |total, &count| total.wrapping_add(count))
}

/// Appends the labels of a process and what ends the labels.
fn push_process(out: &mut Vec<u8>, value: &ProcessValue) {
    out.extend_from_slice(b"pid=\"");
    push_integer(out, value.pid);
    out.extend_from_slice(b"\",slot=\"");
    push_integer(out, value.slot);
    out.extend_from_slice(b"\"} ");
}
