//! Prometheus remote write 1.0: <https://prometheus.io/docs/specs/prw/remote_write_spec/>.

use std::collections::BTreeMap;

use hyper::StatusCode;
use prost::Message;

use super::model::{self, Family, Kind, Label, Metric, Span};
use super::queue::Request;
use super::{Moment, Verdict, defaults};
use crate::config::Receiver;
use crate::number::push_canonical;

/// Headers that every request has.
pub(crate) const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// The value that says that a series has ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// The value that says that something is not a number, and nothing else.
const NAN: u64 = 0x7ff8_0000_0000_0001;

/// Writes messages for one receiver.
#[derive(Debug)]
pub(crate) struct RemoteWrite {
    labels: BTreeMap<String, String>,
    native_histograms: bool,
    max_points: usize,
}

impl RemoteWrite {
    pub(crate) fn new(receiver: &Receiver) -> RemoteWrite {
        RemoteWrite {
            labels: defaults(&["instance"], "job", &receiver.labels),
            native_histograms: receiver.native_histograms.unwrap_or(false),
            max_points: receiver.max_points as usize,
        }
    }

    /// What is to be sent; the help texts only if they are `due`.
    pub(crate) fn requests(&self, moment: &Moment<'_>, metadata_is_due: bool) -> Vec<Request> {
        let mut batch = Batch::default();
        for family in moment.families {
            if metadata_is_due {
                batch.message.metadata.push(metadata(family));
            }
            for metric in &family.metrics {
                batch.add(self.series(moment, family, metric, false), self.max_points);
            }
        }
        for family in moment.vanished {
            for metric in &family.metrics {
                batch.add(self.series(moment, family, metric, true), self.max_points);
            }
        }
        batch.cut();
        batch.requests
    }

    /// The series that a metric becomes.
    fn series(
        &self,
        moment: &Moment<'_>,
        family: &Family,
        metric: &Metric,
        is_stale: bool,
    ) -> Vec<TimeSeries> {
        let mut samples = Samples {
            labels: self.labels_of(metric),
            millis: i64::try_from(moment.unix_nanos / 1_000_000).unwrap_or(i64::MAX),
            is_stale,
            series: Vec::new(),
        };
        let name = &family.name;
        let number = metric.counter.as_ref().or(metric.gauge.as_ref());
        if let Some(number) = number.or(metric.untyped.as_ref()) {
            samples.add(name.clone(), None, number.value, number.exemplar.as_ref());
        }
        if let Some(histogram) = &metric.histogram {
            if self.native_histograms && histogram.is_native() {
                samples.add_native(name.clone(), histogram);
            } else {
                samples.add_classic(name, histogram);
            }
        }
        samples.series
    }

    /// Its labels and those of the receiver, which win: as with a scrape, what they displace is `exported_`.
    fn labels_of(&self, metric: &Metric) -> Vec<Label> {
        let own = metric.labels.iter().map(|label| {
            let mut name = label.name.clone();
            while self.labels.contains_key(&name) {
                name.insert_str(0, "exported_");
                while metric.labels.iter().any(|other| other.name == name) {
                    name.insert_str(0, "exported_");
                }
            }
            Label {
                name,
                value: label.value.clone(),
            }
        });
        let given = self.labels.iter().map(|(name, value)| Label {
            name: name.clone(),
            value: value.clone(),
        });
        let labels = own.chain(given);
        labels.filter(|label| !label.value.is_empty()).collect()
    }
}

/// What becomes of a request that was answered like this.
pub(crate) fn judge(status: StatusCode, body: &[u8]) -> Verdict {
    let text = || String::from_utf8_lossy(body).into_owned();
    if status.is_success() {
        Verdict::Accepted
    } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Verdict::Again(text())
    } else {
        Verdict::Refused(text())
    }
}

fn metadata(family: &Family) -> Metadata {
    let kind = match Kind::try_from(family.kind) {
        Ok(Kind::Counter) => 1,
        Ok(Kind::Gauge) => 2,
        Ok(Kind::Histogram) => 3,
        Ok(Kind::Untyped) | Err(_) => 0,
    };
    Metadata {
        kind,
        name: family.name.clone(),
        help: family.help.clone(),
        unit: family.unit.clone(),
    }
}

/// The samples of one metric.
struct Samples {
    labels: Vec<Label>,
    millis: i64,
    is_stale: bool,
    series: Vec<TimeSeries>,
}

