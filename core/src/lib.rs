//! tachograph
mod buckets;
mod error;
mod schema;
mod snapshot;
mod sync;
mod unit;

pub use buckets::Buckets;
pub use error::Error;
pub use schema::{GaugeMode, Kind};
pub use snapshot::*;
pub use unit::{Scale, Unit};
