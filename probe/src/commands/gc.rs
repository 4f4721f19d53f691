//! `gc`: clears away what the dead left behind, and nothing that anybody uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;
use tachograph::{Reader, SegmentOptions};

use crate::context::Context;
use crate::failure::Failure;

pub(crate) const EXAMPLES: &str = "\
Examples:
  tachograph-probe gc --dry-run
  tachograph-probe gc --segment /dev/shm/shop";

/// What is younger than this may be of somebody who is at work.
const AT_WORK: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Cleared {
    dry_run: bool,
    actions: Vec<Action>,
}

/// Something that was done, or would be.
#[derive(Debug, Serialize)]
struct Action {
    /// `remove` or `free_series`.
    action: &'static str,
    path: PathBuf,
    reason: String,
    /// Why it could not be done.
    error: Option<String>,
}

pub(crate) fn run(arguments: &Gc, context: &Context) -> Result<(), Failure> {
    let given = context
        .segment
        .clone()
        .unwrap_or_else(tachograph::default_path);
    let folder = if given.is_dir() {
        given.clone()
    } else {
        match given.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    };
    let mut actions = leftovers(&folder);
    for path in segments(&given, &folder) {
        actions.extend(of_segment(&path));
    }
    if !arguments.dry_run {
        for action in &mut actions {
            action.error = action.perform().err();
        }
    }
    let failed = actions.iter().any(|action| action.error.is_some());
    let cleared = Cleared {
        dry_run: arguments.dry_run,
        actions,
    };
    tell(&cleared, context)?;
    if failed { Err(Failure::Told) } else { Ok(()) }
}

fn tell(cleared: &Cleared, context: &Context) -> Result<(), Failure> {
    if context.is_json() {
        return context.write_json(cleared);
    }
    if cleared.actions.is_empty() {
        context.say("nothing to clear away");
    }
    for action in &cleared.actions {
        let (would, verb) = (cleared.dry_run, action.action.replace('_', " "));
        let done = if would { "would " } else { "" };
        let result = action.error.as_ref();
        let result = result.map_or_else(String::new, |error| format!("; failed: {error}"));
        let path = action.path.display();
        context.say(&format!("{done}{verb}: {path}: {}{result}", action.reason));
    }
    Ok(())
}

/// Half-made files and folders of creators that were killed: `.<16 hexadecimal digits>.new`.
fn leftovers(folder: &Path) -> Vec<Action> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut left: Vec<PathBuf> = entries
        .filter(|entry| is_hidden_name(&entry.file_name().to_string_lossy()))
        .filter(|entry| {
            let changed = entry.metadata().and_then(|found| found.modified());
            let age = changed.map(|changed| SystemTime::now().duration_since(changed));
            age.is_ok_and(|age| age.is_ok_and(|age| age > AT_WORK))
        })
        .map(|entry| entry.path())
        .collect();
    left.sort();
    left.into_iter()
        .map(|path| {
            Action::new(
                "remove",
                path,
                "left by a process that died creating it".into(),
            )
        })
        .collect()
}

fn is_hidden_name(name: &str) -> bool {
    let digits = name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".new"));
    digits.is_some_and(|digits| {
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The segment that was named, or all of the folder.
fn segments(given: &Path, folder: &Path) -> Vec<PathBuf> {
    if !given.is_dir() {
        return vec![given.to_owned()];
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    all.sort();
    all
}

/// A segment of an earlier boot goes; in another one, removed series are freed.
fn of_segment(path: &Path) -> Option<Action> {
    let snapshot = Reader::attach(path).ok()?.snapshot().ok()?;
    let path = path.to_owned();
    if !snapshot.segment.this_boot {
        let reason = "written before the last boot".to_owned();
        return Some(Action::new("remove", path, reason));
    }
    let waiting = snapshot.removals.waiting;
    let held: u64 = snapshot
        .processes
        .iter()
        .map(|process| process.holds_removed)
        .sum();
    (waiting > 0 && held < waiting && snapshot.removals.untracked == 0).then(|| {
        let reason = format!("{waiting} removed series wait, living processes hold {held}");
        Action::new("free_series", path, reason)
    })
}

impl Action {
    fn new(action: &'static str, path: PathBuf, reason: String) -> Action {
        Action {
            action,
            path,
            reason,
            error: None,
        }
    }

    fn perform(&self) -> Result<(), String> {
        if self.action == "free_series" {
            let options = SegmentOptions::new()
                .path(&self.path)
                .process_name("tachograph-probe gc");
            let swept = options.attach().and_then(|writer| writer.sweep());
            return swept.map(|_| ()).map_err(|error| error.to_string());
        }
        let removed = if self.path.is_dir() {
            fs::remove_dir(&self.path)
        } else {
            fs::remove_file(&self.path)
        };
        removed.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_creators_are_theirs() {
        assert!(is_hidden_name(".00ff00ff00ff00ff.new"));
        for other in [
            "00ff00ff00ff00ff.new",
            ".00ff.new",
            ".00ff00ff00ff00fg.new",
            ".00ff00ff00ff00ff.old",
        ] {
            assert!(!is_hidden_name(other), "{other}");
        }
    }
}
