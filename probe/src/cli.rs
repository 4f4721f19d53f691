//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::filter::{Glob, LabelFilter};
use crate::lint;
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
  tachograph-probe check                           is this segment healthy?
  tachograph-probe ls                              what is recorded?
  tachograph-probe get 'http_*' --label 'code=5*'  the values now
  tachograph-probe watch '*_total'                 rates, once a second
  tachograph-probe --format json dump | jq .       everything

Data goes to standard output, messages to standard error.
Exit status: 0 fine, 1 runtime error (check: damage), 2 wrong usage.";

const EVERYWHERE: &str = "Options of every command";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The segment: a file, or a directory with one *.seg in it [default:
    /// $TACHOGRAPH_SEGMENT, else /dev/shm/tachograph-UID/default.seg]
    #[arg(long, short, global = true, value_name = "PATH", help_heading = EVERYWHERE)]
    pub(crate) segment: Option<PathBuf>,
    /// How data is printed [default: text; of dump: json]
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "text|json",
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
    /// List the processes that hold a slot
    #[command(after_help = PROCS_EXAMPLES)]
    Procs,
    /// Tell whether the segment is healthy; exit 1 when it is damaged
    #[command(after_help = CHECK_EXAMPLES)]
    Check,
    /// Print everything as one JSON document, or in full with --format text
    #[command(after_help = DUMP_EXAMPLES)]
    Dump,
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
    /// Families by name; * is any text, ? any character
    pub(crate) glob: Option<Glob>,
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
  tachograph-probe get stage_duration_seconds --label 'stage=re*'
  tachograph-probe get --raw queue_bytes  the number as it is exposed";

/// Which series a command shows.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Families by name; * is any text, ? any character
    pub(crate) glob: Option<Glob>,
    /// Series by label: name=value, name!=value or name=glob; all must hold.
    /// A label that is not there counts as empty
    #[arg(long = "label", short, value_name = "FILTER")]
    pub(crate) labels: Vec<LabelFilter>,
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
  tachograph-probe --format json watch | jq -c .      one document a line";

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
}

const PROCS_EXAMPLES: &str = "\
Examples:
  tachograph-probe procs
  tachograph-probe --format json procs | jq '.processes[] | select(.alive)'";

const CHECK_EXAMPLES: &str = "\
Examples:
  tachograph-probe check
  tachograph-probe check >/dev/null || echo damaged";

const DUMP_EXAMPLES: &str = "\
Examples:
  tachograph-probe dump >segment.json
  tachograph-probe --format text dump | less";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
