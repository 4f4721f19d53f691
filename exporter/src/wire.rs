//! The wire format of protobuf messages, as far as pages need it.

/// A message in the making.
pub(crate) struct Message<'a>(pub(crate) &'a mut Vec<u8>);

const VARINT: u64 = 0;
const DOUBLE: u64 = 1;
const BYTES: u64 = 2;

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
        let start = self.0.len();
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

/// Puts the length of what follows `start` before it.
pub(crate) fn delimit(out: &mut Vec<u8>, start: usize) {
    let end = out.len();
    push_varint(out, (end - start) as u64);
    let length_bytes = out.len() - end;
    out[start..].rotate_right(length_bytes);
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
