//! One scrape: segments are read, their families rendered, the exporter's own put behind them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tachograph::Snapshot;

use crate::config::PageOptions;
use crate::gzip;
use crate::json;
use crate::log;
use crate::negotiate::{Coding, Format};
use crate::openmetrics;
use crate::own::push_own_metrics;
use crate::plan::Conflict;
use crate::protobuf::ProtobufRenderer;
use crate::report::{ConflictReport, Digest, Report, SegmentReport};
use crate::share::Shared;
use crate::source::{Reading, Sources};
use crate::status::Status;
use crate::text::{Syntax, TextRenderer};

/// What one scrape gave.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The exposition.
    pub(crate) body: Bytes,
    /// The health of what was read.
    pub(crate) report: Arc<Report>,
}

/// A renderer keeps what stays the same for so many pages in which it has no part.
const UNUSED_MAX: u64 = 100;

/// What a page is written in, and how it is packed.
type Form = (Format, Coding);

/// Makes pages; scrapes of one form that overlap get the same one.
#[derive(Debug)]
pub(crate) struct Pages {
    scraper: Arc<Mutex<Scraper>>,
    shared: Mutex<HashMap<Form, Arc<Shared<Page>>>>,
}

impl Pages {
    /// Pages of `sources`, as `options` say.
    pub(crate) fn new(sources: Sources, options: PageOptions, status: Arc<Status>) -> Pages {
        Pages {
            scraper: Arc::new(Mutex::new(Scraper::new(sources, options, status))),
            shared: Mutex::default(),
        }
    }

    /// The page of now; `None` when it could not be made, which is a bug that was printed.
    pub(crate) async fn get(&self, format: Format, coding: Coding) -> Option<Page> {
        let scraper = Arc::clone(&self.scraper);
        let shared = Arc::clone(lock(&self.shared).entry((format, coding)).or_default());
        let work = move || {
            let page = lock(&scraper).scrape(format);
            page.packed(coding)
        };
        shared.run(work).await
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

impl Page {
    fn packed(self, coding: Coding) -> Page {
        match coding {
            Coding::Identity => self,
            Coding::Gzip => Page {
                body: gzip::pack(&self.body).into(),
                ..self
            },
        }
    }
}

#[derive(Debug)]
struct Scraper {
    sources: Sources,
    options: PageOptions,
    status: Arc<Status>,
    /// Both text formats, and the last page that was in one.
    text: Option<(TextRenderer, u64)>,
    /// The same for protobuf.
    protobuf: Option<(ProtobufRenderer, u64)>,
    scrapes: u64,
    spare: Arc<Mutex<Vec<u8>>>,
    /// Conflicts that the log has named.
    told: HashSet<(String, String)>,
}

impl Scraper {
    fn new(sources: Sources, options: PageOptions, status: Arc<Status>) -> Scraper {
        Scraper {
            sources,
            options,
            status,
            text: None,
            protobuf: None,
            scrapes: 0,
            spare: Arc::default(),
            told: HashSet::new(),
        }
    }

    fn scrape(&mut self, format: Format) -> Page {
        let start = Instant::now();
        let readings = self.sources.read();
        let mut body = std::mem::take(&mut *lock(&self.spare));
        let conflicts = if format == Format::Json {
            json::render(&readings, &mut body);
            Vec::new()
        } else {
            self.render(format, &readings, &mut body)
        };
        self.scrapes += 1;
        let is_old = |used: u64| self.scrapes - used > UNUSED_MAX;
        self.text.take_if(|(_, used)| is_old(*used));
        self.protobuf.take_if(|(_, used)| is_old(*used));
        let report = Report {
            conflicts,
            segments: readings.iter().map(report_on).collect(),
            front: self.status.report(),
            pushes: self.status.pushes(),
            scrapes: self.scrapes,
            duration: start.elapsed(),
        };
        push_own_metrics(&mut body, &report, format);
        if format == Format::OpenMetrics {
            body.extend_from_slice(openmetrics::END);
        }
        Page {
            body: Bytes::from_owner(Lease {
                body,
                spare: Arc::clone(&self.spare),
            }),
            report: Arc::new(report),
        }
    }

    /// Renders the families of all segments; tells which could not be shown.
    fn render(
        &mut self,
        format: Format,
        readings: &[Reading],
        body: &mut Vec<u8>,
    ) -> Vec<ConflictReport> {
        let need_label = self.sources.need_label();
        let shown: Vec<(&str, &Snapshot)> = readings
            .iter()
            .filter_map(|reading| Some((reading.label.as_str(), reading.snapshot.as_ref()?)))
            .collect();
        let segments: Vec<(Option<&str>, &Snapshot)> = shown
            .iter()
            .map(|&(label, snapshot)| (need_label.then_some(label), snapshot))
            .collect();
        let conflicts: &[Conflict] = if format == Format::Protobuf {
            let (renderer, used) = self.protobuf.get_or_insert_default();
            *used = self.scrapes;
            renderer.render_over(&segments, body);
            renderer.conflicts()
        } else {
            let syntax = match format {
                Format::OpenMetrics => Syntax::OpenMetrics,
                _ => Syntax::Prometheus,
            };
            let new = || {
                (
                    TextRenderer::with_created(self.options.openmetrics_created),
                    0,
                )
            };
            let (renderer, used) = self.text.get_or_insert_with(new);
            *used = self.scrapes;
            renderer.render_as(syntax, &segments, body);
            renderer.conflicts()
        };
        let conflicts = conflicts.iter().map(|it| ConflictReport {
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
        conflicts
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
    body: Vec<u8>,
    spare: Arc<Mutex<Vec<u8>>>,
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *lock(&self.spare) = std::mem::take(&mut self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let mut scraper = Scraper::new(
            Sources::new(Vec::new()),
            PageOptions::default(),
            Arc::default(),
        );
        scraper.scrape(Format::OpenMetrics);
        scraper.scrape(Format::Protobuf);
        for _ in 0..UNUSED_MAX {
            assert!(scraper.text.is_some() && scraper.protobuf.is_some());
            scraper.scrape(Format::Text);
        }
        scraper.scrape(Format::Json);
        assert!(scraper.text.is_some() && scraper.protobuf.is_none());
        for _ in 0..=UNUSED_MAX {
            scraper.scrape(Format::Json);
        }
        assert!(scraper.text.is_none());
        scraper.scrape(Format::Protobuf);
        assert!(scraper.protobuf.is_some());
    }
}
