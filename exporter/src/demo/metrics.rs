//! What the demo measures: one struct for a worker, one for the supervisor.

use std::time::Instant;

use tachograph::{
    Buckets, Counter, Error, Gauge, GaugeMode, Histogram, Info, StateSet, Unit, Writer,
};

use super::protocol::Refusal;

/// The stages that a document goes through, in order.
pub(crate) const STAGES: [Stage; 4] = [Stage::Read, Stage::Tokenise, Stage::Count, Stage::Hash];

/// One step of the work on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Open it, read it, see whether it is text.
    Read,
    /// Cut it into words.
    Tokenise,
    /// Count how often each word occurs.
    Count,
    /// Hash its content.
    Hash,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Tokenise => "tokenise",
            Stage::Count => "count",
            Stage::Hash => "hash",
        }
    }
}

/// What a worker does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It waits for a document, or rests.
    Idle,
    /// It works on one.
    Busy,
}

const ACTIVITIES: [&str; 2] = ["idle", "busy"];

/// What a worker records.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub documents: Counter,
    pub read_bytes: Counter,
    pub tokens: Counter,
    pub terms: Counter,
    pub sizes: Histogram,
    pub in_flight: Gauge,
    errors: [Counter; Refusal::ALL.len()],
    stages: [Histogram; STAGES.len()],
    activity: StateSet,
}

impl Metrics {
    /// Registers all of them, or finds them registered.
    pub(crate) fn register(writer: &Writer) -> Result<Metrics, Error> {
        Ok(Metrics {
            documents: writer
                .counter(
                    "demo_documents_total",
                    "Documents that went through all stages",
                )
                .register()?,
            read_bytes: writer
                .counter("demo_read_bytes_total", "Bytes in those documents")
                .unit(Unit::BYTES)
                .register()?,
            tokens: writer
                .counter("demo_tokens_total", "Words in those documents")
                .register()?,
            terms: writer
                .counter(
                    "demo_terms_total",
                    "Different words in each of those documents, summed over the documents",
                )
                .register()?,
            sizes: writer
                .histogram("demo_document_size_bytes", "Sizes of those documents")
                .unit(Unit::BYTES)
                .register()?,
            in_flight: writer
                .gauge(
                    "demo_documents_in_flight",
                    "Documents that living workers work on now",
                )
                .mode(GaugeMode::Sum)
                .register()?,
            errors: errors(writer)?,
            stages: stages(writer)?,
            activity: writer
                .state_set("demo_worker_state", "What each worker does", &ACTIVITIES)
                .mode(GaugeMode::Each)
                .register()?,
        })
    }

    /// The counter of documents refused for `refusal`.
    pub(crate) fn error(&self, refusal: Refusal) -> Counter {
        self.errors[refusal as usize]
    }

    /// Does a stage and records how long it took.
    pub(crate) fn timed<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.stages[stage as usize].record_duration(started.elapsed());
        result
    }

    /// Does a stage that can fail and records how long it took when it does not.
    pub(crate) fn timed_if_ok<T, E>(
        &self,
        stage: Stage,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let result = work();
        if result.is_ok() {
            self.stages[stage as usize].record_duration(started.elapsed());
        }
        result
    }

    /// Shows what the worker does.
    pub(crate) fn set_activity(&self, activity: Activity) {
        self.activity.set(activity as usize);
    }
}

fn errors(writer: &Writer) -> Result<[Counter; Refusal::ALL.len()], Error> {
    let family = writer
        .counter(
            "demo_errors_total",
            "Documents that were refused, by reason",
        )
        .family()?;
    let mut counters = Vec::new();
    for refusal in Refusal::ALL {
        counters.push(family.with(&[("kind", refusal.name())])?);
    }
    Ok(std::array::from_fn(|at| counters[at]))
}

fn stages(writer: &Writer) -> Result<[Histogram; STAGES.len()], Error> {
    let family = writer
        .histogram(
            "demo_stage_duration_seconds",
            "Time that one document took in one stage",
        )
        .unit(Unit::NANOSECONDS)
        .buckets(Buckets::default())
        .family()?;
    let mut histograms = Vec::new();
    for stage in STAGES {
        histograms.push(family.with(&[("stage", stage.name())])?);
    }
    Ok(std::array::from_fn(|at| histograms[at]))
}

/// What the supervisor records.
#[derive(Debug)]
pub(crate) struct SupervisorMetrics {
    pub queue: Gauge,
    pub passes: Counter,
    pub restarts: Counter,
    _build: Info,
}

impl SupervisorMetrics {
    /// Registers all of them.
    pub(crate) fn register(writer: &Writer) -> Result<SupervisorMetrics, Error> {
        Ok(SupervisorMetrics {
            queue: writer
                .gauge(
                    "demo_queue_documents",
                    "Documents of this pass that no worker has been given yet",
                )
                .mode(GaugeMode::Sum)
                .register()?,
            passes: writer
                .counter("demo_passes_total", "Passes over all documents")
                .register()?,
            restarts: writer
                .counter(
                    "demo_worker_restarts_total",
                    "Workers started in place of one that died",
                )
                .register()?,
            _build: writer
                .info("demo_build_info", "The program that runs the demo")
                .label("version", env!("CARGO_PKG_VERSION"))
                .register()?,
        })
    }
}
