//! A segment looked at again and again, through replacement and absence.

use std::path::PathBuf;

use tachograph::{Reader, Snapshot, Split};

use crate::failure::Failure;
use crate::source;

/// Keeps attached to whatever segment is at a path.
pub(crate) struct Follower {
    path: PathBuf,
    reader: Option<Reader>,
    /// What was said last, not to say it at every look.
    trouble: Option<String>,
}

impl Follower {
    pub(crate) fn attach(path: PathBuf) -> Result<Follower, Failure> {
        let reader = source::attach(&path)?;
        Ok(Follower {
            path,
            reader: Some(reader),
            trouble: None,
        })
    }

    /// A snapshot if there is a segment, and what a person should know of it.
    pub(crate) fn look(&mut self) -> (Option<Snapshot>, Option<String>) {
        if let Some(reader) = &mut self.reader
            && reader.is_current()
            && let Ok(snapshot) = reader.snapshot()
        {
            return (Some(snapshot), None);
        }
        self.reader = None;
        let attached = source::attach(&self.path).and_then(|mut reader| {
            let snapshot = reader.snapshot()?;
            Ok((reader, snapshot))
        });
        match attached {
            Ok((reader, snapshot)) => {
                self.reader = Some(reader);
                self.trouble = None;
                let message = format!(
                    "attached again: there is another segment at {}",
                    self.path.display()
                );
                (Some(snapshot), Some(message))
            }
            Err(failure) => {
                let trouble = failure.to_string();
                let is_news = self.trouble.as_ref() != Some(&trouble);
                self.trouble = Some(trouble.clone());
                (None, is_news.then(|| format!("waiting: {trouble}")))
            }
        }
    }

    /// What the value of one series is made of, while there is a segment.
    pub(crate) fn split(&mut self, name: &str, labels: &[(&str, &str)]) -> Option<Split> {
        self.reader.as_mut()?.split(name, labels).ok()?
    }

    /// Why there was nothing to look at, at the last look.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}
