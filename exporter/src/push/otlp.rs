//! OTLP over HTTP: <https://opentelemetry.io/docs/specs/otlp/>.

use std::collections::BTreeMap;

use hyper::StatusCode;
use prost::Message;

use super::model::{self, Family, Metric, Time};
use super::otel::{
    self, AnyValue, Buckets, Data, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    InstrumentationScope, KeyValue, Resource,
};
use super::queue::Request;
use super::{Moment, Verdict, defaults};
use crate::config::Receiver;
use crate::pack::gzip;

/// Headers that every request has.
pub(crate) const HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "gzip"),
];

const CUMULATIVE: i32 = otel::Temporality::Cumulative as i32;

/// Writes messages for one receiver.
#[derive(Debug)]
pub(crate) struct Otlp {
    attributes: BTreeMap<String, String>,
    native_histograms: bool,
    max_points: usize,
}

impl Otlp {
    pub(crate) fn new(receiver: &Receiver) -> Otlp {
        let of_host = ["service.instance.id", "host.name"];
        Otlp {
            attributes: defaults(&of_host, "service.name", &receiver.labels),
            native_histograms: receiver.native_histograms.unwrap_or(true),
            max_points: receiver.max_points as usize,
        }
    }

    /// What is to be sent.
    pub(crate) fn requests(&self, moment: &Moment<'_>) -> Vec<Request> {
        let mut batch = Batch::default();
        for (families, is_gone) in [(moment.families, false), (moment.vanished, true)] {
            for family in families {
                for metric in &family.metrics {
                    let point = self.point(moment.unix_nanos, metric, is_gone);
                    if batch.points == self.max_points {
                        batch.cut(&self.attributes);
                    }
                    batch.add(family, point);
                }
            }
        }
        batch.cut(&self.attributes);
        batch.requests
    }

    /// The point that a metric becomes; one without a value, if the metric is gone.
    fn point(&self, now: u64, metric: &Metric, is_gone: bool) -> Point {
        let stamp = Stamp {
            attributes: attributes(metric.labels.iter().map(|it| (&it.name, &it.value))),
            now,
            is_gone,
        };
        match metric {
            Metric {
                histogram: Some(histogram),
                ..
            } if self.native_histograms && histogram.is_native() => {
                Point::Exponential(stamp.exponential(histogram))
            }
            Metric {
                histogram: Some(histogram),
                ..
            } => Point::Histogram(stamp.explicit(histogram)),
            Metric {
                counter: Some(number),
                ..
            } => Point::Sum(stamp.number(number)),
            Metric { gauge, untyped, .. } => {
                let number = gauge.as_ref().or(untyped.as_ref());
                Point::Gauge(stamp.number(number.unwrap_or(&model::Number::default())))
            }
        }
    }
}

/// What becomes of a request that was answered like this.
pub(crate) fn judge(status: StatusCode, body: &[u8]) -> Verdict {
    if status.is_success() {
        let answer = ExportMetricsServiceResponse::decode(body).unwrap_or_default();
        let partly = answer.partial_success.unwrap_or_default();
        return match (partly.rejected_data_points, partly.error_message) {
            (0, warning) if warning.is_empty() => Verdict::Accepted,
            (points, why) => Verdict::Partly(points.max(0).unsigned_abs(), why),
        };
    }
    let why = match otel::Status::decode(body) {
        Ok(status) if !status.message.is_empty() => status.message,
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Verdict::Again(why),
        _ => Verdict::Refused(why),
    }
}

fn attributes<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<KeyValue> {
    let pairs = pairs.filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(key, value)| KeyValue {
        key: key.clone(),
        value: Some(AnyValue {
            string: Some(value.clone()),
        }),
    });
    pairs.collect()
}

/// The unit as UCUM has it.
fn unit(base: &str) -> String {
    match base {
        "" => String::new(),
        "seconds" => "s".into(),
        "bytes" => "By".into(),
        "ratio" => "1".into(),
        "meters" => "m".into(),
        "grams" => "g".into(),
        "joules" => "J".into(),
        "celsius" => "Cel".into(),
        "volts" => "V".into(),
        "amperes" => "A".into(),
        "hertz" => "Hz".into(),
        other => format!("{{{other}}}"),
    }
}

/// What all kinds of points have.
struct Stamp {
    attributes: Vec<KeyValue>,
    now: u64,
    is_gone: bool,
}

