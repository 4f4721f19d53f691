//! Where a command reads: a live segment, or a dump of one.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tachograph::{Error, Reader, Snapshot, Split};

use crate::dumped;
use crate::failure::Failure;

/// A segment, or what was kept of one.
pub(crate) enum Source {
    Segment(Box<Reader>),
    Dump(Box<Snapshot>),
}

impl Source {
    /// What is at `path`; a dump on standard input where that is `-`.
    pub(crate) fn open(path: &Path) -> Result<Source, Failure> {
        if path == Path::new("-") {
            let dump = dumped::read(io::stdin().lock(), Path::new("standard input"))?;
            return Ok(Source::Dump(dump.into()));
        }
        match dump_at(path) {
            Some(file) => Ok(Source::Dump(dumped::read(file, path)?.into())),
            None => Ok(Source::Segment(attach(path)?.into())),
        }
    }

    pub(crate) fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        match self {
            Source::Segment(reader) => reader.snapshot().map_err(Failure::Segment),
            Source::Dump(snapshot) => Ok((**snapshot).clone()),
        }
    }

    /// What the value of one series is made of; a dump does not tell.
    pub(crate) fn split(&mut self, name: &str, labels: &[(&str, &str)]) -> Option<Split> {
        match self {
            Source::Segment(reader) => reader.split(name, labels).ok()?,
            Source::Dump(_) => None,
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
            Source::Dump(_) => true,
        }
    }
}

/// The file at `path`, at its start, if it is a dump.
fn dump_at(path: &Path) -> Option<fs::File> {
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut first = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(16).read_to_end(&mut first).ok()?;
    if !dumped::is_dump(&first) {
        return None;
    }
    fs::File::open(path).ok()
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

/// One pass over what `given` or the environment names.
pub(crate) fn snapshot(given: Option<&Path>) -> Result<Snapshot, Failure> {
    Source::open(&locate(given)?)?.snapshot()
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
