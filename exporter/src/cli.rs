//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;

use crate::limits::Limits;

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
    /// A segment, or a folder whose `*.seg` files are all served [default: $TACHOGRAPH_SEGMENT or
    /// /dev/shm/tachograph-UID/default.seg]
    ///
    /// With more than one, or with a folder, every series gets a `segment` label.
    #[arg(long, value_name = "PATH")]
    pub segment: Vec<PathBuf>,

    /// Where to listen: `host:port`, port 0 picks one; or `unix:PATH`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    pub listen: Vec<Address>,

    /// Add a `_created` line to each counter and histogram of OpenMetrics pages
    #[arg(long, conflicts_with = "demo")]
    pub openmetrics_created: bool,

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

/// Limits as they are given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArguments {
    /// Close a connection whose request has not arrived by then
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time)]
    pub header_timeout: Duration,

    /// Close a connection that waits for another request for longer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    pub idle_timeout: Duration,

    /// Close a connection whose client has not taken the answer by then
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub response_timeout: Duration,

    /// Answer 503 to more connections than this
    #[arg(long, value_name = "N", default_value_t = 128,
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_connections: u32,

    /// Answer 503 to more scrapes at a time than this
    #[arg(long, value_name = "N", default_value_t = 40,
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_scrapes: u32,

    /// Answer 431 to requests with larger headers
    #[arg(long, value_name = "BYTES", default_value_t = 16_384,
        value_parser = clap::value_parser!(u32).range(8_192..=1_048_576))]
    pub max_header_bytes: u32,
}

const EXAMPLES: &str = "\
Examples:
  tachograph-exporter --demo
      see it work: four processes record, one page shows them
  tachograph-exporter
      serve the user's default segment on http://127.0.0.1:9464/metrics
  tachograph-exporter --segment /dev/shm/shop/ --listen 0.0.0.0:9464
      serve every segment of a folder to other hosts
  tachograph-exporter --segment web.seg --segment jobs.seg --listen unix:/run/metrics.sock
      serve two segments on a unix socket";

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port`
    Tcp(String),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("a path must follow `unix:`".into()),
                path => Ok(Address::Unix(path.into())),
            };
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or("give host:port, as in 127.0.0.1:9464, or unix:PATH")?;
        if host.is_empty() {
            return Err("give a host, as in 127.0.0.1:9464, or 0.0.0.0:9464 for all".into());
        }
        port.parse::<u16>()
            .map_err(|_| format!("{port:?} is not a port; give 0 to 65535"))?;
        Ok(Address::Tcp(text.to_owned()))
    }
}

impl From<&LimitArguments> for Limits {
    fn from(given: &LimitArguments) -> Limits {
        Limits {
            header_timeout: given.header_timeout,
            idle_timeout: given.idle_timeout,
            response_timeout: given.response_timeout,
            connections: given.max_connections,
            scrapes: given.max_scrapes,
            header_bytes: given.max_header_bytes as usize,
        }
    }
}

/// Reads `5s`, `0.5s`, `500ms` or `5`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit_seconds) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    number
        .parse::<f64>()
        .ok()
        .map(|number| number * unit_seconds)
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| "give a time up to a day, as in 5s or 500ms".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn addresses() {
        assert_eq!("[::1]:0".parse(), Ok(Address::Tcp("[::1]:0".into())));
        assert_eq!(
            "unix:/run/x.sock".parse(),
            Ok(Address::Unix("/run/x.sock".into()))
        );
        for wrong in ["", "9464", ":9464", "host:", "host:70000", "unix:"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(parse_time("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_time("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "s", "0", "-1s", "NaN", "inf", "1h", "1e9"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
