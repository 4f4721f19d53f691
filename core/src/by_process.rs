//! Which families are read a process at a time, whatever their mode.

use std::fmt;

use crate::schema::{GaugeMode, Kind};

/// The families that are meant, by name; none by default.
#[derive(Default)]
pub(crate) struct ByProcess(Option<Names>);

type Names = Box<dyn Fn(&str) -> bool + Send + Sync>;

impl ByProcess {
    pub(crate) fn new(names: impl Fn(&str) -> bool + Send + Sync + 'static) -> ByProcess {
        ByProcess(Some(Box::new(names)))
    }

    /// What a family is read as. The cells of a process are where its mode has them; one without such cells stays.
    pub(crate) fn kind(&self, name: &str, kind: Kind) -> Kind {
        if !self.0.as_ref().is_some_and(|names| names(name)) {
            return kind;
        }
        match kind {
            Kind::Gauge(mode) if mode.is_living() => Kind::Gauge(GaugeMode::Each),
            Kind::GaugeF64(mode) if mode.is_living() => Kind::GaugeF64(GaugeMode::Each),
            Kind::StateSet(mode) if mode.is_living() => Kind::StateSet(GaugeMode::Each),
            other => other,
        }
    }
}

impl fmt::Debug for ByProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByProcess").field(&self.0.is_some()).finish()
    }
}
