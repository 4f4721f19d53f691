//! What the commands show, as plain values: serialised for `--format json`, laid out for text.
//! The field names are the JSON's, so they are a promise; `docs/PROBE.md` lists them.

mod amount;
mod refused;
mod segment;
mod tick;
mod value;

pub(crate) use amount::{Amount, Labels};
pub(crate) use refused::RefusedView;
pub(crate) use segment::{
    DamageView, LossesView, ProcessView, RemovalsView, SegmentView, SourceView, damage, processes,
};
pub(crate) use tick::{TickView, WatchedFamily, WatchedSeries};
pub(crate) use value::{
    BucketView, FamilyFacts, FamilyView, HistogramView, SeriesView, ValueView, families,
};
