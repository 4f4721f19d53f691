//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::create::{self, Create};
use crate::commands::diff::{self, Diff};
use crate::commands::doctor::{self, Doctor};
use crate::commands::gc::{self, Gc};
use crate::commands::hist::{self, Hist};
use crate::commands::rm::{self, Rm};
use crate::commands::texts::{self, Completions, Man};
use crate::condition::Condition;
use crate::lint;
use crate::selector::{Matcher, Selector};
use crate::units;

/// Shows what a tachograph segment holds: metrics, processes and health.
#[derive(Debug, Parser)]
#[command(name = "tachograph-probe", version, term_width = 80, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tachograph-probe doctor                          what is wrong, and what to do?
  tachograph-probe ls                              what is recorded?
  tachograph-probe get 'http_*' --label 'code=5*'  the values now
  tachograph-probe watch '*_total'                 rates, once a second
  tachograph-probe dump -o now.json.gz             everything, for later

Data goes to standard output, messages to standard error.
Exit status: 0 fine, 1 runtime error or damage, 2 wrong usage, 3 not met.";

const EVERYWHERE: &str = "Options of every command";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The segment: a file, a directory with one *.seg in it, what `dump` or
    /// `record` wrote, or - for a dump on standard input [default:
    /// $TACHOGRAPH_SEGMENT, else /dev/shm/tachograph-UID/default.seg]
    #[arg(long, short, global = true, value_name = "PATH", help_heading = EVERYWHERE)]
    pub(crate) segment: Option<PathBuf>,
    /// Of a recording, the look so long before its end: 90s, 5m
    #[arg(long, global = true, value_name = "TIME", value_parser = units::parse_duration, help_heading = EVERYWHERE)]
    pub(crate) back: Option<Duration>,
    /// How data is printed [default: text; of dump: json]
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "text|json|csv",
        help_heading = EVERYWHERE
    )]
    pub(crate) format: Option<Format>,
    /// Draw with ASCII only, as when the locale is not UTF-8
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) ascii: bool,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for people.
    Text,
    /// One JSON document.
    Json,
    /// A header and rows.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List families: type, unit, series, bytes, help
    #[command(after_help = LS_EXAMPLES)]
    Ls(Ls),
    /// Print current values; histograms with percentiles and a chart
    #[command(after_help = GET_EXAMPLES)]
    Get(Get),
    /// Print values and rates per second, again and again
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(Watch),
    /// Show everything on a full screen, live
    #[command(after_help = TOP_EXAMPLES)]
    Top(Top),
    /// Record what a segment holds into a file of bounded size
    #[command(after_help = RECORD_EXAMPLES)]
    Record(Record),
    /// Show a recording on a full screen
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Replay),
    /// Show distributions: percentiles, a chart, files for other tools
    #[command(after_help = hist::EXAMPLES)]
    Hist(Hist),
    /// Compare two dumps, or a dump with the live segment
    #[command(after_help = diff::EXAMPLES)]
    Diff(Diff),
    /// List the processes that hold a slot
    #[command(after_help = PROCS_EXAMPLES)]
    Procs,
    /// Tell whether the segment is healthy; exit 1 when it is damaged
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Print everything as one JSON document, or in full with --format text
    #[command(after_help = DUMP_EXAMPLES)]
    Dump(Dump),
    /// Find what is wrong and say what to do; exit 1 for errors
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(Doctor),
    /// Create an empty segment
    #[command(after_help = create::EXAMPLES)]
    Create(Create),
    /// Remove a segment that nobody writes to
    #[command(after_help = rm::EXAMPLES)]
    Rm(Rm),
    /// Clear away what dead processes and earlier boots left behind
    #[command(after_help = gc::EXAMPLES)]
    Gc(Gc),
    /// Print a completion script for a shell
    #[command(after_help = texts::COMPLETIONS_EXAMPLES)]
    Completions(Completions),
    /// Print the manual
    #[command(after_help = texts::MAN_EXAMPLES)]
    Man(Man),
    /// Judge a page of any exporter by the rules of its format
    #[command(after_help = lint::EXAMPLES)]
    Lint(lint::Lint),
}

const LS_EXAMPLES: &str = "\
Examples:
  tachograph-probe ls
  tachograph-probe ls 'http_*' --series
  tachograph-probe ls --sort bytes        which family takes the memory?";

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Families by name: 'http_*'; with --series also by labels
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<Selector>,
    /// List each series with its labels
    #[arg(long)]
    pub(crate) series: bool,
    /// Order of the families: by name, most series or most memory first
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "name|series|bytes"
    )]
    pub(crate) sort: Sort,
}

/// Order of the families.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    #[default]
    Name,
    Series,
    Bytes,
}