impl Stamp {
    fn flags(&self) -> u32 {
        match self.is_gone {
            true => otel::NO_RECORDED_VALUE,
            false => 0,
        }
    }

    fn number(self, number: &model::Number) -> otel::NumberDataPoint {
        let exemplars = number.exemplar.iter().filter(|_| !self.is_gone);
        otel::NumberDataPoint {
            start_time_unix_nano: nanos(number.start),
            time_unix_nano: self.now,
            flags: self.flags(),
            value: (!self.is_gone).then_some(number.value),
            exemplars: exemplars.map(|it| exemplar(it, self.now)).collect(),
            attributes: self.attributes,
        }
    }

    fn explicit(self, histogram: &model::Histogram) -> otel::HistogramDataPoint {
        let point = otel::HistogramDataPoint {
            start_time_unix_nano: nanos(histogram.start),
            time_unix_nano: self.now,
            flags: self.flags(),
            attributes: self.attributes,
            ..otel::HistogramDataPoint::default()
        };
        if self.is_gone {
            return point;
        }
        let bounds = histogram.buckets.iter().map(|it| it.upper_bound);
        let exemplars = histogram.all_exemplars();
        otel::HistogramDataPoint {
            count: histogram.count,
            sum: Some(histogram.sum),
            bucket_counts: differences(histogram),
            explicit_bounds: bounds.filter(|it| it.is_finite()).collect(),
            exemplars: exemplars.map(|it| exemplar(it, self.now)).collect(),
            ..point
        }
    }

    fn exponential(self, histogram: &model::Histogram) -> otel::ExponentialHistogramDataPoint {
        let point = otel::ExponentialHistogramDataPoint {
            start_time_unix_nano: nanos(histogram.start),
            time_unix_nano: self.now,
            flags: self.flags(),
            attributes: self.attributes,
            ..otel::ExponentialHistogramDataPoint::default()
        };
        if self.is_gone {
            return point;
        }
        let exemplars = histogram.all_exemplars();
        otel::ExponentialHistogramDataPoint {
            count: histogram.count,
            sum: Some(histogram.sum),
            scale: histogram.schema,
            zero_count: histogram.zero_count,
            zero_threshold: histogram.zero_threshold,
            positive: Some(dense(histogram)),
            exemplars: exemplars.map(|it| exemplar(it, self.now)).collect(),
            ..point
        }
    }
}

fn nanos(time: Option<Time>) -> u64 {
    time.map_or(0, Time::unix_nanos)
}

/// Counts of the buckets, each alone, the last without a bound.
fn differences(histogram: &model::Histogram) -> Vec<u64> {
    let mut below = 0;
    let counts = histogram.buckets.iter().map(|bucket| {
        let count = bucket.cumulative_count.wrapping_sub(below);
        below = bucket.cumulative_count;
        count
    });
    counts.collect()
}

/// The buckets without gaps. Bucket 1 of a native histogram begins at 1, here it is bucket 0 that does.
fn dense(histogram: &model::Histogram) -> Buckets {
    let mut deltas = histogram.deltas.iter();
    let (mut counts, mut count) = (Vec::new(), 0i64);
    for (at, span) in histogram.spans.iter().enumerate() {
        if at > 0 {
            let gap = usize::try_from(span.offset).unwrap_or(0);
            counts.resize(counts.len() + gap, 0);
        }
        for delta in deltas.by_ref().take(span.length as usize) {
            count = count.wrapping_add(*delta);
            counts.push(count.cast_unsigned());
        }
    }
    Buckets {
        offset: histogram.spans.first().map_or(0, |span| span.offset - 1),
        bucket_counts: counts,
    }
}

/// The ids of its trace are not attributes, where they are such ids.
fn exemplar(given: &model::Exemplar, now: u64) -> otel::Exemplar {
    let (mut trace_id, mut span_id) = (Vec::new(), Vec::new());
    let others = given.labels.iter().filter(|label| {
        let (id, bytes) = match label.name.as_str() {
            "trace_id" => (&mut trace_id, 16),
            "span_id" => (&mut span_id, 8),
            _ => return true,
        };
        *id = from_hex(&label.value, bytes).unwrap_or_default();
        id.is_empty()
    });
    let filtered_attributes = attributes(others.map(|it| (&it.name, &it.value)));
    otel::Exemplar {
        filtered_attributes,
        time_unix_nano: given.time.map_or(now, Time::unix_nanos),
        span_id,
        trace_id,
        value: Some(given.value),
    }
}

