//! What the frames up to one moment say about each series: its rate, its course, when it last changed.

use std::sync::Arc;

use tachograph::Distribution;

use crate::frame::{Directory, Family, Frame, Histogram, Kind, Value};

/// How many looks the course of a series goes back.
pub(crate) const TREND_POINTS: usize = 60;
/// A gauge that nobody changed for so long is worth a note.
const STALE_NANOS: u64 = 60_000_000_000;
const NANOS: f64 = 1e9;

/// The frames up to a moment, as far as they are needed to show it.
#[derive(Debug, Default)]
pub(crate) struct Track {
    older: Option<Frame>,
    now: Option<Frame>,
    /// When the first frame was seen.
    since: u64,
    /// In the order of the newest frame's values.
    lives: Vec<Life>,
}

/// What is known of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Life {
    /// Where its value stands in the frame before; none if it was not there.
    before: Option<usize>,
    /// Rise in the last window in base units a second; values a second of a histogram.
    pub(crate) rate: Option<f64>,
    /// When its value was last seen to change; none if it never was.
    pub(crate) changed: Option<u64>,
    /// Rates, or a gauge's values, oldest first; not a number where there was none.
    pub(crate) trend: [f32; TREND_POINTS],
}

impl Life {
    const NEW: Life = Life {
        before: None,
        rate: None,
        changed: None,
        trend: [f32::NAN; TREND_POINTS],
    };

    #[expect(clippy::cast_possible_truncation, reason = "a chart is coarser")]
    fn push(&mut self, point: Option<f64>) {
        self.trend.copy_within(1.., 0);
        self.trend[TREND_POINTS - 1] = point.map_or(f32::NAN, |point| point as f32);
    }
}

/// Something about a series that an operator should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Note {
    None,
    /// A gauge that has not changed for a minute or more.
    Stale,
    /// Its family has as many series as it may.
    Full,
    /// It stands for series that found no room.
    Other,
}

impl Track {
    /// Goes on to a frame later than all before; one of another segment begins anew.
    pub(crate) fn feed(&mut self, frame: Frame) {
        let is_next = self.now.as_ref().is_some_and(|now| {
            now.health.instance == frame.health.instance
                && now.time_unix_nanos < frame.time_unix_nanos
        });
        if !is_next {
            *self = Track {
                since: frame.time_unix_nanos,
                lives: vec![Life::NEW; frame.values.len()],
                ..Track::default()
            };
        }
        self.older = self.now.take();
        if let Some(older) = &self.older {
            if !Arc::ptr_eq(&older.directory, &frame.directory) {
                self.lives = carried(&self.lives, &older.directory, &frame.directory);
            } else {
                let places = 0..;
                self.lives
                    .iter_mut()
                    .zip(places)
                    .for_each(|(life, place)| life.before = Some(place));
            }
        }
        live(&mut self.lives, self.older.as_ref(), &frame);
        self.now = Some(frame);
    }

    pub(crate) fn frame(&self) -> Option<&Frame> {
        self.now.as_ref()
    }

    pub(crate) fn life(&self, index: usize) -> Option<&Life> {
        self.lives.get(index)
    }

    /// When the track begins.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// How long the last window was.
    pub(crate) fn seconds(&self) -> Option<f64> {
        seconds(self.older.as_ref()?, self.now.as_ref()?)
    }

    /// The values that a histogram took in the last window.
    pub(crate) fn window(&self, index: usize) -> Option<Distribution> {
        let (family, _) = self.now.as_ref()?.directory.locate(index)?;
        family.distribution(&self.recorded(index)?)
    }

    /// The same as buckets.
    pub(crate) fn recorded(&self, index: usize) -> Option<Histogram> {
        let (older, now) = (self.older.as_ref()?, self.now.as_ref()?);
        let Value::Histogram(newer) = now.values.get(index)? else {
            return None;
        };
        let before = self.lives.get(index)?.before;
        Some(match before.and_then(|before| older.values.get(before)) {
            Some(Value::Histogram(before)) => newer.since(before),
            _ => newer.clone(),
        })
    }

    /// The values that a histogram took since it was registered.
    pub(crate) fn total(&self, index: usize) -> Option<Distribution> {
        let now = self.now.as_ref()?;
        let (family, _) = now.directory.locate(index)?;
        match now.values.get(index)? {
            Value::Histogram(histogram) => family.distribution(histogram),
            _ => None,
        }
    }

    pub(crate) fn note(&self, index: usize) -> Note {
        let found = self.now.as_ref().and_then(|now| {
            let (family, series) = now.directory.locate(index)?;
            Some((family, series, now.time_unix_nanos))
        });
        let Some((family, series, now)) = found else {
            return Note::None;
        };
        if series.is_overflow() {
            Note::Other
        } else if family.series.len() as u64 >= family.series_limit {
            Note::Full
        } else if family.kind == Kind::Gauge && self.is_stale(index, now) {
            Note::Stale
        } else {
            Note::None
        }
    }

    fn is_stale(&self, index: usize, now: u64) -> bool {
        let changed = self.lives.get(index).and_then(|life| life.changed);
        now.saturating_sub(changed.unwrap_or(self.since)) >= STALE_NANOS
    }

