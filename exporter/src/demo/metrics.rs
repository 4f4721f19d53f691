//! What the demo measures: one struct for a worker, one for the supervisor.

use std::time::Instant;

use tachograph::{Counter, Dense, Gauge, Histogram, Info, LabelSet, LabelValue, Metrics, StateSet};

use super::protocol::Refusal;

/// One step of the work on a document, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, LabelValue, LabelSet)]
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

/// What a worker does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, LabelValue)]
pub(crate) enum Activity {
    /// It waits for a document, or rests.
    Idle,
    /// It works on one.
    Busy,
}

/// What a worker records.
#[derive(Debug, Metrics)]
#[metrics(prefix = "demo")]
pub(crate) struct WorkerMetrics {
    /// Documents that went through all stages
    #[metric(name = "documents_total")]
    pub documents: Counter,
    /// Bytes in those documents
    #[metric(name = "read_bytes_total", unit = bytes)]
    pub read_bytes: Counter,
    /// Words in those documents
    #[metric(name = "tokens_total")]
    pub tokens: Counter,
    /// Different words in each of those documents, summed over the documents
    #[metric(name = "terms_total")]
    pub terms: Counter,
    /// Sizes of those documents
    #[metric(name = "document_size_bytes", unit = bytes)]
    pub sizes: Histogram,
    /// Documents that living workers work on now
    #[metric(name = "documents_in_flight", mode = sum)]
    pub in_flight: Gauge,
    /// Files that were left out, by reason
    #[metric(name = "left_out_total")]
    errors: Dense<Counter, Refusal>,
    /// Time that one document took in one stage
    #[metric(name = "stage_duration_seconds", unit = nanoseconds)]
    stages: Dense<Histogram, Stage>,
    /// What each worker does
    #[metric(name = "worker_state", states = Activity, mode = each)]
    activity: StateSet,
}

impl WorkerMetrics {
    /// The counter of documents refused for `refusal`.
    pub(crate) fn error(&self, refusal: Refusal) -> &Counter {
        self.errors.get(refusal)
    }

    /// Does a stage and records how long it took.
    pub(crate) fn timed<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.stages.get(stage).record_duration(started.elapsed());
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
            self.stages.get(stage).record_duration(started.elapsed());
        }
        result
    }

    /// Shows what the worker does.
    pub(crate) fn set_activity(&self, activity: Activity) {
        self.activity.set(activity.index());
    }
}

/// What the supervisor records.
#[derive(Debug, Metrics)]
#[metrics(prefix = "demo")]
pub(crate) struct SupervisorMetrics {
    /// Documents of this pass that no worker has been given yet
    #[metric(name = "queue_documents", mode = sum)]
    pub queue: Gauge,
    /// Passes over all documents
    #[metric(name = "passes_total")]
    pub passes: Counter,
    /// Workers started in place of one that died
    #[metric(name = "worker_restarts_total")]
    pub restarts: Counter,
    /// The program that runs the demo
    #[metric(name = "build_info", labels(version = env!("CARGO_PKG_VERSION")))]
    _build: Info,
}
