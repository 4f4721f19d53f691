//! `doctor`: what is wrong, and what to do about it.

mod exporter;
mod page;
mod place;
mod values;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tachograph::Snapshot;

use super::check::write_findings;
use crate::context::Context;
use crate::failure::Failure;
use crate::findings::{self, Finding, Severity};
use crate::progress::Progress;
use crate::source::{self, Source};
use crate::terminal::{Paint, Terminal, printable};
use crate::units;

pub(crate) const EXAMPLES: &str = "\
Examples:
  tachograph-probe doctor
  tachograph-probe doctor --observe 30s         also gauges that stand still
  tachograph-probe doctor --exporter http://127.0.0.1:9464/metrics";

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The exporter to ask: an http:// address or unix:PATH [default:
    /// http://127.0.0.1:9464/metrics, if one answers there]
    #[arg(long, value_name = "URL")]
    exporter: Option<String>,
    /// Watch the gauges for this time, and name those that do not change
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    observe: Option<Duration>,
    /// Exit 1 for warnings too
    #[arg(long)]
    strict: bool,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Diagnosis {
    path: String,
    findings: Vec<Finding>,
}

pub(crate) fn run(arguments: &Doctor, context: &Context) -> Result<(), Failure> {
    let mut diagnosis = diagnose(arguments, context);
    // The worst first, otherwise as they were found.
    diagnosis
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let worst = diagnosis.findings.first().map(|finding| finding.severity);
    let written = if context.is_json() {
        context.write_json(&diagnosis)
    } else if context.is_csv() {
        let rows = diagnosis.findings.iter().map(Finding::row);
        context.write_csv(&Finding::COLUMNS, rows)
    } else {
        context.write(|out| write_diagnosis(&diagnosis, out, &context.terminal))
    };
    match (written, worst) {
        (Err(failure), _) if !failure.is_broken_pipe() => Err(failure),
        (_, Some(Severity::Error)) => Err(Failure::Told),
        (_, Some(Severity::Warning)) if arguments.strict => Err(Failure::Told),
        _ => Ok(()),
    }
}

fn diagnose(arguments: &Doctor, context: &Context) -> Diagnosis {
    let path = match source::locate(context.segment.as_deref()) {
        Ok(path) => path,
        Err(failure) => {
            let finding = place::not_located(&failure);
            let path = context.segment.clone().unwrap_or_default();
            return Diagnosis::new(&path, vec![finding]);
        }
    };
    let mut source = match Source::open(&path, context.back) {
        Ok(source) => source,
        Err(failure) => return Diagnosis::new(&path, vec![place::unusable(&path, &failure)]),
    };
    let snapshot = match source.snapshot() {
        Ok(snapshot) => snapshot,
        Err(failure) => return Diagnosis::new(&path, vec![place::unusable(&path, &failure)]),
    };
    let mut findings = findings::of(&snapshot);
    findings.extend(findings::damage(&snapshot));
    findings.extend(values::processes(&snapshot));
    findings.extend(values::unset_gauges(&snapshot));
    if source.is_live() {
        findings.extend(place::findings(&path, &snapshot));
        findings.extend(observed(arguments.observe, &mut source, &snapshot));
        findings.extend(exporter::findings(
            arguments.exporter.as_deref(),
            &mut source,
        ));
    }
    Diagnosis::new(&path, findings)
}

/// What a look some time later tells.
fn observed(time: Option<Duration>, source: &mut Source, before: &Snapshot) -> Vec<Finding> {
    let Some(time) = time else {
        return Vec::new();
    };
    {
        let _progress = Progress::new(&format!("observing for {} s", time.as_secs_f64()));
        std::thread::sleep(time);
    }
    match source.snapshot() {
        Ok(after) => values::still_gauges(before, &after),
        Err(_) => Vec::new(),
    }
}

impl Diagnosis {
    fn new(path: &Path, findings: Vec<Finding>) -> Diagnosis {
        Diagnosis {
            path: path.display().to_string(),
            findings,
        }
    }
}

fn write_diagnosis(
    diagnosis: &Diagnosis,
    out: &mut dyn Write,
    terminal: &Terminal,
) -> io::Result<()> {
    write_findings(&diagnosis.findings, out, terminal)?;
    let count = |severity| {
        let found = diagnosis.findings.iter();
        found.filter(|finding| finding.severity == severity).count()
    };
    let counts = [Severity::Error, Severity::Warning, Severity::Hint].map(count);
    let (paint, word) = match counts {
        [0, 0, _] => (Paint::Good, "OK"),
        [0, ..] => (Paint::Warning, "WARNING"),
        _ => (Paint::Bad, "ERROR"),
    };
    let [errors, warnings, hints] = counts;
    writeln!(
        out,
        "{}: {}: {}, {}, {}",
        terminal.paint(paint, word),
        printable(&diagnosis.path),
        units::counted(errors, "error"),
        units::counted(warnings, "warning"),
        units::counted(hints, "hint")
    )
}
