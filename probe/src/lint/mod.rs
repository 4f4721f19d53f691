//! `lint`: does a page of any exporter keep the rules of its format?
//!
//! Scrapers let much pass that costs its users later: a series that is there twice, buckets that fall, a family in
//! two pieces. Each such thing is named by its line and its rule.

mod family;
mod fetch;
pub(crate) mod line;
mod page;

use std::io::Write;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::printable;

pub(crate) const EXAMPLES: &str = "\
Examples:
  tachograph-probe lint http://127.0.0.1:9464/metrics
  tachograph-probe lint --as openmetrics http://127.0.0.1:9464
  curl -s https://example.org/metrics | tachograph-probe lint -
  tachograph-probe --format json lint page.txt | jq '.findings[].rule'

Exit status: 0 no finding, 1 findings or an error, 2 wrong usage.";

/// What is judged, and as what.
#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// The page: http://HOST:PORT/PATH, a file, or - for standard input
    #[arg(value_name = "URL|FILE|-")]
    pub(crate) page: String,
    /// The format to ask for and to judge by [default: what the page is]
    #[arg(
        long = "as",
        value_enum,
        hide_possible_values = true,
        value_name = "text|openmetrics"
    )]
    pub(crate) dialect: Option<Dialect>,
}

/// The format of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    /// Prometheus text 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics 1.0.
    #[value(name = "openmetrics")]
    OpenMetrics,
}

/// A rule that a line breaks.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    fn new(line: usize, rule: &'static str, message: impl Into<String>) -> Finding {
        Finding {
            line,
            rule,
            message: message.into(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    page: &'a str,
    format: Dialect,
    families: usize,
    samples: usize,
    findings: &'a [Finding],
}

pub(crate) fn run(arguments: &Lint, context: &Context) -> Result<(), Failure> {
    let page = fetch::page(&arguments.page, arguments.dialect)?;
    let dialect = arguments.dialect.or(page.dialect);
    let dialect = dialect.unwrap_or_else(|| guess(&page.bytes));
    let verdict = page::judge(&page.bytes, dialect);
    let report = Report {
        page: &arguments.page,
        format: dialect,
        families: verdict.families,
        samples: verdict.samples,
        findings: &verdict.findings,
    };
    let written = match context.is_json() {
        true => context.write_json(&report),
        false => context.write(|out| write(&report, out)),
    };
    match written {
        Err(failure) if !failure.is_broken_pipe() => Err(failure),
        _ if verdict.findings.is_empty() => Ok(()),
        _ => Err(Failure::Told),
    }
}

/// A page that ends as OpenMetrics does is meant to be that.
fn guess(page: &[u8]) -> Dialect {
    match page.trim_ascii_end().ends_with(b"# EOF") {
        true => Dialect::OpenMetrics,
        false => Dialect::Text,
    }
}

fn write(report: &Report<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    let page = printable(report.page);
    for finding in report.findings {
        let Finding {
            line,
            rule,
            message,
        } = finding;
        writeln!(out, "{page}:{line}: {rule}: {}", printable(message))?;
    }
    let format = match report.format {
        Dialect::Text => "text",
        Dialect::OpenMetrics => "OpenMetrics",
    };
    let counted = |count: usize, one: &str, more: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {more}"),
    };
    writeln!(
        out,
        "{page}: {format}, {}, {}: {}",
        counted(report.families, "family", "families"),
        counted(report.samples, "sample", "samples"),
        counted(report.findings.len(), "finding", "findings")
    )
}