impl Samples {
    fn add(
        &mut self,
        name: String,
        bound: Option<f64>,
        value: f64,
        exemplar: Option<&model::Exemplar>,
    ) {
        let mut series = self.named(name, exemplar);
        if let Some(bound) = bound {
            let mut text = Vec::new();
            push_canonical(&mut text, bound);
            series.labels.push(Label {
                name: "le".into(),
                value: String::from_utf8(text).expect("numbers are ASCII"),
            });
        }
        series.labels.sort_unstable();
        series.samples.push(Sample {
            value: self.value(value),
            millis: self.millis,
        });
        self.series.push(series);
    }

    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    fn add_classic(&mut self, name: &str, histogram: &model::Histogram) {
        for bucket in &histogram.buckets {
            let count = bucket.cumulative_count as f64;
            let bound = Some(bucket.upper_bound);
            self.add(
                format!("{name}_bucket"),
                bound,
                count,
                bucket.exemplar.as_ref(),
            );
        }
        self.add(format!("{name}_sum"), None, histogram.sum, None);
        self.add(format!("{name}_count"), None, histogram.count as f64, None);
    }

    fn add_native(&mut self, name: String, histogram: &model::Histogram) {
        let mut series = self.named(name, histogram.all_exemplars());
        series.labels.sort_unstable();
        let sum = self.value(histogram.sum);
        let ended = Native {
            sum,
            millis: self.millis,
            ..Native::default()
        };
        series.histograms.push(if self.is_stale {
            ended
        } else {
            Native {
                count: Some(histogram.count),
                schema: histogram.schema,
                zero_threshold: histogram.zero_threshold,
                zero_count: Some(histogram.zero_count),
                spans: histogram.spans.clone(),
                deltas: histogram.deltas.clone(),
                ..ended
            }
        });
        self.series.push(series);
    }

    fn named<'a>(
        &self,
        name: String,
        exemplars: impl IntoIterator<Item = &'a model::Exemplar>,
    ) -> TimeSeries {
        let mut labels = self.labels.clone();
        labels.push(Label {
            name: "__name__".into(),
            value: name,
        });
        let exemplars = exemplars.into_iter().filter(|_| !self.is_stale);
        TimeSeries {
            labels,
            exemplars: exemplars.map(|it| self.exemplar(it)).collect(),
            ..TimeSeries::default()
        }
    }

    fn exemplar(&self, exemplar: &model::Exemplar) -> Exemplar {
        let millis = exemplar.time.map(|time| time.unix_nanos() / 1_000_000);
        let millis = millis.and_then(|millis| i64::try_from(millis).ok());
        Exemplar {
            labels: exemplar.labels.clone(),
            value: exemplar.value,
            millis: millis.unwrap_or(self.millis),
        }
    }

    fn value(&self, value: f64) -> f64 {
        match (self.is_stale, value.is_nan()) {
            (true, _) => f64::from_bits(STALE),
            (false, true) => f64::from_bits(NAN),
            (false, false) => value,
        }
    }
}

/// A message in the making, and those that are made.
#[derive(Default)]
struct Batch {
    message: WriteRequest,
    points: usize,
    requests: Vec<Request>,
}

impl Batch {
    /// Adds what belongs together.
    fn add(&mut self, series: Vec<TimeSeries>, max_points: usize) {
        if self.points > 0 && self.points + series.len() > max_points {
            self.cut();
        }
        self.points += series.len();
        self.message.series.extend(series);
    }

    fn cut(&mut self) {
        let message = std::mem::take(&mut self.message);
        let points = std::mem::take(&mut self.points) as u64;
        if message == WriteRequest::default() {
            return;
        }
        let packed = snap::raw::Encoder::new().compress_vec(&message.encode_to_vec());
        // It only fails above 4 GiB.
        if let Ok(body) = packed {
            self.requests.push(Request::new(body, points));
        }
    }
}

// `Label` and `BucketSpan` look the same as in a page.

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<Exemplar>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Native>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    millis: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    millis: i64,
}