fn from_hex(text: &str, bytes: usize) -> Option<Vec<u8>> {
    if text.len() != 2 * bytes || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..bytes).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok());
    pairs.collect()
}

enum Point {
    Gauge(otel::NumberDataPoint),
    Sum(otel::NumberDataPoint),
    Histogram(otel::HistogramDataPoint),
    Exponential(otel::ExponentialHistogramDataPoint),
}

/// A message in the making, and those that are made.
#[derive(Default)]
struct Batch {
    metrics: Vec<otel::Metric>,
    points: usize,
    requests: Vec<Request>,
}

impl Batch {
    fn add(&mut self, family: &Family, point: Point) {
        self.points += 1;
        let last = self.metrics.last_mut();
        let rest = match last.filter(|metric| metric.name == family.name) {
            Some(metric) => append(metric, point),
            None => Some(point),
        };
        let metric = rest.map(|point| otel::Metric {
            name: family.name.clone(),
            description: family.help.clone(),
            unit: unit(&family.unit),
            data: Some(point.alone()),
        });
        self.metrics.extend(metric);
    }

    fn cut(&mut self, of_resource: &BTreeMap<String, String>) {
        let points = std::mem::take(&mut self.points) as u64;
        if points == 0 {
            return;
        }
        let metrics = otel::ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: "tachograph".into(),
                version: env!("CARGO_PKG_VERSION").into(),
            }),
            metrics: std::mem::take(&mut self.metrics),
        };
        let resource = otel::ResourceMetrics {
            resource: Some(Resource {
                attributes: attributes(of_resource.iter()),
            }),
            scope_metrics: vec![metrics],
        };
        let message = ExportMetricsServiceRequest {
            resource_metrics: vec![resource],
        };
        let body = gzip(&message.encode_to_vec());
        self.requests.push(Request::new(body, points));
    }
}

/// Puts a point to those of `metric`, unless it is of another kind.
fn append(metric: &mut otel::Metric, point: Point) -> Option<Point> {
    match (metric.data.as_mut(), point) {
        (Some(Data::Gauge(all)), Point::Gauge(point)) => all.data_points.push(point),
        (Some(Data::Sum(all)), Point::Sum(point)) => all.data_points.push(point),
        (Some(Data::Histogram(all)), Point::Histogram(point)) => all.data_points.push(point),
        (Some(Data::ExponentialHistogram(all)), Point::Exponential(point)) => {
            all.data_points.push(point);
        }
        (_, other) => return Some(other),
    }
    None
}

