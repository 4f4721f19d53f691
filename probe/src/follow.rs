//! A segment looked at again and again, through replacement and absence.

use std::path::PathBuf;
use std::time::Duration;

use tachograph::{Snapshot, Split};

use crate::context::Context;
use crate::failure::Failure;
use crate::source::{self, Source};

/// Keeps attached to whatever segment is at a path.
pub(crate) struct Follower {
    path: PathBuf,
    back: Option<Duration>,
    source: Option<Source>,
    /// What was said last, not to say it at every look.
    trouble: Option<String>,
}

impl Follower {
    pub(crate) fn attach(context: &Context) -> Result<Follower, Failure> {
        let path = source::locate(context.segment.as_deref())?;
        let source = Source::open(&path, context.back)?;
        Ok(Follower {
            path,
            back: context.back,
            source: Some(source),
            trouble: None,
        })
    }

    /// Whether there can be news: a dump does not change, nor does a recording.
    pub(crate) fn is_live(&self) -> bool {
        self.source.as_ref().is_none_or(Source::is_live)
    }

    /// A snapshot if there is a segment, and what a person should know of it.
    pub(crate) fn look(&mut self) -> (Option<Snapshot>, Option<String>) {
        if let Some(source) = &mut self.source
            && source.is_current()
            && let Ok(snapshot) = source.snapshot()
        {
            return (Some(snapshot), None);
        }
        self.source = None;
        let opened = Source::open(&self.path, self.back).and_then(|mut source| {
            let snapshot = source.snapshot()?;
            Ok((source, snapshot))
        });
        match opened {
            Ok((source, snapshot)) => {
                self.source = Some(source);
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
        self.source.as_mut()?.split(name, labels)
    }

    /// What a recording has of an interval before; `None` elsewhere, and at its beginning.
    pub(crate) fn earlier(&self, interval: Duration) -> Option<Snapshot> {
        self.source.as_ref()?.earlier(interval).ok()?
    }

    /// Why there was nothing to look at, at the last look.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}
