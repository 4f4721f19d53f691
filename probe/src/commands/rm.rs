//! `rm`: removes a segment, unless somebody writes to it.

use std::fs;
use std::path::Path;

use clap::Args;
use serde::Serialize;
use tachograph::{Error, Reader};

use crate::context::Context;
use crate::failure::Failure;
use crate::source;
use crate::terminal::printable;

pub(crate) const EXAMPLES: &str = "\
Examples:
  tachograph-probe rm --dry-run
  tachograph-probe rm --segment /dev/shm/shop/web.seg
Writers of a removed segment keep writing to it until they are restarted.";

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Remove it although living processes write to it, or it is damaged
    #[arg(long)]
    force: bool,
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Removed {
    path: String,
    removed: bool,
    dry_run: bool,
}

pub(crate) fn run(arguments: &Rm, context: &Context) -> Result<(), Failure> {
    let path = source::locate(context.segment.as_deref())?;
    if let Some(reason) = obstacle(&path)?
        && !arguments.force
    {
        return Err(Failure::Message(format!(
            "not removed: {reason}; --force removes it"
        )));
    }
    if !arguments.dry_run {
        fs::remove_file(&path).map_err(|error| {
            Failure::Message(format!("cannot remove {}: {error}", path.display()))
        })?;
    }
    let removed = Removed {
        path: path.display().to_string(),
        removed: !arguments.dry_run,
        dry_run: arguments.dry_run,
    };
    if context.is_json() {
        return context.write_json(&removed);
    }
    let done = if arguments.dry_run {
        "would remove"
    } else {
        "removed"
    };
    context.say(&format!("{done} {}", path.display()));
    Ok(())
}

/// Why the segment at `path` should stay; a failure where nothing that could be a segment is there.
fn obstacle(path: &Path) -> Result<Option<String>, Failure> {
    let looked = Reader::attach(path).and_then(|mut reader| reader.snapshot());
    let snapshot = match looked {
        Ok(snapshot) => snapshot,
        Err(error @ (Error::NotFound { .. } | Error::Permission { .. } | Error::Io { .. })) => {
            return Err(Failure::Segment(error));
        }
        Err(error) => {
            let found = fs::symlink_metadata(path);
            if !found.is_ok_and(|found| found.is_file()) {
                return Err(Failure::Segment(error));
            }
            return Ok(Some(error.to_string()));
        }
    };
    let living = snapshot.processes.iter().filter(|process| process.alive);
    let living: Vec<String> = living
        .map(|process| format!("{} ({})", printable(&process.name), process.pid))
        .collect();
    let path = path.display();
    Ok(match living.as_slice() {
        [] => None,
        [one] => Some(format!("a living process writes to {path}: {one}")),
        several => Some(format!(
            "{} living processes write to {path}: {}",
            several.len(),
            several.join(", ")
        )),
    })
}
