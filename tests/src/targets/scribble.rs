//! A reader of a segment that another thread scribbles into.

use std::thread;

use tachograph::Reader;
use tachograph_exporter::text::TextRenderer;

use super::forge::{Forge, Patch, check};

/// How often the scribbler writes all patches and takes them back.
const ROUNDS: usize = 20;

thread_local! {
    static FORGE: Forge = Forge::new();
}

/// Patches, written and taken back again and again while a reader takes snapshots.
///
/// # Panics
/// When a promise is broken.
pub fn run(input: &[u8]) {
    FORGE.with(|forge| {
        let patches = forge.patches(input);
        let spared = forge.spared(&patches);
        let mut reader = Reader::attach(forge.path()).expect("it is sound");
        let mut renderer = TextRenderer::new();
        thread::scope(|scope| {
            let scribbler = scope.spawn(|| (0..ROUNDS).for_each(|_| scribble(forge, &patches)));
            while !scribbler.is_finished() {
                check(&mut reader, &mut renderer, &spared);
            }
        });
        forge.mend(&patches);
        // What was read of damaged records stays until something new is published; whoever comes now reads all.
        let mut late = Reader::attach(forge.path()).expect("it is sound again");
        check(&mut late, &mut renderer, &forge.spared(&[]));
        forge.check_blocks();
    });
}

fn scribble(forge: &Forge, patches: &[Patch]) {
    patches.iter().for_each(|patch| forge.apply(patch));
    forge.mend(patches);
}
