//! One scrape: segments are read, their families rendered, the exporter's own put behind them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tachograph::Snapshot;

use crate::log;
use crate::own::push_own_metrics;
use crate::report::{ConflictReport, Digest, Report, SegmentReport};
use crate::share::Shared;
use crate::source::{Reading, Sources};
use crate::text::TextRenderer;

/// What one scrape gave.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The exposition.
    pub(crate) text: Bytes,
    /// The health of what was read.
    pub(crate) report: Arc<Report>,
}

/// Makes pages; scrapes that overlap get the same one.
#[derive(Debug)]
pub(crate) struct Pages {
    scraper: Arc<Mutex<Scraper>>,
    shared: Arc<Shared<Page>>,
}

impl Pages {
    pub(crate) fn new(sources: Sources) -> Pages {
        Pages {
            scraper: Arc::new(Mutex::new(Scraper {
                sources,
                renderer: TextRenderer::new(),
                scrapes: 0,
                spare: Arc::default(),
                told: HashSet::new(),
            })),
            shared: Arc::new(Shared::new()),
        }
    }

    /// The page of now; `None` when it could not be made, which is a bug that was printed.
    pub(crate) async fn get(&self) -> Option<Page> {
        let scraper = Arc::clone(&self.scraper);
        self.shared.run(move || lock(&scraper).scrape()).await
    }

    /// Why no segment can be read, if so.
    pub(crate) async fn why_not_ready(&self) -> Option<String> {
        let scraper = Arc::clone(&self.scraper);
        tokio::task::spawn_blocking(move || lock(&scraper).sources.why_not_ready())
            .await
            .unwrap_or_else(|error| Some(error.to_string()))
    }
}

/// A panic leaves nothing half done that the next scrape would not do again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Scraper {
    sources: Sources,
    renderer: TextRenderer,
    scrapes: u64,
    spare: Arc<Mutex<Vec<u8>>>,
    /// Conflicts that the log has named.
    told: HashSet<(String, String)>,
}

impl Scraper {
    fn scrape(&mut self) -> Page {
        let start = Instant::now();
        let readings = self.sources.read();
        let need_label = self.sources.need_label();
        let shown: Vec<(&str, &Snapshot)> = readings
            .iter()
            .filter_map(|reading| Some((reading.label.as_str(), reading.snapshot.as_ref()?)))
            .collect();
        let segments: Vec<(Option<&str>, &Snapshot)> = shown
            .iter()
            .map(|&(label, snapshot)| (need_label.then_some(label), snapshot))
            .collect();
        let mut text = std::mem::take(&mut *lock(&self.spare));
        self.renderer.render_over(&segments, &mut text);
        self.scrapes += 1;
        let conflicts = self.renderer.conflicts().iter().map(|it| ConflictReport {
            segment: shown[it.segment].0.to_owned(),
            family: it.family.clone(),
            reason: it.reason.clone(),
        });
        let conflicts: Vec<ConflictReport> = conflicts.collect();
        for it in &conflicts {
            if self.told.insert((it.segment.clone(), it.family.clone())) {
                let (family, reason) = (&it.family, &it.reason);
                log(&format!(
                    "{family} is not shown: {reason}; rename one of the two"
                ));
            }
        }
        let report = Report {
            conflicts,
            segments: readings.iter().map(report_on).collect(),
            scrapes: self.scrapes,
            duration: start.elapsed(),
        };
        push_own_metrics(&mut text, &report);
        Page {
            text: Bytes::from_owner(Lease {
                text,
                spare: Arc::clone(&self.spare),
            }),
            report: Arc::new(report),
        }
    }
}

fn report_on(reading: &Reading) -> SegmentReport {
    SegmentReport {
        path: reading.path.clone(),
        label: reading.label.clone(),
        state: reading.state.clone(),
        digest: reading.snapshot.as_ref().map(Digest::of),
    }
}

/// The bytes of a page. They go back to the scraper when the last response is written.
struct Lease {
    text: Vec<u8>,
    spare: Arc<Mutex<Vec<u8>>>,
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *lock(&self.spare) = std::mem::take(&mut self.text);
    }
}
