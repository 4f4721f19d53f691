//! Frames in few bytes: one whole, then what changed from each to the next.
//!
//! An entry is a kind byte and a body in the wire format of postcard (<https://postcard.jamesmunns.com>). What is
//! read may be damaged or hostile: it decodes to nothing then, in bounded memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use crate::frame::{Directory, Frame, Health, Histogram, Value};

const WHOLE: u8 = 1;
const CHANGES: u8 = 2;
/// No frame unpacks to more.
const UNPACKED_MAX: u64 = 1 << 30;

/// A frame that stands for itself.
#[derive(Serialize, Deserialize)]
struct Whole {
    time_unix_nanos: u64,
    health: Health,
    directory: Directory,
    values: Vec<Value>,
}

/// What a frame has that the one before it had not.
#[derive(Serialize, Deserialize)]
struct Changes {
    /// Time since the frame before.
    nanos: u64,
    health: Option<Health>,
    /// For each value that changed, how many unchanged ones stand before it, and the change.
    values: Vec<(u32, Change)>,
}

#[derive(Serialize, Deserialize)]
enum Change {
    Rose(u64),
    Moved(i64),
    /// Buckets that took values, by the gap to the one before, and the rise of the sum.
    Recorded(Vec<(u32, u64)>, u128),
    Is(Value),
}

/// A frame whole, packed.
pub(super) fn whole(frame: &Frame) -> Vec<u8> {
    let whole = Whole {
        time_unix_nanos: frame.time_unix_nanos,
        health: frame.health.clone(),
        directory: Directory::clone(&frame.directory),
        values: frame.values.clone(),
    };
    let mut packed = DeflateEncoder::new(vec![WHOLE], Compression::fast());
    let body = serialised(&whole);
    packed
        .write_all(&body)
        .and_then(|()| packed.finish())
        .expect("memory takes all")
}

/// What changed from `older` to `newer`; `None` where `newer` must be written whole.
pub(super) fn changes(older: &Frame, newer: &Frame) -> Option<Vec<u8>> {
    let is_same = Arc::ptr_eq(&older.directory, &newer.directory)
        && older.health.instance == newer.health.instance;
    let nanos = newer.time_unix_nanos.checked_sub(older.time_unix_nanos)?;
    if !is_same {
        return None;
    }
    let mut values = Vec::new();
    let mut unchanged = 0;
    for (older, newer) in older.values.iter().zip(&newer.values) {
        match change(older, newer) {
            Some(change) => {
                values.push((unchanged, change));
                unchanged = 0;
            }
            None => unchanged += 1,
        }
    }
    let changes = Changes {
        nanos,
        health: (older.health != newer.health).then(|| newer.health.clone()),
        values,
    };
    let mut entry = vec![CHANGES];
    entry.extend(serialised(&changes));
    Some(entry)
}

fn serialised(body: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(body).expect("plain data is serialisable, and memory takes all")
}

fn change(older: &Value, newer: &Value) -> Option<Change> {
    match (older, newer) {
        (Value::Float(older), Value::Float(newer)) if older.to_bits() == newer.to_bits() => None,
        (older, newer) if older == newer => None,
        (Value::Count(older), Value::Count(newer)) if newer > older => {
            Some(Change::Rose(newer - older))
        }
        (Value::Level(older), Value::Level(newer)) => {
            Some(Change::Moved(newer.wrapping_sub(*older)))
        }
        (Value::Histogram(older), Value::Histogram(newer)) => Some(recorded(older, newer)),
        _ => Some(Change::Is(newer.clone())),
    }
}

fn recorded(older: &Histogram, newer: &Histogram) -> Change {
    let since = newer.since(older);
    // A reader's counts only rise, but what was removed and registered again begins anew.
    if rise(older, &since.counts, since.sum).as_ref() != Some(newer) {
        return Change::Is(Value::Histogram(newer.clone()));
    }
    let mut next = 0;
    let gaps = since.counts.iter().map(|&(index, risen)| {
        let gap = index - next;
        next = index + 1;
        (gap, risen)
    });
    Change::Recorded(gaps.collect(), since.sum)
}

/// `older` with `risen` and `sum` added; `None` where a bucket would not fit.
fn rise(older: &Histogram, risen: &[(u32, u64)], sum: u128) -> Option<Histogram> {
    let mut counts = Vec::with_capacity(older.counts.len() + risen.len());
    let mut rest = older.counts.iter().copied().peekable();
    for &(index, risen) in risen {
        while let Some(old) = rest.next_if(|old| old.0 < index) {
            counts.push(old);
        }
        let old = rest.next_if(|old| old.0 == index).map_or(0, |old| old.1);
        counts.push((index, old.checked_add(risen)?));
    }
    counts.extend(rest);
    let sum = older.sum.checked_add(sum)?;
    Some(Histogram { counts, sum })
}

/// The frame that `entry` says, after `older`; `None` where it makes no sense.
pub(super) fn decode(entry: &[u8], older: Option<&Frame>) -> Option<Frame> {
    match entry.split_first()? {
        (&WHOLE, body) => unpack(body, older),
        (&CHANGES, body) => apply(older?, postcard::from_bytes(body).ok()?),
        _ => None,
    }
}

fn unpack(body: &[u8], older: Option<&Frame>) -> Option<Frame> {
    let mut plain = Vec::new();
    let mut unpacked = DeflateDecoder::new(body).take(UNPACKED_MAX);
    unpacked.read_to_end(&mut plain).ok()?;
    let whole: Whole = postcard::from_bytes(&plain).ok()?;
    if !whole.directory.is_sound() || whole.directory.len() != whole.values.len() {
        return None;
    }
    let directory = match older {
        Some(older) if *older.directory == whole.directory => Arc::clone(&older.directory),
        _ => Arc::new(whole.directory),
    };
    Some(Frame {
        time_unix_nanos: whole.time_unix_nanos,
        health: whole.health,
        directory,
        values: whole.values,
    })
}

fn apply(older: &Frame, changes: Changes) -> Option<Frame> {
    let mut frame = Frame {
        time_unix_nanos: older.time_unix_nanos.checked_add(changes.nanos)?,
        health: changes.health.unwrap_or_else(|| older.health.clone()),
        directory: Arc::clone(&older.directory),
        values: older.values.clone(),
    };
    let mut rest = frame.values.iter_mut();
    for (unchanged, change) in changes.values {
        let value = rest.nth(unchanged as usize)?;
        *value = changed(value, change)?;
    }
    Some(frame)
}

fn changed(older: &Value, change: Change) -> Option<Value> {
    Some(match (older, change) {
        (_, Change::Is(value)) => value,
        (Value::Count(older), Change::Rose(by)) => Value::Count(older.checked_add(by)?),
        (Value::Level(older), Change::Moved(by)) => Value::Level(older.wrapping_add(by)),
        (Value::Histogram(older), Change::Recorded(gaps, sum)) => {
            let mut next = 0u32;
            let mut risen = Vec::with_capacity(gaps.len());
            for (gap, by) in gaps {
                let index = next.checked_add(gap)?;
                next = index.checked_add(1)?;
                risen.push((index, by));
            }
            Value::Histogram(rise(older, &risen, sum)?)
        }
        _ => return None,
    })
}
