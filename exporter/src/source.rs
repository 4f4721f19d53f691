//! Where the segments are, and whether they can be read.
//!
//! Nothing happens between two requests. Each request looks anew: a folder is listed, a segment that was
//! absent is attached when it has appeared, one that was replaced is attached again. A change of state is
//! logged once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph::{Error, Reader, Snapshot};

use crate::glob::Glob;
use crate::log;
use crate::report::State;

/// The segments to serve.
#[derive(Debug)]
pub struct Sources {
    given: Vec<PathBuf>,
    by_process: Arc<[Glob]>,
    segments: Vec<Segment>,
}

/// One segment that is served or waited for.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    reader: Option<Reader>,
    /// `None` before the first look.
    state: Option<State>,
}

/// What one look at a segment gave.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) path: PathBuf,
    pub(crate) label: String,
    pub(crate) state: State,
    pub(crate) snapshot: Option<Snapshot>,
}

impl Sources {
    /// Segments at `given`: files, or folders whose `*.seg` files are all meant.
    pub fn new(given: Vec<PathBuf>) -> Sources {
        Sources {
            given,
            by_process: Arc::default(),
            segments: Vec::new(),
        }
    }

    /// The same, with gauges and state sets of these names told process by process.
    #[must_use]
    pub fn by_process(mut self, names: &[Glob]) -> Sources {
        self.by_process = names.into();
        self
    }

    /// Whether series need a label that tells the segments apart.
    ///
    /// A folder needs it even with one segment in it, so that no series changes when another appears.
    pub(crate) fn need_label(&self) -> bool {
        self.given.len() > 1 || self.given.iter().any(|path| path.is_dir())
    }

    /// Why no segment can be read, if so.
    pub(crate) fn why_not_ready(&mut self) -> Option<String> {
        self.refresh();
        if self.segments.iter_mut().any(Segment::is_readable) {
            return None;
        }
        let reasons = self.segments.iter().map(|segment| match &segment.state {
            Some(state) => format!("{}: {state}\n", segment.path.display()),
            None => format!("{}: not looked at\n", segment.path.display()),
        });
        let empty = self.given.iter().filter(|path| path.is_dir());
        let empty = empty.map(|path| format!("{}: a folder to look into\n", path.display()));
        Some(reasons.chain(empty).collect())
    }

    /// Reads every segment that can be read.
    pub(crate) fn read(&mut self) -> Vec<Reading> {
        self.refresh();
        let labels = labels(self.segments.iter().map(|it| it.path.as_path()));
        let readings = self.segments.iter_mut().zip(labels);
        readings
            .map(|(segment, label)| {
                let snapshot = segment.snapshot();
                Reading {
                    path: segment.path.clone(),
                    label,
                    state: segment.state.clone().unwrap_or(State::Absent),
                    snapshot,
                }
            })
            .collect()
    }

    /// Lists the folders and attaches what can be attached.
    fn refresh(&mut self) {
        let paths = listed(&self.given);
        let mut known = std::mem::take(&mut self.segments);
        for path in paths {
            let segment = match known.iter().position(|it| it.path == path) {
                Some(at) => known.swap_remove(at),
                None => Segment {
                    path,
                    reader: None,
                    state: None,
                },
            };
            self.segments.push(segment);
        }
        for gone in known {
            log(&format!("{}: gone from its folder", gone.path.display()));
        }
        for segment in &mut self.segments {
            segment.refresh(&self.by_process);
        }
    }
}

