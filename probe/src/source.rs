//! Where a command reads: a live segment, a dump of one, or a recording.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tachograph::{Error, Reader, Snapshot, Split};

use crate::clock;
use crate::dumped;
use crate::failure::Failure;
use crate::file;
use crate::tape::{self, Tape};

/// A segment, or what was kept of one.
pub(crate) enum Source {
    Segment(Box<Reader>),
    Dump(Box<Snapshot>),
    Recording(Box<Look>),
}

/// One look of a recording.
pub(crate) struct Look {
    tape: Tape,
    at: u64,
}

/// What kind of file there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing of ours that was kept: a segment, or no such thing.
    No,
    Dump,
    Recording,
}

impl Source {
    /// What is at `path`; a dump on standard input where that is `-`. Of a recording the look `back` before its end.
    pub(crate) fn open(path: &Path, back: Option<Duration>) -> Result<Source, Failure> {
        let kept = kept_at(path);
        if back.is_some() && kept != Kept::Recording {
            let message = format!("{} is no recording: no --back", path.display());
            return Err(Failure::Message(message));
        }
        if path == Path::new("-") {
            let dump = dumped::read(io::stdin().lock(), Path::new("standard input"))?;
            return Ok(Source::Dump(dump.into()));
        }
        Ok(match kept {
            Kept::Recording => {
                let tape = tape::read(path).map_err(Failure::Message)?;
                Source::Recording(Look::last(tape).back(back.unwrap_or_default())?.into())
            }
            Kept::Dump => {
                let file = fs::File::open(path).map_err(|error| {
                    Failure::Message(format!("cannot read {}: {error}", path.display()))
                })?;
                Source::Dump(dumped::read(file, path)?.into())
            }
            Kept::No => Source::Segment(attach(path)?.into()),
        })
    }

    pub(crate) fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        match self {
            Source::Segment(reader) => reader.snapshot().map_err(Failure::Segment),
            Source::Dump(snapshot) => Ok((**snapshot).clone()),
            Source::Recording(look) => look.seen(look.at),
        }
    }

    /// What was recorded so long before; `None` of what is no recording.
    pub(crate) fn earlier(&self, time: Duration) -> Result<Option<Snapshot>, Failure> {
        match self {
            Source::Recording(look) => look.seen(look.number(time)?).map(Some),
            Source::Segment(_) | Source::Dump(_) => Ok(None),
        }
    }

    /// What the value of one series is made of; what was kept does not tell.
    pub(crate) fn split(&mut self, name: &str, labels: &[(&str, &str)]) -> Option<Split> {
        match self {
            Source::Segment(reader) => reader.split(name, labels).ok()?,
            Source::Dump(_) | Source::Recording(_) => None,
        }
    }

    /// Whether there can be news.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Source::Segment(_))
    }

    /// Whether the path still names what is read.
    pub(crate) fn is_current(&self) -> bool {
        match self {
            Source::Segment(reader) => reader.is_current(),
            Source::Dump(_) | Source::Recording(_) => true,
        }
    }
}

impl Look {
    /// The last one of a recording that has some.
    pub(crate) fn last(tape: Tape) -> Look {
        let at = tape.end().saturating_sub(1);
        Look { tape, at }
    }

    /// The look that was the last one so long before this.
    pub(crate) fn back(self, time: Duration) -> Result<Look, Failure> {
        Ok(Look {
            at: self.number(time)?,
            tape: self.tape,
        })
    }

    fn number(&self, back: Duration) -> Result<u64, Failure> {
        let [first, now] = [self.tape.first(), self.at].map(|at| self.tape.time(at).unwrap_or(0));
        let back = u64::try_from(back.as_nanos()).unwrap_or(u64::MAX);
        let then = now.checked_sub(back).filter(|&then| then >= first);
        then.map(|then| self.tape.at(then)).ok_or_else(|| {
            let reach = clock::age(first, now);
            Failure::Message(format!("the recording goes back {reach} and no further"))
        })
    }

    fn seen(&self, number: u64) -> Result<Snapshot, Failure> {
        let frame = self.tape.frames(number).next();
        let snapshot = frame.ok_or("a look is missing".to_owned());
        let snapshot = snapshot.and_then(|frame| frame.snapshot());
        let unsound = |reason| Failure::Message(format!("the recording makes no sense: {reason}"));
        snapshot.map_err(unsound)
    }

    /// The recording, and the number of the look.
    pub(crate) fn into_tape(self) -> (Tape, u64) {
        (self.tape, self.at)
    }
}

/// What the file at `path` is by its start.
pub(crate) fn kept_at(path: &Path) -> Kept {
    match file::start(path) {
        Some(first) if tape::is_tape(&first) => Kept::Recording,
        Some(first) if dumped::is_dump(&first) => Kept::Dump,
        _ => Kept::No,
    }
}

/// The file that `given` or the environment names: itself, or the one segment in it when it is a directory.
pub(crate) fn locate(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = given.map_or_else(tachograph::default_path, Path::to_owned);
    if !path.is_dir() {
        return Ok(path);
    }
    let found = segments_in(&path);
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::Message(format!(
            "no *.seg in {}; start a writer or name another path",
            path.display()
        ))),
        several => Err(Failure::Message(format!(
            "{} segments in {}; name one:{}",
            several.len(),
            path.display(),
            listed(several)
        ))),
    }
}

/// One pass over what is at `path`: of a recording, the last look.
pub(crate) fn snapshot(path: &Path) -> Result<Snapshot, Failure> {
    Source::open(&locate(Some(path))?, None)?.snapshot()
}

fn attach(path: &Path) -> Result<Reader, Failure> {
    Reader::attach(path).map_err(|error| match error {
        Error::NotFound { .. } => Failure::Message(not_found(path)),
        other => Failure::Segment(other),
    })
}

fn not_found(path: &Path) -> String {
    let beside = path.parent().map(segments_in).unwrap_or_default();
    let advice = if beside.is_empty() {
        "; start a writer, or name the file with --segment".into()
    } else {
        format!("; beside it there is:{}", listed(&beside))
    };
    format!("no segment at {}{advice}", path.display())
}

fn segments_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    found.sort();
    found
}

fn listed(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| format!("\n  {}", path.display()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_only_segment() {
        let folder = tempfile::tempdir().unwrap();
        let locate = || locate(Some(folder.path())).map_err(|failure| failure.to_string());
        assert!(locate().unwrap_err().starts_with("no *.seg in "));
        let one = folder.path().join("one.seg");
        fs::write(&one, "").unwrap();
        fs::write(folder.path().join("other.txt"), "").unwrap();
        assert_eq!(locate().unwrap(), one);
        fs::write(folder.path().join("two.seg"), "").unwrap();
        let message = locate().unwrap_err();
        assert!(message.starts_with("2 segments in "), "{message}");
        assert!(message.contains("/one.seg\n") && message.ends_with("/two.seg"));
    }
}
