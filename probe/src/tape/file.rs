//! A tape as a file of bounded size that survives the death of whoever writes it.
//!
//! ```text
//! magic "tachtape" · version u32 · slots u32 · slot bytes u64        little-endian, 24 bytes
//! slot: sequence u64, entries, to the slot's end
//! entry: length u32 · CRC-32 of (sequence, body) u32 · body
//! ```
//!
//! | a writer killed while it | leaves |
//! |---|---|
//! | appends an entry | an entry whose checksum is wrong: the slot ends before it |
//! | begins a slot | a slot without a first entry, which counts as empty: the oldest frames are lost, as they were to be |
//!
//! The checksum covers the slot's sequence, so entries of an earlier lap do not pass for its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{Chunk, Tape, code};
use crate::file;
use crate::frame::Frame;

const MAGIC: &[u8; 8] = b"tachtape";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 24;
const SEQUENCE_BYTES: usize = 8;
const ENTRY_HEADER_BYTES: usize = 8;
/// So many parts of the whole are lost when the oldest goes.
const SLOTS: u32 = 8;

/// The side that records.
#[derive(Debug)]
pub(crate) struct TapeFile {
    file: File,
    slot_bytes: usize,
    /// Counts the slots that were begun; 0 before the first.
    sequence: u64,
    /// Where the next entry goes, in the slot.
    offset: usize,
    last: Option<Frame>,
}

impl TapeFile {
    /// A new file of at most `bytes`; one that exists is an error, unless it is to be overwritten.
    pub(crate) fn create(path: &Path, bytes: u64, overwrites: bool) -> io::Result<TapeFile> {
        file::refuse_segment(path)?;
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(overwrites)
            .create_new(!overwrites);
        let file = options.open(path)?;
        file.set_len(0)?;
        let room = usize::try_from(bytes).unwrap_or(usize::MAX);
        let slot_bytes = room.saturating_sub(HEADER_BYTES) / SLOTS as usize;
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(SLOTS.to_le_bytes());
        header.extend((slot_bytes as u64).to_le_bytes());
        file.write_all_at(&header, 0)?;
        Ok(TapeFile {
            file,
            slot_bytes,
            sequence: 0,
            offset: 0,
            last: None,
        })
    }

    /// Appends a frame, over the oldest ones where the file is full.
    ///
    /// # Errors
    /// Those of writing; `FileTooLarge` where a whole frame does not fit into a part of the file.
    pub(crate) fn push(&mut self, frame: &Frame) -> io::Result<()> {
        let changes = self
            .last
            .as_ref()
            .and_then(|last| code::changes(last, frame));
        match changes.filter(|entry| self.fits(entry)) {
            Some(entry) => self.append(&entry)?,
            None => self.begin_slot(&code::whole(frame))?,
        }
        self.last = Some(frame.clone());
        Ok(())
    }

    fn fits(&self, entry: &[u8]) -> bool {
        self.sequence > 0 && self.offset + ENTRY_HEADER_BYTES + entry.len() <= self.slot_bytes
    }

    fn append(&mut self, entry: &[u8]) -> io::Result<()> {
        let bytes = framed(self.sequence, entry);
        self.file.write_all_at(&bytes, self.position(self.offset))?;
        self.offset += bytes.len();
        Ok(())
    }

    fn begin_slot(&mut self, entry: &[u8]) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let mut bytes = sequence.to_le_bytes().to_vec();
        bytes.extend(framed(sequence, entry));
        if bytes.len() > self.slot_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.sequence = sequence;
        self.file.write_all_at(&bytes, self.position(0))?;
        self.offset = bytes.len();
        Ok(())
    }

    fn position(&self, offset: usize) -> u64 {
        let slot = (self.sequence - 1) % u64::from(SLOTS);
        HEADER_BYTES as u64 + slot * self.slot_bytes as u64 + offset as u64
    }
}