const GET_EXAMPLES: &str = "\
Examples:
  tachograph-probe get requests_total
  tachograph-probe get 'http_*' --label method=get --label code!=200
  tachograph-probe get 'http_requests_total{code=~\"5..\",method!=\"get\"}'
  tachograph-probe get --raw queue_bytes  the number as it is exposed";

/// Which series a command shows.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Series by name and labels: 'http_*', 'x_total{code=~"5.."}'; any of them
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<Selector>,
    /// Series by label: name=glob, name!=glob, name=~regex or name!~regex; all
    /// must hold. A label that is not there counts as empty
    #[arg(long = "label", short, value_name = "FILTER")]
    pub(crate) labels: Vec<Matcher>,
    /// Print plain base units: 0.0125 and 2048, not 12.5 ms and 2 KiB
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Draw the buckets of histograms; auto: when there are three or fewer
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "auto|always|never"
    )]
    pub(crate) chart: When,
}

/// When to do something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

const WATCH_EXAMPLES: &str = "\
Examples:
  tachograph-probe watch '*_total'
  tachograph-probe watch --interval 250ms --label queue=mail
  tachograph-probe watch --count 1 requests_total     one rate, for a script
  tachograph-probe --format json watch | jq -c .      one document a line
  tachograph-probe watch -q --timeout 30s --until 'processes() >= 4'
  tachograph-probe watch --until 'p99(request_duration_seconds) > 250ms'

A condition compares a number with the sum of what a selector names, or with
rate(...), p50, p90, p99, p999, max, mean of the last interval, series(...) or
processes().";

#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Time between two snapshots: 500ms, 1s, 2m
    #[arg(long, short, default_value = "1s", value_parser = units::parse_duration, value_name = "TIME")]
    pub(crate) interval: Duration,
    /// Stop after so many intervals
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Show only series that changed since the last look
    #[arg(long)]
    pub(crate) changes: bool,
    /// Stop with exit status 0 once this holds; several must all hold at once
    #[arg(long, value_name = "CONDITION")]
    pub(crate) until: Vec<Condition>,
    /// Stop after this time; exit status 3 when --until did not hold
    #[arg(long, value_parser = units::parse_duration, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// Print nothing, for the exit status alone
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

const TOP_EXAMPLES: &str = "\
Examples:
  tachograph-probe top
  tachograph-probe top 'http_*' --interval 200ms
  tachograph-probe top --replay night.tape

Press ? for the keys.";

#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Time between two looks: 100ms to 10s
    #[arg(long, short, default_value = "1s", value_parser = parse_pace, value_name = "TIME")]
    pub(crate) interval: Duration,
    /// Show a recording instead of the segment
    #[arg(long, value_name = "FILE", conflicts_with = "segment")]
    pub(crate) replay: Option<PathBuf>,
}

/// A time between two looks at which people can follow.
fn parse_pace(text: &str) -> Result<Duration, String> {
    let pace = units::parse_duration(text)?;
    if (Duration::from_millis(100)..=Duration::from_secs(10)).contains(&pace) {
        Ok(pace)
    } else {
        Err("give a time from 100ms to 10s".into())
    }
}

const RECORD_EXAMPLES: &str = "\
Examples:
  tachograph-probe record night.tape
  tachograph-probe record crash.tape --interval 100ms --size 256MiB
  tachograph-probe replay night.tape

The newest looks are kept when the file is full. A recorder that is killed
leaves a readable file.";

#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The file; it must not be there yet
    pub(crate) file: PathBuf,
    /// Time between two looks: 100ms, 1s, 1m
    #[arg(long, short, default_value = "1s", value_parser = units::parse_duration, value_name = "TIME")]
    pub(crate) interval: Duration,
    /// The file's size at most: 512KiB, 64MiB, 1GiB
    #[arg(long, default_value = "64MiB", value_parser = units::parse_size, value_name = "SIZE")]
    pub(crate) size: u64,
    /// Stop after so many looks
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  tachograph-probe replay night.tape
  tachograph-probe replay night.tape 'http_*'

Press space to play, [ and ] to step, ? for all keys. Every command takes a
recording in place of a segment:

  tachograph-probe hist --segment night.tape --back 5m --window 30s";

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A file that `record` wrote
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) selection: Selection,
}

const PROCS_EXAMPLES: &str = "\
Examples:
  tachograph-probe procs
  tachograph-probe --format json procs | jq '.processes[] | select(.alive)'";

const CHECK_EXAMPLES: &str = "\
Examples:
  tachograph-probe check
  tachograph-probe check --strict >/dev/null || echo look at it";

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Exit 1 for warnings too
    #[arg(long)]
    pub(crate) strict: bool,
}

const DUMP_EXAMPLES: &str = "\
Examples:
  tachograph-probe dump -o before.json.gz       keep it, for every command:
  tachograph-probe get --segment before.json.gz
  tachograph-probe --format text dump | less";

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// A file to write, compressed when it is called *.gz [default: standard
    /// output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
