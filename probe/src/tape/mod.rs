//! The last frames of a segment, in bounded memory or in a file of bounded size.
//!
//! A tape is a ring of chunks. A chunk begins with a whole frame, so the oldest can go without the others.

mod code;
mod file;

use std::collections::VecDeque;

use crate::frame::Frame;

pub(crate) use file::{TapeFile, is_tape, read};

/// Frames of a chunk in memory: what is decoded at most to show one of them.
const CHUNK_FRAMES_MAX: usize = 60;

/// Frames by number. Numbers go on when the oldest frames are dropped.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    chunks: VecDeque<Chunk>,
    /// The number of the first frame that is kept.
    first: u64,
    bytes: usize,
    bytes_max: usize,
    last: Option<Frame>,
}

#[derive(Debug, Default)]
struct Chunk {
    times: Vec<u64>,
    entries: Vec<Vec<u8>>,
}

impl Chunk {
    fn push(&mut self, time: u64, entry: Vec<u8>) {
        self.times.push(time);
        self.entries.push(entry);
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(Vec::len).sum()
    }

    fn len(&self) -> u64 {
        self.times.len() as u64
    }
}

impl Tape {
    /// An empty tape that drops its oldest frames before it takes more than `bytes_max`.
    pub(crate) fn new(bytes_max: usize) -> Tape {
        Tape {
            bytes_max,
            ..Tape::default()
        }
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        let has_room =
            (self.chunks.back()).is_some_and(|chunk| chunk.times.len() < CHUNK_FRAMES_MAX);
        let changes = self.last.as_ref().filter(|_| has_room);
        let changes = changes.and_then(|last| code::changes(last, frame));
        if changes.is_none() {
            self.chunks.push_back(Chunk::default());
        }
        let entry = changes.unwrap_or_else(|| code::whole(frame));
        self.bytes += entry.len();
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(frame.time_unix_nanos, entry);
        }
        self.last = Some(frame.clone());
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        while self.bytes > self.bytes_max && self.chunks.len() > 1 {
            if let Some(chunk) = self.chunks.pop_front() {
                self.first += chunk.len();
                self.bytes -= chunk.bytes();
            }
        }
    }

    /// The number of the first frame.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the frame after the last.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.chunks.iter().map(Chunk::len).sum::<u64>()
    }

    /// When frame `number` was seen.
    pub(crate) fn time(&self, number: u64) -> Option<u64> {
        let (chunk, inside) = self.find(number)?;
        self.chunks[chunk].times.get(inside).copied()
    }

    /// The chunk of a frame, and its place there.
    fn find(&self, number: u64) -> Option<(usize, usize)> {
        let mut rest = number.checked_sub(self.first)?;
        for (index, chunk) in self.chunks.iter().enumerate() {
            if rest < chunk.len() {
                return Some((index, usize::try_from(rest).ok()?));
            }
            rest -= chunk.len();
        }
        None
    }

    /// The number of the last frame no later than `time`, or of the first.
    pub(crate) fn at(&self, time: u64) -> u64 {
        let times = self.chunks.iter().flat_map(|chunk| &chunk.times);
        let before = times.take_while(|&&seen| seen <= time).count() as u64;
        self.first + before.saturating_sub(1)
    }

    /// The frames from `number` on.
    pub(crate) fn frames(&self, number: u64) -> impl Iterator<Item = Frame> + '_ {
        let (chunk, inside) = self.find(number).unwrap_or((self.chunks.len(), 0));
        let entries = self.chunks.range(chunk..).flat_map(|chunk| &chunk.entries);
        let mut last: Option<Frame> = None;
        let frames = entries.map_while(move |entry| {
            let frame = code::decode(entry, last.as_ref())?;
            last = Some(frame.clone());
            Some(frame)
        });
        frames.skip(inside)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::frame::Eye;
    use tachograph::{GaugeMode, SegmentOptions, Unit, Writer};

    /// Frames of a segment in which everything moves, and where something new comes half-way.
    pub(crate) fn sample(count: u64) -> Vec<Frame> {
        let writer = SegmentOptions::new().heap().unwrap();
        let requests = writer
            .counter("requests_total", "Requests")
            .family()
            .unwrap();
        let seconds = writer.counter_f64("cpu_seconds_total", "Time");
        let seconds = seconds.unit(Unit::SECONDS).register().unwrap();
        let queue = writer.gauge("queue_jobs", "Jobs").register().unwrap();
        let each = writer.gauge("worker_jobs", "Jobs").mode(GaugeMode::Each);
        let each = each.register().unwrap();
        let times = writer.histogram("request_duration_seconds", "Time");
        let times = times.unit(Unit::NANOSECONDS).register().unwrap();
        let state = writer.state_set("state", "State", &["idle", "busy"]);
        let state = state.register().unwrap();
        let mut eye = Eye::default();
        (0..count)
            .map(|step| {
                let step_signed = i64::try_from(step).unwrap();
                let method = if step < count / 2 { "get" } else { "put" };
                requests.with(&[("method", method)]).unwrap().add(step * 7);
                seconds.add(0.125);
                queue.set(5 - step_signed);
                each.set(step_signed);
                times.record_n(1_000 << (step % 20), step);
                state.set(usize::from(step % 2 == 1));
                frame(&writer, &mut eye, step)
            })
            .collect()
    }

    fn frame(writer: &Writer, eye: &mut Eye, step: u64) -> Frame {
        let mut frame = eye.see(&writer.snapshot().unwrap());
        frame.time_unix_nanos = (step + 1) * 1_000_000_000;
        frame
    }

    #[test]
    fn frames_come_back_as_they_were() {
        let frames = sample(150);
        let mut tape = Tape::new(usize::MAX);
        frames.iter().for_each(|frame| tape.push(frame));
        assert_eq!((tape.first(), tape.end()), (0, 150));
        for number in [0, 1, 59, 60, 61, 75, 149] {
            let played: Vec<Frame> = tape.frames(number).take(3).collect();
            let start = usize::try_from(number).unwrap();
            assert_eq!(played, frames[start..(start + 3).min(150)], "{number}");
            assert_eq!(tape.time(number), Some(frames[start].time_unix_nanos));
        }
        assert_eq!(tape.frames(150).count(), 0);
        assert_eq!(tape.time(150), None);
    }

    #[test]
    fn the_oldest_frames_go_and_numbers_stay() {
        let frames = sample(250);
        let mut tape = Tape::new(8 << 10);
        for (frame, end) in frames.iter().zip(1..) {
            tape.push(frame);
            assert_eq!(tape.end(), end);
            assert!(tape.bytes <= 8 << 10, "{}", tape.bytes);
        }
        assert!(tape.first() > 0 && tape.first() < 250);
        let first = usize::try_from(tape.first()).unwrap();
        let kept: Vec<Frame> = tape.frames(tape.first()).collect();
        assert_eq!(kept, frames[first..]);
        assert_eq!(tape.frames(tape.first() - 1).count(), 0);
    }

    #[test]
    fn a_time_finds_its_frame() {
        let mut tape = Tape::new(usize::MAX);
        sample(100).iter().for_each(|frame| tape.push(frame));
        assert_eq!(tape.at(0), 0);
        assert_eq!(tape.at(70_500_000_000), 69);
        assert_eq!(tape.at(u64::MAX), 99);
    }

    #[test]
    fn changes_are_small() {
        let frames = sample(40);
        let whole = code::whole(&frames[10]).len();
        let changes = code::changes(&frames[9], &frames[10]).unwrap().len();
        assert!(changes * 10 < whole, "{changes} of {whole}");
    }

    #[test]
    fn damaged_entries_decode_to_nothing_worse_than_a_frame() {
        let frames = sample(12);
        let entries = [
            code::whole(&frames[10]),
            code::changes(&frames[9], &frames[10]).unwrap(),
        ];
        for entry in &entries {
            for at in 0..entry.len() {
                let cut = code::decode(&entry[..at], Some(&frames[9]));
                assert_ne!(cut.as_ref(), Some(&frames[10]), "cut at {at}");
                for flip in [1, 0x80, 0xff] {
                    let mut bent = entry.clone();
                    bent[at] ^= flip;
                    if let Some(frame) = code::decode(&bent, Some(&frames[9])) {
                        assert_eq!(frame.values.len(), frame.directory.len());
                    }
                }
            }
        }
    }
}