    /// How many gauges have not changed for long.
    pub(crate) fn stale_gauges(&self) -> usize {
        let indexes = 0..self.lives.len();
        indexes
            .filter(|&index| self.note(index) == Note::Stale)
            .count()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a window is short")]
fn seconds(older: &Frame, newer: &Frame) -> Option<f64> {
    let nanos = newer.time_unix_nanos.checked_sub(older.time_unix_nanos)?;
    (nanos > 0).then(|| nanos as f64 / NANOS)
}

/// The lives of the series of `newer`, taken over from those that `older` has too.
fn carried(lives: &[Life], older: &Directory, newer: &Directory) -> Vec<Life> {
    let mut rest = older.series().zip(0..).peekable();
    let key = |(family, series): (_, _)| -> (&str, _) { (name(family), series) };
    newer
        .series()
        .map(|wanted| {
            let wanted = key(wanted);
            while rest.next_if(|(old, _)| key(*old) < wanted).is_some() {}
            let place = rest
                .next_if(|(old, _)| key(*old) == wanted)
                .map(|(_, place)| place);
            let life = place.and_then(|place: usize| lives.get(place));
            Life {
                before: place,
                ..life.copied().unwrap_or(Life::NEW)
            }
        })
        .collect()
}

fn name(family: &Family) -> &str {
    &family.name
}

/// Brings all lives up to the new frame.
fn live(lives: &mut [Life], older: Option<&Frame>, newer: &Frame) {
    let seconds = older.and_then(|older| seconds(older, newer));
    let all = lives.iter_mut().zip(&newer.values);
    for ((life, now), (family, _)) in all.zip(newer.directory.series()) {
        let before = older.and_then(|older| older.values.get(life.before?));
        life.rate = seconds.and_then(|seconds| Some(risen(family, before, now)? / seconds));
        life.push(match family.kind {
            Kind::Counter | Kind::Histogram => life.rate,
            _ => family.number(now).map(|amount| amount.as_f64()),
        });
        if older.is_some() && before != Some(now) {
            life.changed = Some(newer.time_unix_nanos);
        }
    }
}

/// How much a counter or a histogram's count rose; a new one began at zero.
fn risen(family: &Family, before: Option<&Value>, now: &Value) -> Option<f64> {
    if !matches!(family.kind, Kind::Counter | Kind::Histogram) {
        return None;
    }
    let scale = family.scale();
    let risen = match (before, now) {
        (Some(Value::Count(before)), Value::Count(now)) => {
            scale.apply(as_f64(now.checked_sub(*before)?))
        }
        (None, Value::Count(now)) => scale.apply(as_f64(*now)),
        (Some(Value::Float(before)), Value::Float(now)) => scale.apply(now - before),
        (None, Value::Float(now)) => scale.apply(*now),
        (Some(Value::Histogram(before)), Value::Histogram(now)) => {
            as_f64(now.count().checked_sub(before.count())?)
        }
        (None, Value::Histogram(now)) => as_f64(now.count()),
        _ => return None,
    };
    (risen >= 0.0).then_some(risen)
}

#[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::tests::sample;

    fn index(frame: &Frame, name: &str, label: Option<&str>) -> usize {
        let mut all = frame.directory.series();
        let is_wanted = |(family, series): (&Family, &crate::frame::Series)| {
            let labelled = series.labels.iter().map(|(_, value)| value.as_str()).next();
            family.name == name && labelled == label
        };
        all.position(is_wanted).unwrap()
    }

    fn tracked(frames: &[Frame]) -> Track {
        let mut track = Track::default();
        frames.iter().for_each(|frame| track.feed(frame.clone()));
        track
    }

    #[test]
    fn rates_are_rises_a_second() {
        let frames = sample(5);
        let track = tracked(&frames);
        let get = index(&frames[4], "requests_total", Some("put"));
        assert_eq!(track.life(get).unwrap().rate, Some(28.0));
        let cpu = index(&frames[4], "cpu_seconds_total", None);
        assert_eq!(track.life(cpu).unwrap().rate, Some(0.125));
        let times = index(&frames[4], "request_duration_seconds", None);
        assert_eq!(track.life(times).unwrap().rate, Some(4.0));
        let window = track.window(times).unwrap();
        assert_eq!(window.count(), 4);
        assert_eq!(track.total(times).unwrap().count(), 1 + 2 + 3 + 4);
        let queue = index(&frames[4], "queue_jobs", None);
        assert_eq!(track.life(queue).unwrap().rate, None);
        assert_eq!(track.seconds(), Some(1.0));
    }

    #[test]
    fn the_first_look_has_no_rates_and_a_new_series_counts_from_zero() {
        let frames = sample(8);
        let first = tracked(&frames[..1]);
        assert!(first.lives.iter().all(|life| life.rate.is_none()));
        let track = tracked(&frames[..5]);
        let put = index(&frames[4], "requests_total", Some("put"));
        let life = track.life(put).unwrap();
        assert_eq!((life.rate, life.before), (Some(28.0), None));
        let get = index(&frames[4], "requests_total", Some("get"));
        let life = track.life(get).unwrap();
        assert_eq!(life.rate, Some(0.0));
        assert_eq!(life.changed, Some(frames[3].time_unix_nanos));
        assert_eq!(life.trend[TREND_POINTS - 4..], [7.0, 14.0, 21.0, 0.0]);
    }

    #[test]
    fn another_segment_begins_anew() {
        let mut track = tracked(&sample(4));
        let other = sample(6);
        track.feed(other[5].clone());
        assert_eq!(track.seconds(), None);
        assert_eq!(track.since(), other[5].time_unix_nanos);
        assert!(track.lives.iter().all(|life| life.rate.is_none()));
    }

    #[test]
    fn a_gauge_nobody_changes_is_stale() {
        let frames = sample(2);
        let queue = index(&frames[1], "queue_jobs", None);
        let mut track = tracked(&frames);
        assert_eq!(track.note(queue), Note::None);
        let mut later = frames[1].clone();
        later.time_unix_nanos += STALE_NANOS;
        track.feed(later);
        assert_eq!(track.note(queue), Note::Stale);
        assert!(track.stale_gauges() >= 1);
    }
}
