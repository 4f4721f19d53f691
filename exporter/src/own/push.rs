//! What became of what was pushed.

use std::time::UNIX_EPOCH;

use tachograph::Number;

use super::{Own, Samples};
use crate::push::{Loss, Outcome, PushReport};

impl<'a> Own<'a> {
    /// The families of receivers, by name.
    pub(super) fn pushes(&mut self) {
        self.receivers(
            "tachograph_exporter_push_dropped_points_total",
            "counter",
            "Points that never reached the receiver.",
            |samples, it| {
                for (loss, name) in Loss::ALL {
                    let count = it.tally.lost_points[loss as usize];
                    samples.with(it, Some(("reason", name)), Number::Unsigned(count));
                }
            },
        );
        self.receivers(
            "tachograph_exporter_push_last_success_duration_seconds",
            "gauge",
            "Time that the last request took that the receiver took.",
            |samples, it| {
                if let Some((_, duration)) = it.tally.last_success {
                    samples.with(it, None, Number::Float(duration.as_secs_f64()));
                }
            },
        );
        self.receivers(
            "tachograph_exporter_push_last_success_timestamp_seconds",
            "gauge",
            "When the receiver last took a request.",
            |samples, it| {
                if let Some((at, _)) = it.tally.last_success {
                    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
                    samples.with(it, None, Number::Float(since.as_secs_f64()));
                }
            },
        );
        self.receivers(
            "tachograph_exporter_push_queue_bytes",
            "gauge",
            "Bytes of requests that wait for the receiver.",
            |samples, it| samples.with(it, None, Number::Unsigned(it.queue_bytes)),
        );
        self.receivers(
            "tachograph_exporter_push_requests_total",
            "counter",
            "Requests to the receiver by how they ended.",
            |samples, it| {
                for (outcome, name) in Outcome::ALL {
                    let count = it.tally.requests[outcome as usize];
                    samples.with(it, Some(("outcome", name)), Number::Unsigned(count));
                }
            },
        );
        self.receivers(
            "tachograph_exporter_push_retries_total",
            "counter",
            "Requests to the receiver that had failed before.",
            |samples, it| samples.with(it, None, Number::Unsigned(it.tally.retries)),
        );
        self.receivers(
            "tachograph_exporter_push_sent_points_total",
            "counter",
            "Points that the receiver took.",
            |samples, it| samples.with(it, None, Number::Unsigned(it.tally.sent_points)),
        );
    }

    fn receivers(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        write: impl Fn(&mut Samples<'_>, &'a PushReport),
    ) {
        self.family(name, kind, help, |samples, report| {
            for receiver in &report.pushes {
                write(samples, receiver);
            }
        });
    }
}

impl Samples<'_> {
    fn with(&mut self, receiver: &PushReport, more: Option<(&str, &str)>, number: Number) {
        let (name, protocol) = (receiver.receiver.as_str(), receiver.protocol);
        let labels = [("receiver", name), ("protocol", protocol)];
        let labels: Vec<_> = labels.into_iter().chain(more).collect();
        self.add(&labels, number);
    }
}
