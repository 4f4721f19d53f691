//! The buffer that a page is written on, again and again.
//!
//! A line is its beginning, a number and a line end. Most numbers are integers, so those are written in
//! place: appending digits that were made elsewhere takes longer than making them. The bytes of the page
//! before are overwritten and not cleared.

use crate::chain::Text;
use crate::number::{push_float, push_integer};

/// Room for the digits of any `u64` and a line end.
const NUMBER_BYTES: usize = 24;
/// The least that a sheet grows by.
const GROWTH_BYTES: usize = 64 * 1024;

const PAIRS: [[u8; 2]; 100] = pairs();
const POWERS: [u64; 20] = powers();

/// A page in the making.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// All of it may be written to; what is behind `end` means nothing.
    bytes: Vec<u8>,
    end: usize,
    /// For numbers that are not written in place.
    scratch: Vec<u8>,
}

impl Sheet {
    /// A sheet that overwrites `bytes`.
    pub(crate) fn over(mut bytes: Vec<u8>) -> Sheet {
        // What `into_bytes` has left of the room behind the last page.
        let room = bytes.len() + GROWTH_BYTES;
        bytes.resize(room.min(bytes.capacity()), 0);
        Sheet {
            bytes,
            end: 0,
            scratch: Vec::new(),
        }
    }

    /// What was written. Most of what it grew by in vain is given back.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.end);
        self.bytes.shrink_to(self.end + GROWTH_BYTES);
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.end
    }

    /// Takes back what was written behind `end`.
    pub(crate) fn truncate(&mut self, end: usize) {
        self.end = end.min(self.end);
    }

    pub(crate) fn push<'a>(&mut self, text: impl Into<Text<'a>>) {
        let text = text.into();
        let end = self.end + text.len();
        self.make_room(end);
        text.write(&mut self.bytes[self.end..]);
        self.end = end;
    }

    /// Writes a line with an integer.
    #[inline(always)]
    pub(crate) fn push_unsigned<'a>(&mut self, beginning: impl Into<Text<'a>>, value: u64) {
        let beginning = beginning.into();
        let start = self.end + beginning.len();
        self.make_room(start + NUMBER_BYTES);
        beginning.write(&mut self.bytes[self.end..]);
        let room = self.bytes[start..].first_chunk_mut::<NUMBER_BYTES>();
        self.end = start + room.map_or(0, |room| write_unsigned(room, value));
    }

    /// Writes a line with any integer.
    pub(crate) fn push_integer<'a>(
        &mut self,
        beginning: impl Into<Text<'a>>,
        value: impl itoa::Integer,
    ) {
        self.scratch.clear();
        push_integer(&mut self.scratch, value);
        self.push_scratch(beginning);
    }

    /// Writes a line with a float.
    pub(crate) fn push_float<'a>(&mut self, beginning: impl Into<Text<'a>>, value: f64) {
        self.scratch.clear();
        push_float(&mut self.scratch, value);
        self.push_scratch(beginning);
    }

    /// Adds to the line that was written last.
    pub(crate) fn extend_line(&mut self, more: &[u8]) {
        self.end -= 1;
        self.push(more);
        self.push(&b"\n"[..]);
    }

    fn push_scratch<'a>(&mut self, beginning: impl Into<Text<'a>>) {
        self.scratch.push(b'\n');
        self.push(beginning);
        let scratch = std::mem::take(&mut self.scratch);
        self.push(scratch.as_slice());
        self.scratch = scratch;
    }

    #[inline]
    fn make_room(&mut self, end: usize) {
        if end > self.bytes.len() {
            self.grow(end);
        }
    }

    #[cold]
    fn grow(&mut self, end: usize) {
        self.bytes.resize(end + GROWTH_BYTES + end / 8, 0);
    }
}

/// Writes `value` and a line end; returns how many bytes these are.
#[inline]
fn write_unsigned(room: &mut [u8; NUMBER_BYTES], mut value: u64) -> usize {
    let count = digits(value);
    let mut at = count;
    while value >= 100 {
        let pair = PAIRS[(value % 100) as usize];
        value /= 100;
        at -= 2;
        room[at..at + 2].copy_from_slice(&pair);
    }
    let pair = PAIRS[(value % 100) as usize];
    if at == 2 {
        room[0] = pair[0];
    }
    room[at - 1] = pair[1];
    room[count] = b'\n';
    count + 1
}

/// How many decimal digits `value` has.
#[inline]
fn digits(value: u64) -> usize {
    // 1233 / 4096 is just above log₁₀ 2, so this is the number of digits or one less.
    let guess = ((64 - (value | 1).leading_zeros()) * 1233) as usize >> 12;
    guess + usize::from(value | 1 >= POWERS[guess])
}

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[b'0'; 2]; 100];
    let mut value = 0u8;
    while value < 100 {
        pairs[value as usize] = [b'0' + value / 10, b'0' + value % 10];
        value += 1;
    }
    pairs
}

const fn powers() -> [u64; 20] {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sheet_is_written_over_and_grows() {
        let mut sheet = Sheet::over(b"old text that means nothing".to_vec());
        sheet.push(&b"# x\n"[..]);
        let end = sheet.len();
        sheet.push_unsigned(&b"a "[..], 100);
        sheet.truncate(end);
        sheet.push_unsigned(&b"b "[..], u64::MAX);
        sheet.push_integer(&b"c "[..], -5i64);
        sheet.push_float(&b"d "[..], 0.25);
        sheet.extend_line(b" # more");
        assert_eq!(
            String::from_utf8(sheet.into_bytes()).unwrap(),
            "# x\nb 18446744073709551615\nc -5\nd 0.25 # more\n"
        );
        let mut sheet = Sheet::over(Vec::new());
        for _ in 0..10_000 {
            sheet.push(&[b'x'; 100][..]);
        }
        assert_eq!(sheet.into_bytes(), [b'x'; 1_000_000]);
    }

    #[test]
    fn every_number_of_digits() {
        for power in POWERS {
            for value in [power - 1, power, power + 1] {
                assert_eq!(digits(value), value.to_string().len());
            }
        }
        assert_eq!(digits(u64::MAX), 20);
    }

    proptest! {
        #[test]
        fn integers_are_those_of_the_standard_library(value in any::<u64>(), shift in 0u32..64) {
            let value = value >> shift;
            let mut room = [b'x'; NUMBER_BYTES];
            let end = write_unsigned(&mut room, value);
            prop_assert_eq!(String::from_utf8_lossy(&room[..end]), format!("{value}\n"));
        }
    }
}
