//! tachograph: a lock-free shared-memory metrics engine for multi-process hosts.
//!
//! Processes write counters, gauges and histograms into one memory-mapped *segment*, with atomics and no
//! locks, at close to the cost of a plain add. A reader maps the segment read-only and takes a [`Snapshot`].
//!
//! ```
//! use tachograph::{SegmentOptions, Unit};
//!
//! # let folder = tempfile::tempdir_in("/dev/shm").unwrap();
//! # let path = folder.path().join("doc.seg");
//! let writer = SegmentOptions::new().path(&path).attach()?;
//! let requests = writer.counter("requests_total", "Requests served").label("method", "get").register()?;
//! let latency = writer
//!     .histogram("request_duration_seconds", "Time to serve a request")
//!     .unit(Unit::NANOSECONDS)
//!     .register()?;
//!
//! requests.inc();
//! latency.record(1_250_000);
//!
//! let snapshot = tachograph::Reader::attach(&path)?.snapshot()?;
//! assert_eq!(snapshot.number("requests_total", &[("method", "get")]), 1.0);
//! # Ok::<(), tachograph::Error>(())
//! ```
//!
//! Data flows one way: handles → segment → reader → snapshot → exposition. The promises:
//!
//! - An add costs about one plain add, from any number of threads, processes and CPUs.
//! - `kill -9` of any process at any instruction loses at most the one update in flight.
//! - Recording never fails, blocks or panics. What cannot be recorded as asked is counted in the segment.
//! - Nothing may be recorded between `vfork` and `exec`: it cannot be detected there.

#![cfg_attr(
    all(test, loom),
    allow(dead_code, reason = "models use the protocols only")
)]

#[cfg(not(all(test, loom)))]
mod allocator;
mod assembly;
mod attached;
mod buckets;
mod budget;
mod by_process;
mod catalogue;
mod cell;
mod claim;
mod counter;
#[cfg(not(all(test, loom)))]
mod create;
#[cfg(not(all(test, loom)))]
mod declare;
mod definition;
mod dense;
mod error;
mod exemplar;
mod expiry;
mod family;
mod family_removal;
#[cfg(not(all(test, loom)))]
mod fault;
#[cfg(not(all(test, loom)))]
mod fork;
mod free;
mod gauge;
#[cfg(all(test, not(loom)))]
mod heap_tests;
mod held;
mod histogram;
mod holding;
mod home;
mod host;
mod index;
mod labels;
mod layout;
#[cfg(not(all(test, loom)))]
mod lease;
mod list;
mod lock;
mod looked;
mod lookup;
mod loss;
mod marks;
#[cfg(not(all(test, loom)))]
mod memory;
mod merge;
#[cfg(not(all(test, loom)))]
mod missing;
#[cfg(all(test, loom))]
mod models;
mod offsets;
#[cfg(not(all(test, loom)))]
mod options;
mod process;
mod proof;
mod queries;
#[cfg(not(all(test, loom)))]
mod reader;
mod record;
mod recording;
mod refusal;
mod register;
mod removal;
mod rseq;
mod schema;
mod seats;
mod segment;
mod sets;
mod shape;
mod shelf;
mod snapshot;
mod split;
mod supply;
#[cfg(not(all(test, loom)))]
mod sweeper;
mod sync;
mod tables;
mod text;
mod trace;
mod traced;
mod unit;
mod values;
mod watched;
mod window;
mod word;
#[cfg(not(all(test, loom)))]
mod writer;

#[cfg(not(all(test, loom)))]
pub use allocator::give_back_memory;
pub use assembly::{FamilyParts, SeriesValue, table_called};
pub use attached::Outcome;
pub use buckets::Buckets;
pub use cell::Sharding;
pub use counter::{Counter, CounterF64};
#[cfg(not(all(test, loom)))]
pub use declare::{Field, Metrics, Scope, TestSegment};
pub use dense::Dense;
pub use error::Error;
pub use expiry::Swept;
pub use family::{FamilyHandle, Handle, Labelled};
#[cfg(not(all(test, loom)))]
pub use fault::install_fault_guard;
pub use gauge::{Gauge, GaugeF64, Info, StateSet};
pub use histogram::{Histogram, Timer};
#[cfg(not(all(test, loom)))]
pub use lease::Lease;
pub use loss::{Loss, LossClass, Losses};
pub use merge::{Difference, LeftOut, Merge, Shown};
#[cfg(not(all(test, loom)))]
pub use options::{SegmentOptions, default_path};
#[cfg(not(all(test, loom)))]
pub use reader::Reader;
pub use recording::Recording;
#[cfg(all(restartable, tachograph_proof))]
pub use rseq::{PlantedFault, aborted_sequences, lengthen_sequences};
pub use schema::{GaugeMode, Kind};
pub use sets::{BoundedSet, LabelSet, LabelValue, LabelVisitor, Range, UnknownLabel};
pub use shelf::{Label, Labels};
pub use snapshot::{
    Damage, Directory, Exemplar, Family, FamilyView, HistogramView, Number, Process, ProcessValue,
    Refused, RefusedDefinition, Removals, SegmentInfo, Series, SeriesView, Snapshot, TableFill,
    ValueView,
};
pub use split::{Shard, Split};
#[cfg(not(all(test, loom)))]
pub use sweeper::Sweeper;
#[cfg(feature = "derive")]
pub use tachograph_derive::{LabelSet, LabelValue, Metrics};
pub use trace::{SpanContext, SpanId, TraceId};
pub use traced::{Bucketed, Traceable, Traced};
pub use unit::{Scale, Unit};
pub use window::{Distribution, Window};
#[cfg(not(all(test, loom)))]
pub use writer::{Registration, Writer};
