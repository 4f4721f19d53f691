//! `create`: an empty segment, of the size and for the users that are wanted.

use clap::Args;
use serde::Serialize;
use tachograph::SegmentOptions;

use crate::context::Context;
use crate::failure::Failure;

pub(crate) const EXAMPLES: &str = "\
Examples:
  tachograph-probe create --segment /dev/shm/shop/web.seg --series 200000
  tachograph-probe create --group 1000 --mode 660
Capacities are virtual: memory is taken as series are registered.";

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Series there can be [default: 65536]
    #[arg(long, value_name = "N")]
    series: Option<u64>,
    /// Families there can be [default: 2048]
    #[arg(long, value_name = "N")]
    families: Option<u64>,
    /// Processes that can live at one time [default: 1024]
    #[arg(long, value_name = "N")]
    processes: Option<u64>,
    /// Bytes of names, help texts and labels [default: 16777216]
    #[arg(long, value_name = "BYTES")]
    string_bytes: Option<u64>,
    /// Cells of counters and small histograms [default: 262144]
    #[arg(long, value_name = "N")]
    counter_cells: Option<u64>,
    /// Bytes of large histograms over all shards [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    histogram_bytes: Option<u64>,
    /// Living gauges, infos and state sets [default: 2048]
    #[arg(long, value_name = "N")]
    process_cells: Option<u64>,
    /// Lasting gauges and state sets [default: 65536]
    #[arg(long, value_name = "N")]
    shared_cells: Option<u64>,
    /// Permission bits in octal [default: 600]
    #[arg(long, value_name = "MODE", value_parser = octal)]
    mode: Option<u32>,
    /// Give it to the group of this number, which may write
    #[arg(long, value_name = "GID")]
    group: Option<u32>,
    /// Accept a file system that writes back to disk
    #[arg(long)]
    allow_disk: bool,
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Created {
    path: String,
    created: bool,
    dry_run: bool,
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8).map_err(|_| "give permission bits in octal, as 660".into())
}

pub(crate) fn run(arguments: &Create, context: &Context) -> Result<(), Failure> {
    let path = context
        .segment
        .clone()
        .unwrap_or_else(tachograph::default_path);
    if arguments.dry_run {
        if std::fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::Segment(tachograph::Error::Exists { path }));
        }
    } else {
        options(arguments).path(&path).create()?;
    }
    let created = Created {
        path: path.display().to_string(),
        created: !arguments.dry_run,
        dry_run: arguments.dry_run,
    };
    if context.is_json() {
        return context.write_json(&created);
    }
    let done = if arguments.dry_run {
        "would create"
    } else {
        "created"
    };
    context.say(&format!("{done} {}", path.display()));
    Ok(())
}

fn options(arguments: &Create) -> SegmentOptions {
    type Setter = fn(SegmentOptions, u64) -> SegmentOptions;
    let capacities: [(Option<u64>, Setter); 8] = [
        (arguments.series, SegmentOptions::series),
        (arguments.families, SegmentOptions::families),
        (arguments.processes, SegmentOptions::processes),
        (arguments.string_bytes, SegmentOptions::string_bytes),
        (arguments.counter_cells, SegmentOptions::counter_cells),
        (arguments.histogram_bytes, SegmentOptions::histogram_bytes),
        (arguments.process_cells, SegmentOptions::process_cells),
        (arguments.shared_cells, SegmentOptions::shared_cells),
    ];
    let mut options = SegmentOptions::new().allow_disk(arguments.allow_disk);
    for (given, set) in capacities {
        if let Some(given) = given {
            options = set(options, given);
        }
    }
    if let Some(group) = arguments.group {
        options = options.group(group);
    }
    match arguments.mode {
        Some(mode) => options.mode(mode),
        None => options,
    }
}
