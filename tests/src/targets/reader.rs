//! A reader of a segment with damaged words, or of bytes that never were a segment.

use std::fs;

use tachograph::Reader;
use tachograph_exporter::text::TextRenderer;

use super::forge::{Forge, check};
use crate::scratch::Scratch;

thread_local! {
    static FORGE: Forge = Forge::new();
    static SCRATCH: Scratch = Scratch::new();
}

/// The first byte: bit 0 repairs the checksum, bit 1 has the reader attach before the damage, bit 2 takes
/// the rest as a whole file. Patches follow.
///
/// # Panics
/// When a promise is broken.
pub fn run(input: &[u8]) {
    let Some((&flags, rest)) = input.split_first() else {
        return;
    };
    if flags & 4 != 0 {
        return SCRATCH.with(|scratch| any_file(scratch, rest));
    }
    FORGE.with(|forge| damaged(forge, flags, rest));
}

fn damaged(forge: &Forge, flags: u8, bytes: &[u8]) {
    let patches = forge.patches(bytes);
    let spared = forge.spared(&patches);
    let mut renderer = TextRenderer::new();
    let mut early = (flags & 2 != 0).then(|| Reader::attach(forge.path()).expect("it is sound"));
    for patch in &patches {
        forge.apply(patch);
        if let Some(reader) = early.as_mut().filter(|_| patch.is_read_after) {
            check(reader, &mut renderer, &spared);
        }
    }
    if flags & 1 != 0 {
        forge.repair_checksum();
    }
    if let Some(mut reader) = early {
        check(&mut reader, &mut renderer, &spared);
    }
    match Reader::attach(forge.path()) {
        Ok(mut reader) => (0..2).for_each(|_| check(&mut reader, &mut renderer, &spared)),
        Err(error) => assert!(spared.is_empty(), "no reader: {error}"),
    }
    forge.mend(&patches);
    forge.check_blocks();
}

fn any_file(scratch: &Scratch, bytes: &[u8]) {
    fs::write(scratch.segment(), bytes).expect("room for a few bytes");
    if let Ok(mut reader) = Reader::attach(scratch.segment()) {
        check(&mut reader, &mut TextRenderer::new(), &[]);
    }
}
