//! What the demo prints.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use tachograph::Snapshot;

use super::account::{Account, Verdict};
use super::totals::{ROWS, Totals, recorded, row_name};
use super::truth::Truth;

/// Most files named in one list.
const NAMED_MAX: usize = 20;

/// Prints a line. The demo does its work whether or not somebody reads it.
pub(crate) fn say(line: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}");
    let _ = output.flush();
}

/// What runs, where, and what to try.
pub(crate) fn greeting(urls: &[String], segment: &Path, pids: &[u32]) -> String {
    let workers: Vec<String> = pids.iter().map(u32::to_string).collect();
    let first = workers.first().map_or("PID", String::as_str);
    let (workers, segment) = (workers.join(" "), segment.display());
    let (url, metrics) = (urls.first().map_or("", String::as_str), urls.join(" "));
    let scrape = match url.strip_prefix("unix:") {
        Some(socket) => format!("curl -s --unix-socket {socket} http://localhost/metrics"),
        None => format!("curl -s {url}"),
    };
    format!(
        "
  metrics   {metrics}
  segment   {segment}
  workers   {workers}

Try, in another terminal:

  {scrape} | grep ^demo_
  cargo run --release -p tachograph-probe -- --segment {segment} watch
  kill -9 {first}

The last one kills a worker at whatever it does. Its counts stay, its gauges vanish, another worker takes
its place, and the document that was in flight is named here. Workers rest between documents, so often
there is none.
Ctrl-C ends the demo and removes all that it made.
"
    )
}

/// The comparison of what the segment holds with what is true, and whether it holds.
pub(crate) fn comparison(
    truth: &Truth,
    account: &Account<'_>,
    snapshot: &Snapshot,
) -> (String, bool) {
    let recorded = recorded(snapshot);
    let verdict = account.verdict(&recorded);
    let mut text = table(&recorded, account.total());
    let path = |index: usize| truth.known[index].document.path.display().to_string();
    let in_doubt = account
        .doubts
        .iter()
        .map(|doubt| format!("{} (worker {})", path(doubt.document), doubt.pid));
    name(
        &mut text,
        "In flight when their worker was killed; each is recorded wholly, in part or not at all:",
        in_doubt,
    );
    name(
        &mut text,
        "Changed on disk during the run, so counted as errors and not as documents:",
        account.changed.iter().map(|&index| path(index)),
    );
    name(
        &mut text,
        "Left out, because they kept changing before the run:",
        truth.left_out.iter().map(|path| path.display().to_string()),
    );
    name(
        &mut text,
        "A worker reported what cannot be:",
        account
            .contradictions
            .iter()
            .map(|&(index, outcome)| format!("{}: {outcome:?}", path(index))),
    );
    let flaws = flaws(snapshot);
    name(&mut text, "The segment reports:", flaws.iter().cloned());
    let _ = writeln!(text, "\n{}", judgement(verdict, account.doubts.len()));
    (text, verdict != Verdict::Wrong && flaws.is_empty())
}

fn judgement(verdict: Verdict, doubts: usize) -> String {
    match verdict {
        Verdict::Equal => "Equal: the segment holds exactly what is on the disk.".to_owned(),
        Verdict::Explained => format!(
            "Explained: the segment holds what is on the disk, except for a last part of the numbers of \
             the documents in flight ({doubts})."
        ),
        Verdict::WithinRange => format!(
            "Within range: the differences are no larger than the documents in flight ({doubts}) can explain."
        ),
        Verdict::Wrong => "WRONG: the differences have no explanation.".to_owned(),
    }
}

fn table(recorded: &Totals, total: &Totals) -> String {
    let names: Vec<String> = (0..ROWS).map(row_name).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let mut text = format!(
        "{:width$} {:>15} {:>15} {:>12}\n",
        "total", "recorded", "true", "difference"
    );
    for (row, name) in names.iter().enumerate() {
        let difference = i128::from(recorded[row]) - i128::from(total[row]);
        let _ = writeln!(
            text,
            "{name:width$} {:>15} {:>15} {difference:>12}",
            recorded[row], total[row]
        );
    }
    text
}

fn name(text: &mut String, heading: &str, items: impl ExactSizeIterator<Item = String>) {
    let count = items.len();
    if count == 0 {
        return;
    }
    let _ = writeln!(text, "\n{heading}");
    for item in items.take(NAMED_MAX) {
        let _ = writeln!(text, "  {item}");
    }
    if count > NAMED_MAX {
        let _ = writeln!(text, "  and {} more", count - NAMED_MAX);
    }
}

/// Losses and damage: a segment with them is not what the demo means to show.
fn flaws(snapshot: &Snapshot) -> Vec<String> {
    let losses = snapshot
        .losses
        .iter()
        .filter(|&(_, count)| count > 0)
        .map(|(loss, count)| format!("{count} not recorded as asked: {}", loss.name()));
    let damage = snapshot
        .damage
        .iter()
        .map(|damage| format!("{} {}: {}", damage.table, damage.index, damage.reason));
    losses.chain(damage).collect()
}

/// What a run without an end has done when it is stopped.
pub(crate) fn farewell(snapshot: &Snapshot) -> String {
    let recorded = recorded(snapshot);
    let mut text = String::from("\nRecorded:\n");
    for (row, total) in recorded.iter().enumerate() {
        let _ = writeln!(text, "  {:52} {total:>15}", row_name(row));
    }
    text
}

/// How much was done in how much time.
pub(crate) fn effort(passes: u64, documents: usize, input: &Path, time: Duration) -> String {
    format!(
        "{passes} passes over {documents} documents below {} in {:.1} s\n",
        input.display(),
        time.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_signed_differences() {
        let mut recorded = [5; ROWS];
        recorded[0] = 3;
        let text = table(&recorded, &[4; ROWS]);
        let ends: Vec<&str> = text
            .lines()
            .map(|line| line.rsplit(' ').next().unwrap())
            .collect();
        assert_eq!(ends[..3], ["difference", "-1", "1"]);
        assert_eq!(ends.len(), ROWS + 1);
    }

    #[test]
    fn long_lists_are_cut_and_empty_ones_left_out() {
        let mut text = String::new();
        name(&mut text, "None:", Vec::new().into_iter());
        assert_eq!(text, "");
        let many: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        name(&mut text, "Some:", many.into_iter());
        assert!(text.ends_with("  19\n  and 10 more\n"));
    }
}
