//! What the host can do to a segment: take its memory, its file, its name or its owner. After each fault
//! the caller has an error that helps, the operator a count, old series count on exactly, and no writer,
//! exporter or probe ends by a signal, an abort or a hang.
//!
//! What needs mounts, users, namespaces or cgroups needs root; the tests say `SKIPPED` where it lacks.

mod file;
mod identity;
mod injection;
mod limits;
mod memory;
mod place;
mod stage;
