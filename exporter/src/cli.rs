//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, CommandFactory, FromArgMatches, Parser};

use crate::config::{Address, Mode, time};
use crate::glob::Glob;

/// Serves the metrics of tachograph segments to Prometheus.
///
/// Reads the segments when it is asked and only then. A segment that is not there yet is waited for, and
/// one that is replaced is attached again.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "tachograph-exporter",
    version,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub struct Arguments {
    /// A file with what stands here and more (docs/EXPORTER.md lists its keys)
    ///
    /// What is given here or in the environment wins over the file; lists replace the file's list.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "demo",
        help_heading = "Configuration"
    )]
    pub config: Option<PathBuf>,

    /// Say whether the configuration makes sense, and exit with 0 or 1
    #[arg(long, conflicts_with = "demo", help_heading = "Configuration")]
    pub check_config: bool,

    /// Print the configuration that results from file, environment and arguments, without secrets, and exit
    #[arg(long, conflicts_with = "demo", help_heading = "Configuration")]
    pub print_config: bool,

    /// A segment, or a folder whose `*.seg` files are all served [default: $TACHOGRAPH_SEGMENT or
    /// /dev/shm/tachograph-UID/default.seg]
    ///
    /// With more than one, or with a folder, every series gets a `segment` label.
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub segment: Vec<PathBuf>,

    /// Where to listen: `host:port`, port 0 picks one; or `unix:PATH` [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub listen: Vec<Address>,

    /// Add a `_created` line to each counter and histogram of OpenMetrics pages
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        conflicts_with = "demo")]
    pub openmetrics_created: Option<bool>,

    /// Add up what several segments have in common instead of telling them apart by a label
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        conflicts_with = "demo")]
    pub merge_segments: Option<bool>,

    /// Tell gauges and state sets of these names process by process, with labels `pid` and `slot`, as in `queue_*`
    #[arg(
        long,
        value_name = "GLOB",
        value_delimiter = ',',
        conflicts_with = "demo"
    )]
    pub by_process: Vec<Glob>,

    /// Show `process_*` metrics of the processes that write [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        conflicts_with = "demo")]
    pub process_metrics: Option<bool>,

    /// The mode of unix sockets, as in 0660 [default: the umask decides]
    #[arg(long, value_name = "MODE")]
    pub unix_mode: Option<Mode>,

    /// The user that owns unix sockets, by name or number
    #[arg(long, value_name = "USER")]
    pub unix_owner: Option<String>,

    /// The group that owns unix sockets, by name or number
    #[arg(long, value_name = "GROUP")]
    pub unix_group: Option<String>,

    /// Who may ask.
    #[command(flatten)]
    pub access: AccessArguments,

    /// Limits of the connections.
    #[command(flatten)]
    pub limits: LimitArguments,

    /// Create a private segment, start four processes that work and record it, and serve that
    #[arg(long, help_heading = "Demo", conflicts_with = "segment")]
    pub demo: bool,

    /// A folder of text files for the demo's processes to work on [default: the current folder]
    #[arg(long, value_name = "DIR", requires = "demo", help_heading = "Demo")]
    pub demo_input: Option<PathBuf>,

    /// How often the demo's processes go through their input [default: until it is stopped]
    ///
    /// At the end the totals in the segment are compared with what is in the files. The exit status is 1
    /// when they differ.
    #[arg(long, value_name = "N", requires = "demo", help_heading = "Demo")]
    pub demo_passes: Option<u64>,

    /// Be one of the demo's processes.
    #[arg(long, hide = true, conflicts_with = "demo")]
    pub demo_worker: bool,
}

/// Who may ask, as it is given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArguments {
    /// A web configuration file of the Prometheus exporter toolkit: TLS, client certificates, passwords
    #[arg(long, alias = "web.config.file", value_name = "FILE")]
    pub web_config: Option<PathBuf>,

    /// A file of bearer tokens, one a line; who shows none of them needs a password or gets 401
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub bearer_token_file: Vec<PathBuf>,

    /// A name under which the exporter may be asked [default: any; without a dot on the loopback]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allowed_host: Vec<String>,

    /// Web pages that may read answers, as in `https://example.org`
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub allowed_origin: Vec<String>,
}

/// Limits as they are given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArguments {
    /// Close a connection whose request has not arrived by then [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub header_timeout: Option<Duration>,

    /// Close a connection that waits for another request for longer [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub idle_timeout: Option<Duration>,

    /// Close a connection whose client has not taken the answer by then [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub response_timeout: Option<Duration>,

    /// Close a connection that is older, after the request in flight [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub connection_timeout: Option<Duration>,

    /// Answer 503 to more connections than this [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_connections: Option<u32>,

    /// Answer 503 to more scrapes at a time than this [default: 40]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_scrapes: Option<u32>,

    /// Answer 431 to requests with larger headers [default: 16384]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(8_192..=1_048_576))]
    pub max_header_bytes: Option<u32>,
}

impl Arguments {
    /// What the command line and the environment say. Ends the process when they make no sense, or ask for help.
    pub fn get() -> Arguments {
        let matches = Arguments::command().mut_args(with_variable).get_matches();
        Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// An option that may also come from the environment.
fn with_variable(argument: Arg) -> Arg {
    match argument.get_long() {
        Some(name)
            if !matches!(name, "check-config" | "print-config") && !name.starts_with("demo") =>
        {
            let variable = format!(
                "TACHOGRAPH_EXPORTER_{}",
                name.replace('-', "_").to_uppercase()
            );
            argument.env(variable).hide_env(true)
        }
        _ => argument,
    }
}

const EXAMPLES: &str = "\
Each option that configures may also come from the environment: --listen from TACHOGRAPH_EXPORTER_LISTEN,
with commas between the parts of a list. What stands here wins over the environment, and that over the file.

Examples:
  tachograph-exporter --demo
      see it work: four processes record, one page shows them
  tachograph-exporter
      serve the user's default segment on http://127.0.0.1:9464/metrics
  tachograph-exporter --segment /dev/shm/shop/ --listen 0.0.0.0:9464
      serve every segment of a folder to other hosts
  tachograph-exporter --segment web.seg --segment jobs.seg --listen unix:/run/metrics.sock
      serve two segments on a unix socket
  tachograph-exporter --listen 0.0.0.0:9464 --web-config web.yml
      serve other hosts, with TLS and passwords
  tachograph-exporter --config exporter.toml --check-config
      say what is wrong with a configuration, and where";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().mut_args(with_variable).debug_assert();
    }
}
