//! The full screen as a terminal shows it: the real program in a pseudo-terminal, with a live segment.

mod cost;
mod keys;
mod pictures;
mod recording;
mod restore;
mod support;
mod svg;
