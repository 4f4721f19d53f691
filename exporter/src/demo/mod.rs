//! The demo: four processes do real work on text files and record it, and this one serves it.
//!
//! A supervisor lists text files and hands them to four worker processes, which
//! read, cut into words, count and hash them, and record all of that in a private segment. The exporter
//! serves the segment meanwhile. A worker that dies is replaced.
//!
//! With a number of passes the demo checks itself: what the segment holds at the end must be what
//! other code counts in the same files. A worker may be killed at any moment; the documents
//! that were in flight are named, and the account says exactly what may be missing of them.

mod account;
mod crew;
mod folder;
mod metrics;
mod protocol;
mod report;
mod serving;
mod supervisor;
mod totals;
mod truth;
mod walk;
mod worker;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tachograph::{Metrics as _, Reader, SegmentOptions, Writer};

use crate::config::Config;
use account::Account;
use crew::{Crew, Event, Start};
use folder::Folder;
use metrics::{SupervisorMetrics, WorkerMetrics};
use report::say;
use serving::Serving;
use supervisor::{End, Supervisor};
use truth::Truth;
use walk::Document;

/// Why the demo cannot go on, in words for its user.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Between two passes of a demo without an end.
const REST: Duration = Duration::from_millis(250);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder whose text files are worked on.
    pub input: PathBuf,
    /// How often; `None` until it is stopped.
    pub passes: Option<u64>,
    /// How the exporter serves; what it serves is the demo's affair.
    pub config: Config,
}

/// What a run has in common, whether it ends by itself or not. Fields are dropped in this order.
struct Stage {
    serving: Serving,
    metrics: SupervisorMetrics,
    _writer: Writer,
    segment: PathBuf,
    _folder: Folder,
}

/// Runs the demo. Gives whether everything that was to be checked has been checked and holds.
///
/// # Errors
/// When the segment, the server or the workers cannot be had, or there is nothing to work on.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let (sender, events) = mpsc::channel();
    let stage = set_up(options, sender.clone())?;
    match options.passes {
        Some(passes) => run_passes(options, passes, &stage, sender, events),
        None => run_on(options, &stage, sender, events).map(|()| true),
    }
}

/// Runs this process as one of the demo's workers, on its stdin and stdout.
///
/// # Errors
/// When the supervisor's orders make no sense or the segment cannot be attached.
pub fn run_worker() -> Result<(), Failure> {
    // The end of its input ends a worker too; this is for one that is stopped just then.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    nix::sys::prctl::set_name(c"tachograph-demo")?;
    match worker::run(io::stdin().lock(), io::stdout().lock()) {
        // Nobody hears the answers: the supervisor has ended, and this ends with it.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        result => result,
    }
}

fn is_broken_pipe(error: &Failure) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn set_up(options: &Options, events: Sender<Event>) -> Result<Stage, Failure> {
    let parent = Path::new(folder::SHARED_MEMORY);
    for left_behind in folder::sweep(parent) {
        say(&format!(
            "removed {}, left behind by a demo that was killed",
            left_behind.display()
        ));
    }
    let folder = Folder::create(parent)
        .map_err(|error| format!("cannot make a folder in {}: {error}", parent.display()))?;
    let segment = folder.path().join("demo.seg");
    let writer = SegmentOptions::new()
        .path(&segment)
        .process_name("demo-supervisor")
        .attach()?;
    let metrics = SupervisorMetrics::register(&writer)?;
    // The workers' metrics are there, at zero, before the first worker is.
    WorkerMetrics::register(&writer)?;
    let serving = Serving::start(&options.config, segment.clone(), events)?;
    Ok(Stage {
        serving,
        metrics,
        _writer: writer,
        segment,
        _folder: folder,
    })
}

/// Works on the files as they are, again and again, until a signal comes.
fn run_on(
    options: &Options,
    stage: &Stage,
    sender: Sender<Event>,
    events: Receiver<Event>,
) -> Result<(), Failure> {
    let mut documents = first_list(&options.input)?;
    let crew = hire(stage, true, sender)?;
    say(&format!(
        "tachograph demo: 4 processes read the {} files below {} again and again.",
        documents.len(),
        options.input.display()
    ));
    greet(stage, &crew);
    let mut supervisor = Supervisor::new(crew, events, &stage.metrics, None);
    while supervisor.pass(&documents)? == End::Done && supervisor.rest(REST)? == End::Done {
        // A folder that cannot be read just now may be back for the next pass.
        documents = walk::list(&options.input).unwrap_or_default().documents;
    }
    supervisor.finish();
    let snapshot = Reader::attach(&stage.segment)?.snapshot()?;
    say(&report::farewell(&snapshot));
    Ok(())
}

/// Works on a fixed list of files and holds the result against the truth.
fn run_passes(
    options: &Options,
    passes: u64,
    stage: &Stage,
    sender: Sender<Event>,
    events: Receiver<Event>,
) -> Result<bool, Failure> {
    let documents = first_list(&options.input)?;
    say(&format!(
        "tachograph demo: 4 processes read the {} files below {}, {passes} times. Counting the files first.",
        documents.len(),
        options.input.display()
    ));
    let truth = Truth::count(documents, || stage.serving.is_stopped());
    if stage.serving.is_stopped() {
        return Ok(stopped());
    }
    let documents: Vec<Document> = truth.known.iter().map(|it| it.document.clone()).collect();
    let crew = hire(stage, false, sender)?;
    greet(stage, &crew);
    let account = Account::open(&truth, passes);
    let mut supervisor = Supervisor::new(crew, events, &stage.metrics, Some(account));
    let started = Instant::now();
    for _ in 0..passes {
        if supervisor.pass(&documents)? == End::Stopped {
            return Ok(stopped());
        }
    }
    let time = started.elapsed();
    let Some(account) = supervisor.finish() else {
        return Ok(false);
    };
    let snapshot = Reader::attach(&stage.segment)?.snapshot()?;
    say(&report::effort(
        passes,
        documents.len(),
        &options.input,
        time,
    ));
    let (comparison, holds) = report::comparison(&truth, &account, &snapshot);
    say(&comparison);
    Ok(holds)
}

fn hire(stage: &Stage, paced: bool, events: Sender<Event>) -> Result<Crew, Failure> {
    Crew::start(Start {
        segment: stage.segment.clone(),
        paced,
        events,
    })
}

fn greet(stage: &Stage, crew: &Crew) {
    say(&report::greeting(
        &stage.serving.urls,
        &stage.segment,
        &crew.pids(),
    ));
}

fn stopped() -> bool {
    say("Stopped before the end: nothing is compared.");
    false
}

/// The documents below `input`, with a word about what is not among them.
fn first_list(input: &Path) -> Result<Vec<Document>, Failure> {
    let listing =
        walk::list(input).map_err(|error| format!("cannot read {}: {error}", input.display()))?;
    if listing.documents.is_empty() {
        return Err(format!(
            "there are no files below {}; name a folder of text files with --demo-input",
            input.display()
        )
        .into());
    }
    if listing.cut {
        say(&format!(
            "There are more files; the first {} are taken.",
            listing.documents.len()
        ));
    }
    for folder in listing.unreadable_folders {
        say(&format!(
            "Cannot read {}; it is left out.",
            folder.display()
        ));
    }
    Ok(listing.documents)
}