/// A histogram in its exponential form.
#[derive(Clone, PartialEq, Message)]
struct Native {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "11")]
    spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    deltas: Vec<i64>,
    #[prost(int64, tag = "15")]
    millis: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::tests::{counter, family, histogram, label, receiver};

    fn written(text: &str, families: &[Family], vanished: &[Family]) -> Vec<WriteRequest> {
        let moment = Moment {
            families,
            vanished,
            unix_nanos: 5_000_000_000,
        };
        let requests = RemoteWrite::new(&receiver(text)).requests(&moment, true);
        let decode = |request: &Request| {
            let bytes = snap::raw::Decoder::new().decompress_vec(&request.body);
            let message = WriteRequest::decode(bytes.unwrap().as_slice()).unwrap();
            assert_eq!(message.series.len() as u64, request.points);
            message
        };
        requests.iter().map(decode).collect()
    }

    fn shown(series: &TimeSeries) -> String {
        let labels = series.labels.iter();
        let labels: Vec<String> = labels
            .map(|label| format!("{}={}", label.name, label.value))
            .collect();
        let values = series.samples.iter().map(|it| (it.value, it.millis));
        format!("{} {:?}", labels.join(","), values.collect::<Vec<_>>())
    }

    #[test]
    fn labels_are_sorted_and_those_of_the_receiver_win() {
        let labels = [
            label("job", "own"),
            label("exported_job", "older"),
            label("Zone", "z"),
            label("empty", ""),
        ];
        let families = [family("jobs_total", vec![counter(&labels, 7.0)])];
        let given = "labels = { job = 'shop', instance = '' }";
        let message = &written(given, &families, &[])[0];
        assert_eq!(
            shown(&message.series[0]),
            "Zone=z,__name__=jobs_total,exported_exported_job=own,exported_job=older,job=shop [(7.0, 5000)]"
        );
        let metadata = &message.metadata[0];
        assert_eq!((metadata.kind, metadata.name.as_str()), (1, "jobs_total"));
        let message = &written("", &families, &[])[0];
        let instance = message.series[0].labels.iter();
        assert_eq!(instance.filter(|it| it.name == "instance").count(), 1);
    }

    #[test]
    fn a_histogram_is_classic_or_native() {
        let families = [family("h", vec![histogram()])];
        let given = "labels = { job = '', instance = '' }\n";
        let message = &written(given, &families, &[])[0];
        let shown: Vec<String> = message.series.iter().map(shown).collect();
        let expected = [
            "__name__=h_bucket,le=1.0 [(1.0, 5000)]",
            "__name__=h_bucket,le=+Inf [(6.0, 5000)]",
            "__name__=h_sum [(20.0, 5000)]",
            "__name__=h_count [(6.0, 5000)]",
        ];
        assert_eq!(shown, expected);
        assert_eq!(message.series[0].exemplars[0].millis, 3000);
        let given = format!("{given}native_histograms = true");
        let series = &written(&given, &families, &[])[0].series[0];
        let native = &series.histograms[0];
        assert_eq!((native.count, native.zero_count), (Some(6), Some(1)));
        assert_eq!((native.schema, native.millis), (4, 5000));
        assert_eq!(native.deltas, [1, 1, -1]);
        assert!(series.samples.is_empty());
        let ended = &written(&given, &[], &families)[0].series[0].histograms[0];
        assert_eq!((ended.sum.to_bits(), ended.count), (STALE, None));
    }

    #[test]
    fn only_what_ends_is_stale() {
        let forged = f64::from_bits(STALE);
        let families = [family("a_total", vec![counter(&[], forged)])];
        let ended = [family("b_total", vec![counter(&[], 1.0)])];
        let message = &written("", &families, &ended)[0];
        let values = message
            .series
            .iter()
            .map(|it| it.samples[0].value.to_bits());
        assert_eq!(values.collect::<Vec<_>>(), [NAN, STALE]);
    }

    #[test]
    fn requests_have_so_many_points_at_most() {
        let counters = (0..5).map(|at| counter(&[label("at", &at.to_string())], 1.0));
        let families = [
            family("a_total", counters.collect()),
            family("h", vec![histogram()]),
        ];
        let sizes = |text| {
            let messages = written(text, &families, &[]);
            let sizes = messages.iter().map(|it| it.series.len());
            sizes.collect::<Vec<_>>()
        };
        assert_eq!(sizes("max_points = 2"), [2, 2, 1, 4]);
        assert_eq!(sizes("max_points = 9"), [9]);
        assert_eq!(sizes("max_points = 8"), [5, 4]);
    }

    #[test]
    fn answers() {
        let verdict = |status: u16| judge(StatusCode::from_u16(status).unwrap(), b"so");
        for status in [200, 202, 204] {
            assert_eq!(verdict(status), Verdict::Accepted, "{status}");
        }
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(verdict(status), Verdict::Again("so".into()), "{status}");
        }
        for status in [301, 400, 401, 404, 409, 413] {
            assert_eq!(verdict(status), Verdict::Refused("so".into()), "{status}");
        }
    }
}
