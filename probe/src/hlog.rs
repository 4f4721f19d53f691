//! Interval logs of HdrHistogram, <https://github.com/HdrHistogram/HdrHistogram>: a line an interval and series.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use tachograph::Distribution;

/// The values of a series in an interval, in recorded units.
pub(crate) struct Interval {
    pub(crate) series: String,
    pub(crate) begin_unix_nanos: u64,
    pub(crate) end_unix_nanos: u64,
    pub(crate) distribution: Distribution,
}

/// Writes the log of `intervals`, which `unit` says how to read.
pub(crate) fn write(intervals: &[Interval], unit: &str, out: &mut dyn Write) -> Result<(), String> {
    let begins = intervals.iter().map(|interval| interval.begin_unix_nanos);
    let begin = begins.min().unwrap_or(0);
    let start = UNIX_EPOCH + Duration::from_nanos(begin);
    let mut out = out;
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&format!("values in {unit}"))
        .with_start_time(start)
        .with_base_time(start)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|error| error.to_string())?;
    for interval in intervals {
        let (begin_at, end_at) = (interval.begin_unix_nanos, interval.end_unix_nanos);
        let tag = tag(&interval.series);
        log.write_histogram(
            &interval.distribution.to_hdr(),
            Duration::from_nanos(begin_at - begin),
            Duration::from_nanos(end_at.saturating_sub(begin_at)),
            Tag::new(&tag),
        )
        .map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}

/// The name of a series as a tag, which may hold no comma and no space.
fn tag(series: &str) -> String {
    let text = series.replace(',', ";");
    let is_space = |character: char| character.is_whitespace() || character.is_control();
    text.replace(is_space, "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use tachograph::{SegmentOptions, Unit, ValueView};

    #[test]
    fn a_log_is_read_back_value_by_value() {
        let writer = SegmentOptions::new().heap().unwrap();
        let times = writer.histogram("t_seconds", "T").unit(Unit::NANOSECONDS);
        let times = times.label("path", "/a, b").register().unwrap();
        times.record_n(1_000, 90);
        times.record_n(1_000_000, 10);
        let snapshot = writer.snapshot().unwrap();
        let view = snapshot.family("t_seconds").unwrap();
        let series = view.series().next().unwrap();
        let ValueView::Histogram(histogram) = series.value else {
            panic!("{series:?}");
        };
        let interval = Interval {
            series: "t_seconds{path=\"/a, b\"}".into(),
            begin_unix_nanos: 5_000_000_000,
            end_unix_nanos: 7_500_000_000,
            distribution: histogram.distribution(view.family).unwrap(),
        };
        let mut log = Vec::new();
        write(&[interval], "nanoseconds", &mut log).unwrap();
        let mut seen = 0;
        for entry in IntervalLogIterator::new(&log) {
            let LogEntry::Interval(entry) = entry.unwrap() else {
                continue;
            };
            seen += 1;
            assert_eq!(entry.tag().unwrap().as_str(), "t_seconds{path=\"/a;_b\"}");
            assert_eq!(entry.duration(), Duration::from_millis(2500));
            let bytes = base64(entry.encoded_histogram());
            let read: hdrhistogram::Histogram<u64> = Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .unwrap();
            assert_eq!(read.len(), 100);
            assert_eq!(read.value_at_quantile(0.5), 1_007);
            assert!((1_000_000..1_032_000).contains(&read.value_at_quantile(0.99)));
        }
        assert_eq!(seen, 1, "{}", String::from_utf8_lossy(&log));
    }

    fn base64(text: &str) -> Vec<u8> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bytes = Vec::new();
        let (mut bits, mut count) = (0u32, 0);
        for letter in text.bytes().filter(|&letter| letter != b'=') {
            let digit = ALPHABET.iter().position(|&known| known == letter).unwrap();
            bits = (bits << 6) | u32::try_from(digit).unwrap();
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count).to_le_bytes()[0]);
                bits &= (1 << count) - 1;
            }
        }
        bytes
    }
}
