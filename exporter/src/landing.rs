//! The page at `/`: what is served, and how its segments are.

use tachograph::LossClass;

use crate::escape::push_html;
use crate::report::{Digest, Refusals, Report, SegmentReport};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}\
table{border-collapse:collapse;margin:.5rem 0 1.5rem}\
td,th{border:1px solid #8886;padding:.2rem .6rem;text-align:left;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums}\
:root{color-scheme:light dark}";

/// The page as HTML.
pub fn landing_page(report: &Report) -> String {
    let mut page = Html::default();
    page.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width\">");
    page.raw("<title>tachograph exporter</title><style>");
    page.raw(STYLE);
    page.raw("</style></head>\n<body><h1>tachograph exporter</h1>\n<p>Version ");
    page.text(env!("CARGO_PKG_VERSION"));
    page.raw(". <a href=\"/metrics\">Metrics</a> · <a href=\"/-/healthy\">healthy</a> · ");
    page.raw("<a href=\"/-/ready\">ready</a></p>\n");
    for segment in &report.segments {
        push_segment(&mut page, segment);
    }
    push_conflicts(&mut page, report);
    push_refusals(&mut page, report);
    push_receivers(&mut page, report);
    page.raw("</body></html>\n");
    page.0
}

fn push_segment(page: &mut Html, segment: &SegmentReport) {
    page.raw("<h2>");
    page.text(&segment.label);
    page.raw("</h2>\n<p><code>");
    page.text(&segment.path.display().to_string());
    page.raw("</code>: ");
    page.text(&segment.state.to_string());
    let Some(digest) = &segment.digest else {
        page.raw("</p>\n");
        return;
    };
    if !digest.this_boot {
        page.raw(" (written before the last boot)");
    }
    page.raw("</p>\n");
    push_counts(page, digest);
    push_tables(page, digest);
}

fn push_counts(page: &mut Html, digest: &Digest) {
    page.raw("<table>");
    page.row("Processes alive", digest.alive as u64);
    page.row("Processes dead", digest.dead as u64);
    page.row("Families", digest.families as u64);
    page.row("Series", digest.series as u64);
    for (loss, count) in digest.losses.iter().filter(|&(_, count)| count > 0) {
        let what = match loss.class() {
            LossClass::Registration => "Registrations lost",
            LossClass::Rejected => "Updates rejected",
            LossClass::Lost => "Updates lost",
            LossClass::Page => "Pages lost",
        };
        page.row(&format!("{what}: {}", loss.name()), count);
    }
    for (family, count) in &digest.overflowed {
        page.row(
            &format!("Folded into the overflow series of {family}"),
            *count,
        );
    }
    for ((table, reason), &count) in &digest.damage {
        let what = format!("Damage, {table}: {reason}");
        page.row(&what, count as u64);
    }
    page.raw("</table>\n");
}

fn push_tables(page: &mut Html, digest: &Digest) {
    page.raw("<table><tr><th>Table</th><th>Used</th><th>Capacity</th>");
    page.raw("<th>Memory taken</th><th>Memory when full</th></tr>");
    for fill in &digest.tables {
        page.raw("<tr><td>");
        page.text(fill.table);
        page.raw("</td>");
        page.number(fill.used);
        page.number(fill.capacity);
        page.number(fill.committed_bytes);
        page.number(fill.capacity_bytes);
        page.raw("</tr>");
    }
    page.raw("</table>\n");
}

fn push_conflicts(page: &mut Html, report: &Report) {
    if report.conflicts.is_empty() {
        return;
    }
    page.raw("<h2>Families that are not shown</h2>\n<table>");
    page.raw("<tr><th>Segment</th><th>Family</th><th>Why</th></tr>");
    for conflict in &report.conflicts {
        page.raw("<tr>");
        for text in [&conflict.segment, &conflict.family, &conflict.reason] {
            page.raw("<td>");
            page.text(text);
            page.raw("</td>");
        }
        page.raw("</tr>");
    }
    page.raw("</table>\n");
}

fn push_receivers(page: &mut Html, report: &Report) {
    if report.pushes.is_empty() {
        return;
    }
    page.raw("<h2>Receivers of pushes</h2>\n<table><tr><th>Receiver</th><th>Protocol</th>");
    page.raw(
        "<th>Points sent</th><th>Points dropped</th><th>Bytes that wait</th><th>State</th></tr>",
    );
    for it in &report.pushes {
        let tally = &it.tally;
        page.raw("<tr><td>");
        page.text(&it.receiver);
        page.raw("</td><td>");
        page.text(it.protocol);
        page.raw("</td>");
        page.number(tally.sent_points);
        page.number(tally.lost_points.iter().sum());
        page.number(it.queue_bytes);
        page.raw("<td>");
        let fault = tally.fault.as_ref().or(tally.refusal.as_ref());
        page.text(match (fault, tally.last_success) {
            (Some(fault), _) => fault,
            (None, Some(_)) => "takes what is sent",
            (None, None) => "has taken nothing yet",
        });
        page.raw("</td></tr>");
    }
    page.raw("</table>\n");
}

fn push_refusals(page: &mut Html, report: &Report) {
    let refusals = report.refusals;
    if refusals == Refusals::default() {
        return;
    }
    page.raw("<h2>Scrapes that were refused</h2>\n<table>");
    page.row("Too many at a time", refusals.busy);
    page.row(
        "Not ready in the time that the scraper waits",
        refusals.late,
    );
    page.raw("</table>\n");
}

#[derive(Default)]
struct Html(String);

impl Html {
    fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    fn text(&mut self, text: &str) {
        push_html(&mut self.0, text);
    }

    fn number(&mut self, number: u64) {
        self.raw("<td class=\"n\">");
        self.raw(itoa::Buffer::new().format(number));
        self.raw("</td>");
    }

    fn row(&mut self, what: &str, number: u64) {
        self.raw("<tr><td>");
        self.text(what);
        self.raw("</td>");
        self.number(number);
        self.raw("</tr>");
    }
}
