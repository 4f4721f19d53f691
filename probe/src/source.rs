//! Which segment is meant, and the snapshot of it.

use std::fs;
use std::path::{Path, PathBuf};

use tachograph::{Error, Reader, Snapshot};

use crate::failure::Failure;

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

/// One pass over the segment that `given` names.
pub(crate) fn snapshot(given: Option<&Path>) -> Result<Snapshot, Failure> {
    let path = locate(given)?;
    attach(&path)?.snapshot().map_err(Failure::Segment)
}

pub(crate) fn attach(path: &Path) -> Result<Reader, Failure> {
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