impl Point {
    fn alone(self) -> Data {
        match self {
            Point::Gauge(point) => Data::Gauge(otel::Gauge {
                data_points: vec![point],
            }),
            Point::Sum(point) => Data::Sum(otel::Sum {
                data_points: vec![point],
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
            Point::Histogram(point) => Data::Histogram(otel::Histogram {
                data_points: vec![point],
                aggregation_temporality: CUMULATIVE,
            }),
            Point::Exponential(point) => Data::ExponentialHistogram(otel::ExponentialHistogram {
                data_points: vec![point],
                aggregation_temporality: CUMULATIVE,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::push::model::Span;
    use crate::push::tests::{counter, family, histogram, label, receiver};

    fn sent(text: &str, families: &[Family], vanished: &[Family]) -> Vec<Vec<otel::Metric>> {
        let moment = Moment {
            families,
            vanished,
            unix_nanos: 5_000_000_000,
        };
        let requests = Otlp::new(&receiver(text)).requests(&moment);
        let decode = |request: &Request| {
            let mut bytes = Vec::new();
            let mut unpacked = flate2::read::GzDecoder::new(request.body.as_ref());
            unpacked.read_to_end(&mut bytes).unwrap();
            let mut message = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
            message
                .resource_metrics
                .remove(0)
                .scope_metrics
                .remove(0)
                .metrics
        };
        requests.iter().map(decode).collect()
    }

    fn exponential(metric: &otel::Metric) -> &otel::ExponentialHistogramDataPoint {
        match &metric.data {
            Some(Data::ExponentialHistogram(all)) => &all.data_points[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn native_buckets_stand_one_lower_and_without_gaps() {
        let families = [family("h", vec![histogram()])];
        let metrics = &sent("", &families, &[])[0];
        let point = exponential(&metrics[0]);
        assert_eq!((point.count, point.zero_count, point.scale), (6, 1, 4));
        let positive = point.positive.as_ref().unwrap();
        assert_eq!(positive.offset, 2);
        assert_eq!(positive.bucket_counts, [1, 2, 0, 0, 1]);
        assert_eq!(point.start_time_unix_nano, 2_000_000_001);
        let exemplar = &point.exemplars[0];
        assert_eq!(exemplar.trace_id, (0..16).collect::<Vec<u8>>());
        assert_eq!(exemplar.time_unix_nano, 3_000_000_000);
        // What is no id stays a label.
        assert!(exemplar.span_id.is_empty());
        assert_eq!(exemplar.filtered_attributes[0].key, "span_id");
    }

    #[test]
    fn an_empty_native_histogram_has_no_buckets() {
        let mut metric = histogram();
        let empty = metric.histogram.as_mut().unwrap();
        empty.spans = vec![Span::default()];
        empty.deltas.clear();
        let families = [family("h", vec![metric])];
        let metrics = &sent("", &families, &[])[0];
        let positive = exponential(&metrics[0]).positive.as_ref().unwrap();
        assert!(positive.bucket_counts.is_empty());
    }

    #[test]
    fn classic_buckets_are_counts_of_their_own() {
        let families = [family("h", vec![histogram()])];
        let metrics = &sent("native_histograms = false", &families, &[])[0];
        let Some(Data::Histogram(all)) = &metrics[0].data else {
            panic!("{metrics:?}");
        };
        let point = &all.data_points[0];
        assert_eq!(point.explicit_bounds, [1.0]);
        assert_eq!(point.bucket_counts, [1, 5]);
        assert_eq!((point.count, point.sum), (6, Some(20.0)));
    }

    #[test]
    fn requests_have_so_many_points_at_most() {
        let counters = (0..5).map(|at| counter(&[label("at", &at.to_string())], 1.0));
        let gone = [family("a_total", vec![counter(&[], 1.0)])];
        let families = [
            family("a_total", counters.collect()),
            family("h", vec![histogram()]),
        ];
        let messages = sent("max_points = 2", &families, &gone);
        let sizes = messages.iter().map(|metrics| {
            let of = |metric: &otel::Metric| match &metric.data {
                Some(Data::Sum(all)) => all.data_points.len(),
                Some(Data::ExponentialHistogram(all)) => all.data_points.len(),
                other => panic!("{other:?}"),
            };
            metrics.iter().map(of).collect::<Vec<_>>()
        });
        assert_eq!(
            sizes.collect::<Vec<_>>(),
            [vec![2], vec![2], vec![1, 1], vec![1]]
        );
        let Some(Data::Sum(all)) = &messages[3][0].data else {
            panic!("{messages:?}");
        };
        assert_eq!(
            (all.data_points[0].flags, all.data_points[0].value),
            (1, None)
        );
    }

    #[test]
    fn units() {
        for (base, ucum) in [
            ("", ""),
            ("seconds", "s"),
            ("bytes", "By"),
            ("jobs", "{jobs}"),
        ] {
            assert_eq!(unit(base), ucum);
        }
    }

    #[test]
    fn answers() {
        let verdict = |status: u16, body: &[u8]| judge(StatusCode::from_u16(status).unwrap(), body);
        assert_eq!(verdict(200, b""), Verdict::Accepted);
        assert_eq!(verdict(200, b"\0nonsense"), Verdict::Accepted);
        let partly = b"\x0a\x06\x08\x02\x12\x02so";
        assert_eq!(verdict(200, partly), Verdict::Partly(2, "so".into()));
        for status in [429, 502, 503, 504] {
            assert_eq!(
                verdict(status, b"so"),
                Verdict::Again("so".into()),
                "{status}"
            );
        }
        for status in [301, 400, 401, 404, 413, 500] {
            assert_eq!(
                verdict(status, b"so"),
                Verdict::Refused("so".into()),
                "{status}"
            );
        }
        // A google.rpc.Status
        let status = b"\x08\x03\x12\x03bad";
        assert_eq!(verdict(400, status), Verdict::Refused("bad".into()));
    }
}