/// An entry behind its length and checksum.
fn framed(sequence: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(checksum(sequence, body).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn checksum(sequence: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Whether a file with these first bytes is a recording, of whatever version.
pub(crate) fn is_tape(first: &[u8]) -> bool {
    first.starts_with(MAGIC)
}

/// The frames that a file holds.
///
/// # Errors
/// In words: it cannot be read, is no tape, or holds no frame.
pub(crate) fn read(path: &Path) -> Result<Tape, String> {
    let shown = path.display();
    let unread = |error: io::Error| format!("cannot read {shown}: {error}");
    let mut file = File::open(path).map_err(unread)?;
    let mut bytes = Vec::new();
    // No more is read of what may be as large as a segment.
    let mut start = file.by_ref().take(HEADER_BYTES as u64);
    start.read_to_end(&mut bytes).map_err(unread)?;
    let (slots, slot_bytes) =
        header(&bytes).ok_or_else(|| format!("{shown} is no recording of this version"))?;
    file.read_to_end(&mut bytes).map_err(unread)?;
    let mut chunks: Vec<(u64, Chunk)> = bytes[HEADER_BYTES..]
        .chunks(slot_bytes)
        .take(slots)
        .filter_map(slot)
        .collect();
    chunks.sort_by_key(|(sequence, _)| *sequence);
    let tape = Tape {
        chunks: chunks.into_iter().map(|(_, chunk)| chunk).collect(),
        ..Tape::new(usize::MAX)
    };
    if tape.end() == 0 {
        return Err(format!("{shown} holds no frame yet"));
    }
    Ok(tape)
}

/// Slots and bytes of each.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    if number(rest)? != VERSION {
        return None;
    }
    let slots = usize::try_from(number(&rest[4..])?).ok()?;
    let slot_bytes = u64::from_le_bytes(rest.get(8..16)?.try_into().ok()?);
    let slot_bytes = usize::try_from(slot_bytes).ok()?;
    (slot_bytes > SEQUENCE_BYTES).then_some((slots, slot_bytes))
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// A slot's sequence and the frames up to the first that is not sound; `None` without any.
fn slot(bytes: &[u8]) -> Option<(u64, Chunk)> {
    let (sequence, mut rest) = bytes.split_at_checked(SEQUENCE_BYTES)?;
    let sequence = u64::from_le_bytes(sequence.try_into().ok()?);
    let mut chunk = Chunk::default();
    let mut last: Option<Frame> = None;
    while let Some((body, after)) = entry(sequence, rest) {
        let Some(frame) = code::decode(body, last.as_ref()) else {
            break;
        };
        chunk.push(frame.time_unix_nanos, body.to_vec());
        last = Some(frame);
        rest = after;
    }
    last.map(|_| (sequence, chunk))
}

/// The next entry and what follows it.
fn entry(sequence: u64, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(number(bytes)?).ok()?;
    let expected = number(&bytes[4..])?;
    let (body, after) = bytes[ENTRY_HEADER_BYTES..].split_at_checked(length)?;
    (length > 0 && checksum(sequence, body) == expected).then_some((body, after))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use tempfile::TempDir;

    fn recorded(frames: &[Frame], bytes: u64) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        let mut file = TapeFile::create(&path, bytes, false).unwrap();
        frames.iter().for_each(|frame| file.push(frame).unwrap());
        (folder, path)
    }

    fn played(path: &Path) -> Vec<Frame> {
        let tape = read(path).unwrap();
        tape.frames(tape.first()).collect()
    }

    #[test]
    fn a_file_gives_back_what_was_recorded() {
        let frames = sample(100);
        let (_folder, path) = recorded(&frames, 1 << 20);
        assert_eq!(played(&path), frames);
        let again = TapeFile::create(&path, 1 << 20, false).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_full_file_keeps_the_newest() {
        let frames = sample(250);
        let bytes = 12 << 10;
        let (_folder, path) = recorded(&frames, bytes);
        assert!(fs::metadata(&path).unwrap().len() <= bytes);
        let kept = played(&path);
        assert!(kept.len() > 50 && kept.len() < 250, "{}", kept.len());
        assert_eq!(kept, frames[frames.len() - kept.len()..]);
    }

    /// Whether all of `kept` are among `frames`, in their order.
    fn are_among(kept: &[Frame], frames: &[Frame]) -> bool {
        let mut rest = frames.iter();
        kept.iter().all(|kept| rest.any(|frame| frame == kept))
    }

    #[test]
    fn a_file_cut_or_torn_anywhere_gives_the_sound_frames() {
        let frames = sample(12);
        let (_folder, path) = recorded(&frames, 1 << 20);
        let bytes = fs::read(&path).unwrap();
        let slot_bytes = (bytes.len() - HEADER_BYTES).min((1 << 17) - 3);
        let first_slots_end = HEADER_BYTES + slot_bytes;
        let mut lost = 0;
        for at in (0..first_slots_end).step_by(97).chain(0..64) {
            fs::write(&path, &bytes[..at]).unwrap();
            if let Ok(tape) = read(&path) {
                let kept: Vec<Frame> = tape.frames(0).collect();
                assert!(frames.starts_with(&kept), "cut at {at}");
            }
            let mut torn = bytes.clone();
            torn[at] ^= 0x55;
            fs::write(&path, &torn).unwrap();
            if let Ok(tape) = read(&path) {
                let kept: Vec<Frame> = tape.frames(0).collect();
                assert!(are_among(&kept, &frames), "torn at {at}");
                lost += frames.len() - kept.len();
            }
        }
        assert!(lost > 0, "the harm does no harm");
    }

    #[test]
    fn a_frame_larger_than_a_slot_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = TapeFile::create(&folder.path().join("tape"), 1024, false).unwrap();
        let error = file.push(&sample(1)[0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_is_no_tape_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        assert!(read(&path).unwrap_err().contains("cannot read"));
        fs::write(&path, "tachtape").unwrap();
        assert!(read(&path).unwrap_err().contains("no recording"));
        TapeFile::create(&path, 1 << 20, true).unwrap();
        assert!(read(&path).unwrap_err().contains("no frame yet"));
    }
}
