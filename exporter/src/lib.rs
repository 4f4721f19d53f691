//! Serves tachograph segments to Prometheus: snapshots become bytes, bytes become an HTTP page.
//!
//! It flows one way: [`text`] makes a page of snapshots, and nothing here looks into a segment.
#![forbid(unsafe_code)]

pub mod escape;
mod label;
pub mod number;
mod plan;
pub mod text;

pub use plan::Conflict;