impl Segment {
    /// Attaches, unless what is attached is still what is at the path.
    fn refresh(&mut self, by_process: &Arc<[Glob]>) {
        if self.reader.as_ref().is_some_and(Reader::is_current) {
            return;
        }
        let had_one = self.reader.take().is_some();
        match Reader::attach(&self.path) {
            Ok(reader) => {
                let names = Arc::clone(by_process);
                let is_meant = move |name: &str| names.iter().any(|glob| glob.fits(name));
                self.reader = Some(reader.by_process(is_meant));
                if had_one && self.state == Some(State::Attached) {
                    log(&format!(
                        "{}: was replaced; attached again",
                        self.path.display()
                    ));
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Whether the last look at it, or one now, gave its values.
    fn is_readable(&mut self) -> bool {
        (self.reader.is_some() && self.state == Some(State::Attached)) || self.snapshot().is_some()
    }

    fn snapshot(&mut self) -> Option<Snapshot> {
        match self.reader.as_mut()?.snapshot() {
            Ok(snapshot) => {
                self.enter(State::Attached);
                Some(snapshot)
            }
            Err(error) => {
                self.reader = None;
                self.fail(&error);
                None
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        self.enter(match error {
            Error::NotFound { .. } if self.was_attached() => State::Removed,
            Error::NotFound { .. } => State::Absent,
            other => State::Unusable(other.to_string()),
        });
    }

    fn was_attached(&self) -> bool {
        matches!(self.state, Some(State::Attached | State::Removed))
    }

    fn enter(&mut self, state: State) {
        if self.state.as_ref() != Some(&state) {
            match &state {
                // The reason names the path itself.
                State::Unusable(reason) => log(reason),
                state => log(&format!("{}: {state}", self.path.display())),
            }
            self.state = Some(state);
        }
    }
}

/// The files that `given` stands for: each once, folders replaced by the segments in them, by name.
fn listed(given: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in given {
        // What cannot be listed is attached to as if it were a segment, and the error says why not.
        let found = segments_in(path).unwrap_or_else(|_| vec![path.clone()]);
        for path in found {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

fn segments_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A label for each path: its file stem, behind as many folders as it takes to tell it from the others.
fn labels<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<String> {
    let paths: Vec<&Path> = paths.collect();
    let label = |path: &Path| {
        (0..path.components().count())
            .map(|folders| stem_with_folders(path, folders))
            .find(|label| {
                let folders = label.matches('/').count();
                let same = paths
                    .iter()
                    .filter(|&&other| other == path || stem_with_folders(other, folders) == *label);
                same.count() == 1
            })
            .unwrap_or_else(|| path.display().to_string())
    };
    paths.iter().map(|path| label(path)).collect()
}

/// The file stem of `path` behind its last `folders` folders.
fn stem_with_folders(path: &Path, folders: usize) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    let mut label = stem.to_string_lossy().into_owned();
    for folder in path.ancestors().skip(1).take(folders) {
        if let Some(name) = folder.file_name() {
            label = format!("{}/{label}", name.to_string_lossy());
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use tachograph::{GaugeMode, SegmentOptions};

    use super::*;
    use crate::text::TextRenderer;

    fn labels_of(paths: &[&str]) -> Vec<String> {
        labels(paths.iter().map(Path::new))
    }

    #[test]
    fn labels_are_stems_where_they_tell_apart() {
        assert_eq!(labels_of(&["/a/web.seg", "/b/jobs.seg"]), ["web", "jobs"]);
        assert_eq!(
            labels_of(&["/run/a/web.seg", "/run/b/web.seg", "jobs.seg"]),
            ["a/web", "b/web", "jobs"]
        );
        assert_eq!(
            labels_of(&["/1/x/web.seg", "/2/x/web.seg", "/2/y/web.seg"]),
            ["1/x/web", "2/x/web", "y/web"]
        );
        assert_eq!(
            labels_of(&["/a/web.seg", "/a/web.old"]),
            ["/a/web.seg", "/a/web.old"]
        );
        assert_eq!(labels_of(&["web.seg", "/web.seg"]), ["web.seg", "/web.seg"]);
    }

    #[test]
    fn gauges_of_some_names_are_told_process_by_process() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("a.seg");
        let writer = SegmentOptions::new().path(&path).attach().unwrap();
        for mode in GaugeMode::ALL {
            for family in ["queue", "stock"] {
                let name = format!("{family}_{}", mode.name().replace('-', "_"));
                let gauge = writer.gauge_f64(&name, "").mode(mode).register().unwrap();
                gauge.set(1.5);
            }
        }
        let states = writer.state_set("queue_state", "", &["open", "closed"]);
        states.register().unwrap().set(1);
        let names = ["queue_*".parse().unwrap()];
        let mut sources = Sources::new(vec![path]).by_process(&names);
        let readings = sources.read();
        let snapshot = readings[0].snapshot.as_ref().unwrap();
        let mut renderer = TextRenderer::new();
        let page = renderer.render(&[(None, snapshot)]);
        let page = String::from_utf8_lossy(page);
        let process = format!("pid=\"{}\",slot=\"0\"", std::process::id());
        for mode in GaugeMode::ALL {
            let name = mode.name().replace('-', "_");
            let each = format!("{{{process}}}");
            let (queue, stock) = match mode {
                GaugeMode::Each => (&*each, &*each),
                mode if mode.is_living() => (&*each, ""),
                _ => ("", ""),
            };
            assert!(
                page.contains(&format!("\nqueue_{name}{queue} 1.5\n")),
                "{page}"
            );
            assert!(
                page.contains(&format!("\nstock_{name}{stock} 1.5\n")),
                "{page}"
            );
        }
        let closed = format!("queue_state{{queue_state=\"closed\",{process}}} 1\n");
        assert!(page.contains(&closed), "{page}");
    }

    #[test]
    fn folders_stand_for_their_segments() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.seg", "a.seg", "notes.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let absent = folder.path().join("absent.seg");
        let given = [
            absent.clone(),
            folder.path().to_owned(),
            folder.path().join("a.seg"),
        ];
        let expected = [
            absent,
            folder.path().join("a.seg"),
            folder.path().join("b.seg"),
        ];
        assert_eq!(listed(&given), expected);
    }
}
