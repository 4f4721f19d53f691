//! One scrape: segments are read, their families rendered, the exporter's own put behind them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tachograph::Snapshot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::arrange::Arranger;
use crate::config::{Config, PageOptions};
use crate::escaping::Escaping;
use crate::json;
use crate::log;
use crate::negotiate::{Coding, Format};
use crate::openmetrics;
use crate::own::push_own_metrics;
use crate::pack::pack;
use crate::plan::{Cause, Conflict};
use crate::processes::Kernel;
use crate::protobuf::ProtobufRenderer;
use crate::report::{ConflictReport, Digest, Refusals, Report, SegmentReport};
use crate::share::Shared;
use crate::source::{Reading, Sources};
use crate::status::Status;
use crate::text::{Syntax, TextRenderer};
use crate::wanted::Wanted;

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

/// What a page is written in, how it is packed, and what is on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    pub(crate) format: Format,
    pub(crate) escaping: Escaping,
    pub(crate) coding: Coding,
    pub(crate) wanted: Wanted,
}

/// Why there is no page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// So many scrapes are at work already.
    Busy(u32),
    /// It was not ready in this time.
    Late(Duration),
    /// It could not be made, which is a bug that was printed.
    Failed,
}

/// Makes pages; scrapes of one form that overlap get the same one.
#[derive(Debug)]
pub(crate) struct Pages {
    scraper: Arc<Mutex<Scraper>>,
    shared: Mutex<HashMap<Form, Arc<Shared<Page>>>>,
    scrapes_max: u32,
    permits: Arc<Semaphore>,
    refusals: Arc<Mutex<Refusals>>,
}

impl Pages {
    /// Pages of `sources`, as `config` says.
    pub(crate) fn new(sources: Sources, config: &Config, status: Arc<Status>) -> Pages {
        let scraper = Scraper::new(sources, config, status);
        let scrapes_max = config.limits.max_scrapes;
        Pages {
            refusals: Arc::clone(&scraper.refusals),
            scraper: Arc::new(Mutex::new(scraper)),
            shared: Mutex::default(),
            scrapes_max,
            permits: Arc::new(Semaphore::new(scrapes_max as usize)),
        }
    }

