//! A reader that scrapes all the time, and one that asks an exporter every second: both see that every
//! scrape makes sense and that no value ever falls.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{self, JoinHandle};

use std::time::Duration;

use crate::http;
use crate::page::Page;
use crate::server::Server;
use tachograph::{Kind, Number, Reader, Series, Snapshot, ValueView};

/// A thread that scrapes a segment until it is finished.
#[derive(Debug)]
pub struct Scraper {
    thread: JoinHandle<Result<u64, String>>,
    stop: Sender<()>,
}

impl Scraper {
    /// Starts scraping the segment at `path`.
    pub fn start(path: &Path) -> Scraper {
        let path: PathBuf = path.into();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut reader = Reader::attach(&path).map_err(|error| error.to_string())?;
            let mut seen = HashMap::new();
            let mut scrapes = 0;
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                let snapshot = reader.snapshot().map_err(|error| error.to_string())?;
                check(&snapshot, &mut seen)?;
                scrapes += 1;
            }
            Ok(scrapes)
        });
        Scraper { thread, stop }
    }

    /// Starts asking an exporter that serves the segment at `path`, once a second.
    ///
    /// # Panics
    /// When the exporter cannot be started.
    pub fn of_pages(path: &Path) -> Scraper {
        let path: PathBuf = path.into();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let exporter = Server::exporter(&path);
            let mut before = Page::default();
            let mut scrapes = 0;
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                before = next_page(&exporter, &before)?;
                scrapes += 1;
            }
            // One more, after all is over.
            let last = next_page(&exporter, &before)?;
            match last.series_count() {
                0 => Err("an empty page".into()),
                _ => Ok(scrapes + 1),
            }
        });
        Scraper { thread, stop }
    }

    /// Stops, and says how many scrapes there were.
    ///
    /// # Errors
    /// What was wrong in one of them.
    ///
    /// # Panics
    /// When the reader panicked.
    pub fn finish(self) -> Result<u64, String> {
        // It may have ended already, with an error.
        let _ = self.stop.send(());
        self.thread.join().expect("a reader does not panic")
    }
}

fn next_page(exporter: &Server, before: &Page) -> Result<Page, String> {
    let answer = http::get(exporter.address, "/metrics", "text/plain;version=0.0.4");
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(answer.head);
    }
    let page = Page::parse(&answer.body)?;
    page.check_since(before)?;
    Ok(page)
}

/// Everything in a snapshot that may only grow, by family, label set and place.
type Seen = HashMap<(String, String, usize), u128>;

fn check(snapshot: &Snapshot, seen: &mut Seen) -> Result<(), String> {
    if !snapshot.damage.is_empty() {
        return Err(format!("damage: {:?}", snapshot.damage));
    }
    for view in snapshot.families() {
        let name = &view.family.name;
        if !matches!(view.family.kind, Kind::Counter | Kind::Histogram) {
            continue;
        }
        for series in view.series() {
            for (place, now) in growing(series.value).into_iter().enumerate() {
                let key = (name.clone(), labels(series.series), place);
                let before = seen.insert(key, now).unwrap_or(0);
                if now < before {
                    let labels = labels(series.series);
                    return Err(format!("{name}{{{labels}}} fell from {before} to {now}"));
                }
            }
        }
    }
    Ok(())
}

fn growing(value: ValueView<'_>) -> Vec<u128> {
    match value {
        ValueView::Number(Number::Unsigned(value)) => vec![value.into()],
        ValueView::Histogram(view) => {
            let counts = view.counts.iter().map(|&count| count.into());
            std::iter::once(view.sum).chain(counts).collect()
        }
        _ => Vec::new(),
    }
}

fn labels(series: &Series) -> String {
    let labels = series.labels.iter();
    let labels: Vec<String> = labels
        .map(|label| format!("{}={:?}", label.name, label.value))
        .collect();
    labels.join(",")
}
