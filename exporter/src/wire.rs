//! The wire format of protobuf messages, as far as pages need it.

/// A message in the making.
pub(crate) struct Message<'a>(pub(crate) &'a mut Vec<u8>);

const VARINT: u64 = 0;
const DOUBLE: u64 = 1;
const BYTES: u64 = 2;
/// Most bytes of an integer.
const VARINT_BYTES_MAX: usize = 10;

impl Message<'_> {
    pub(crate) fn unsigned(&mut self, field: u64, value: u64) {
        self.tag(field, VARINT);
        push_varint(self.0, value);
    }

    pub(crate) fn signed(&mut self, field: u64, value: i64) {
        self.unsigned(field, zigzag(value));
    }

    pub(crate) fn double(&mut self, field: u64, value: f64) {
        self.tag(field, DOUBLE);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn text(&mut self, field: u64, text: &str) {
        self.tag(field, BYTES);
        push_varint(self.0, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn message(&mut self, field: u64, write: impl FnOnce(&mut Message<'_>)) {
        self.tag(field, BYTES);
        let start = begin(self.0);
        write(self);
        delimit(self.0, start);
    }

    /// Many signed integers in one field.
    pub(crate) fn packed(&mut self, field: u64, values: &[i64]) {
        self.message(field, |message| {
            for &value in values {
                push_varint(message.0, zigzag(value));
            }
        });
    }

    fn tag(&mut self, field: u64, kind: u64) {
        push_varint(self.0, field << 3 | kind);
    }
}

/// Leaves room for the length of what will follow, which most often is one byte; returns where it follows.
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Puts the length of what follows `start` before it.
pub(crate) fn delimit(out: &mut Vec<u8>, start: usize) {
    let end = out.len();
    let length = (end - start) as u64;
    if length < 0x80 {
        out[start - 1] = (length & 0x7f) as u8;
        return;
    }
    push_varint(out, length);
    let bytes = out.len() - end;
    let mut varint = [0; VARINT_BYTES_MAX];
    varint[..bytes].copy_from_slice(&out[end..]);
    out.truncate(end + bytes - 1);
    out.copy_within(start..end, start - 1 + bytes);
    out[start - 1..start - 1 + bytes].copy_from_slice(&varint[..bytes]);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_stand_before_what_they_count() {
        for length in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000] {
            let mut out = b"before".to_vec();
            let start = begin(&mut out);
            out.extend((0..=250u8).cycle().take(length));
            let content = out[start..].to_vec();
            delimit(&mut out, start);
            let mut rest = out.strip_prefix(b"before").unwrap();
            assert_eq!(prost::decode_length_delimiter(&mut rest), Ok(length));
            assert_eq!(rest, content);
        }
    }
}