    /// The page of now, if it is ready within `patience`. A page that is late is made to its end all the same.
    ///
    /// A scrape is at work until the last byte of its page is dropped.
    pub(crate) async fn get(
        &self,
        form: Form,
        patience: Option<Duration>,
    ) -> Result<Page, Refusal> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            lock(&self.refusals).busy += 1;
            return Err(Refusal::Busy(self.scrapes_max));
        };
        let page = self.made(form);
        let page = match patience {
            None => page.await,
            Some(patience) => tokio::time::timeout(patience, page).await.map_err(|_| {
                lock(&self.refusals).late += 1;
                Refusal::Late(patience)
            })?,
        };
        let page = page.ok_or(Refusal::Failed)?;
        Ok(Page {
            body: Bytes::from_owner(Permitted {
                body: page.body,
                _permit: permit,
            }),
            report: page.report,
        })
    }

    /// The page that is being made, or else a new one, whatever else is at work.
    pub(crate) async fn made(&self, form: Form) -> Option<Page> {
        let shared = {
            let mut shared = lock(&self.shared);
            // What nobody waits for any more is not kept: there is no end of forms.
            shared.retain(|_, it| Arc::strong_count(it) > 1);
            Arc::clone(shared.entry(form.clone()).or_default())
        };
        let scraper = Arc::clone(&self.scraper);
        let work = move || {
            let page = lock(&scraper).scrape(form.format, form.escaping, &form.wanted);
            Page {
                body: pack(page.body, form.coding),
                report: page.report,
            }
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

/// The bytes of a page for one scrape, which is at work as long as they are there.
struct Permitted {
    body: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Permitted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Renderers for schemes of names, each with the last page that it had a part in. There is one, unless some name needs
/// escaping.
#[derive(Debug)]
struct Renderers<R>(Vec<(R, u64)>);

impl<R> Default for Renderers<R> {
    fn default() -> Self {
        Renderers(Vec::new())
    }
}

impl<R> Renderers<R> {
    /// The one that `serves`, or else a new one.
    fn one(&mut self, page: u64, serves: impl Fn(&R) -> bool, new: impl FnOnce() -> R) -> &mut R {
        let at = self.0.iter().position(|(renderer, _)| serves(renderer));
        let at = at.unwrap_or_else(|| {
            self.0.push((new(), page));
            self.0.len() - 1
        });
        let (renderer, used) = &mut self.0[at];
        *used = page;
        renderer
    }

    fn forget_unused(&mut self, page: u64) {
        self.0.retain(|(_, used)| page - used <= UNUSED_MAX);
    }
}

#[derive(Debug)]
struct Scraper {
    sources: Sources,
    options: PageOptions,
    status: Arc<Status>,
    /// For both text formats.
    text: Renderers<TextRenderer>,
    protobuf: Renderers<ProtobufRenderer>,
    scrapes: u64,
    spare: Arc<Mutex<Vec<u8>>>,
    /// Conflicts that the log has named.
    told: HashSet<(String, String, Cause)>,
    arranger: Arranger,
    refusals: Arc<Mutex<Refusals>>,
    kernel: Kernel,
}

impl Scraper {
    fn new(sources: Sources, config: &Config, status: Arc<Status>) -> Scraper {
        Scraper {
            sources,
            options: config.pages,
            status,
            text: Renderers::default(),
            protobuf: Renderers::default(),
            scrapes: 0,
            spare: Arc::default(),
            told: HashSet::new(),
            arranger: Arranger::new(config.series.clone()),
            refusals: Arc::default(),
            kernel: Kernel::new(),
        }
    }

    fn scrape(&mut self, format: Format, escaping: Escaping, wanted: &Wanted) -> Page {
        let start = Instant::now();
        let readings = self.sources.read();
        let mut body = std::mem::take(&mut *lock(&self.spare));
        let conflicts = if format == Format::Json {
            json::render(&readings, wanted, &mut body);
            Vec::new()
        } else {
            self.render(format, escaping, wanted, &readings, &mut body)
        };
        self.scrapes += 1;
        self.text.forget_unused(self.scrapes);
        self.protobuf.forget_unused(self.scrapes);
        let report = Report {
            conflicts,
            segments: readings.iter().map(|it| self.report_on(it)).collect(),
            taken: taken(&readings),
            front: self.status.report(),
            pushes: self.status.pushes(),
            scrapes: self.scrapes,
            duration: start.elapsed(),
            refusals: *lock(&self.refusals),
        };
        push_own_metrics(&mut body, &report, format, wanted);
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

    fn report_on(&self, reading: &Reading) -> SegmentReport {
        let usages = |snapshot: &Snapshot| match self.options.process_metrics {
            true => self.kernel.usages(snapshot),
            false => Vec::new(),
        };
        SegmentReport {
            path: reading.path.clone(),
            label: reading.label.clone(),
            state: reading.state.clone(),
            digest: reading.snapshot.as_ref().map(Digest::of),
            usages: reading.snapshot.as_ref().map(usages).unwrap_or_default(),
        }
    }

    /// Renders the families of all segments that are `wanted`; tells which could not be shown.
    fn render(
        &mut self,
        format: Format,
        escaping: Escaping,
        wanted: &Wanted,
        readings: &[Reading],
        body: &mut Vec<u8>,
    ) -> Vec<ConflictReport> {
        let need_label = self.sources.need_label();
        let shown: Vec<(&str, &Snapshot)> = readings
            .iter()
            .filter_map(|reading| Some((reading.label.as_str(), reading.snapshot.as_ref()?)))
            .collect();
        let arranged = self.arranger.arrange(&shown);
        let (need_label, segments) = match &arranged {
            None => (need_label, shown.clone()),
            Some(arranged) => {
                let snapshots = arranged.snapshots.iter();
                let snapshots = snapshots.map(|(first, snapshot)| (shown[*first].0, snapshot));
                (need_label && arranged.by_segment, snapshots.collect())
            }
        };
        let segments: Vec<(Option<&str>, &Snapshot)> = segments
            .into_iter()
            .map(|(label, snapshot)| (need_label.then_some(label), snapshot))
            .collect();
        let conflicts: &[Conflict] = if format == Format::Protobuf {
            let serves = |renderer: &ProtobufRenderer| renderer.serves(escaping);
            let renderer = self
                .protobuf
                .one(self.scrapes, serves, ProtobufRenderer::default);
            renderer.render_over(&segments, escaping, wanted, body);
            renderer.conflicts()
        } else {
            let syntax = match format {
                Format::OpenMetrics => Syntax::OpenMetrics,
                _ => Syntax::Prometheus,
            };
            let serves = |renderer: &TextRenderer| renderer.serves(escaping);
            let new = || TextRenderer::with_created(self.options.openmetrics_created);
            let renderer = self.text.one(self.scrapes, serves, new);
            renderer.render_as(syntax, escaping, &segments, wanted, body);
            renderer.conflicts()
        };
        let merged = arranged.iter().flat_map(|it| &it.conflicts);
        let conflicts = conflicts.iter().chain(merged).map(|it| ConflictReport {
            segment: shown[it.segment].0.to_owned(),
            family: it.family.clone(),
            cause: it.cause,
            reason: it.reason.clone(),
        });
        let conflicts: Vec<ConflictReport> = conflicts.collect();
        for it in &conflicts {
            let (segment, family, cause) = (it.segment.clone(), it.family.clone(), it.cause);
            if self.told.insert((segment, family, cause)) {
                let (family, reason) = (&it.family, &it.reason);
                log(&format!(
                    "{family} is not shown, or not all of it: {reason}; rename one of the two"
                ));
            }
        }
        conflicts
    }
}

/// The families of the segments that are called as some of the exporter's own would be.
fn taken(readings: &[Reading]) -> Vec<String> {
    let snapshots = readings.iter().filter_map(|it| it.snapshot.as_ref());
    let families = snapshots.flat_map(|it| &it.directory.families);
    let names = families.map(|family| &family.name);
    names
        .filter(|name| name.starts_with("process_"))
        .cloned()
        .collect()
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

    fn scrape(scraper: &mut Scraper, format: Format) {
        scraper.scrape(format, Escaping::default(), &Wanted::default());
    }

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    }

    fn two_scrapes() -> Config {
        let mut config = Config::default();
        config.limits.max_scrapes = 2;
        config
    }

    fn form(query: &str) -> Form {
        Form {
            format: Format::Text,
            escaping: Escaping::default(),
            coding: Coding::Identity,
            wanted: Wanted::in_query(query),
        }
    }

    #[test]
    fn a_page_is_refused_when_it_is_late_or_one_too_many() {
        let config = two_scrapes();
        let pages = Pages::new(Sources::new(Vec::new()), &config, Arc::default());
        let runtime = runtime();
        let patience = Duration::from_millis(5);
        let busy = lock(&pages.scraper);
        let late = runtime.block_on(pages.get(form(""), Some(patience)));
        assert_eq!(late.unwrap_err(), Refusal::Late(patience));
        drop(busy);
        runtime.block_on(async {
            // A page that is held is a scrape at work.
            let held = [
                pages.get(form(""), None).await,
                pages.get(form(""), None).await,
            ];
            let refused = pages.get(form(""), None).await;
            assert_eq!(refused.unwrap_err(), Refusal::Busy(2));
            drop(held);
            let page = pages.get(form(""), None).await.unwrap();
            assert_eq!(page.report.refusals, Refusals { busy: 1, late: 1 });
        });
    }

    #[test]
    fn forms_that_nobody_waits_for_are_not_kept() {
        let config = two_scrapes();
        let pages = Pages::new(Sources::new(Vec::new()), &config, Arc::default());
        runtime().block_on(async {
            for at in 0..100 {
                pages
                    .get(form(&format!("name[]=a{at}")), None)
                    .await
                    .unwrap();
                assert!(lock(&pages.shared).len() <= 2);
            }
        });
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let mut scraper =
            Scraper::new(Sources::new(Vec::new()), &Config::default(), Arc::default());
        scrape(&mut scraper, Format::OpenMetrics);
        scrape(&mut scraper, Format::Protobuf);
        for _ in 0..UNUSED_MAX {
            assert!(scraper.text.0.len() == 1 && scraper.protobuf.0.len() == 1);
            scrape(&mut scraper, Format::Text);
        }
        scrape(&mut scraper, Format::Json);
        assert!(scraper.text.0.len() == 1 && scraper.protobuf.0.is_empty());
        for _ in 0..=UNUSED_MAX {
            scrape(&mut scraper, Format::Json);
        }
        assert!(scraper.text.0.is_empty());
        scrape(&mut scraper, Format::Protobuf);
        assert!(scraper.protobuf.0.len() == 1);
    }
}
