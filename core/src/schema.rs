//! What a family can be: its type, how its values combine across processes, and how both pack into a word.

use std::fmt;

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A monotone sum of integers.
    Counter,
    /// A monotone sum of floats.
    CounterF64,
    /// An integer that goes up and down.
    Gauge(GaugeMode),
    /// A float that goes up and down.
    GaugeF64(GaugeMode),
    /// A distribution of integers.
    Histogram,
    /// Facts about the living processes, told by labels; the value is always 1.
    Info,
    /// One of several named states; exposed as one 0/1 sample a state.
    StateSet(GaugeMode),
}

/// How a gauge's values in several processes become one.
///
/// A *living* mode looks at the processes that live at the moment of the scrape, so the value of a
/// process vanishes with it. A *lasting* mode keeps one value that outlives its writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaugeMode {
    /// Sum over living processes.
    Sum,
    /// Least value of the living processes that have set one.
    Min,
    /// Greatest value of the living processes that have set one.
    Max,
    /// One sample a living process that has set one, told apart by `pid` and `slot` labels.
    Each,
    /// The value set last, among living processes.
    Latest,
    /// Sum of what all processes set last, the dead included.
    LastingSum,
    /// Least value ever set.
    LastingMin,
    /// Greatest value ever set.
    LastingMax,
    /// The value set last, by whichever process.
    LastingLatest,
}

impl GaugeMode {
    /// Every mode.
    pub const ALL: [GaugeMode; 9] = [
        GaugeMode::Sum,
        GaugeMode::Min,
        GaugeMode::Max,
        GaugeMode::Each,
        GaugeMode::Latest,
        GaugeMode::LastingSum,
        GaugeMode::LastingMin,
        GaugeMode::LastingMax,
        GaugeMode::LastingLatest,
    ];

    /// Whether the value of a process vanishes with the process.
    pub const fn is_living(self) -> bool {
        matches!(
            self,
            GaugeMode::Sum | GaugeMode::Min | GaugeMode::Max | GaugeMode::Each | GaugeMode::Latest
        )
    }

    /// The mode's name, as shown to operators.
    pub const fn name(self) -> &'static str {
        match self {
            GaugeMode::Sum => "sum",
            GaugeMode::Min => "min",
            GaugeMode::Max => "max",
            GaugeMode::Each => "each",
            GaugeMode::Latest => "latest",
            GaugeMode::LastingSum => "lasting-sum",
            GaugeMode::LastingMin => "lasting-min",
            GaugeMode::LastingMax => "lasting-max",
            GaugeMode::LastingLatest => "lasting-latest",
        }
    }

    const fn code(self) -> u64 {
        self as u64
    }

    fn from_code(code: u64) -> Option<GaugeMode> {
        GaugeMode::ALL.into_iter().find(|mode| mode.code() == code)
    }
}

impl fmt::Display for GaugeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Kind {
    /// The OpenMetrics name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter | Kind::CounterF64 => "counter",
            Kind::Gauge(_) | Kind::GaugeF64(_) => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
            Kind::StateSet(_) => "stateset",
        }
    }

    /// How values combine across processes, for the types where that is a choice.
    pub const fn mode(self) -> Option<GaugeMode> {
        match self {
            Kind::Gauge(mode) | Kind::GaugeF64(mode) | Kind::StateSet(mode) => Some(mode),
            Kind::Counter | Kind::CounterF64 | Kind::Histogram | Kind::Info => None,
        }
    }

    /// The kind as it stands in a family record: type in the low byte, mode in the next.
    pub(crate) fn to_word(self) -> u64 {
        let (kind, mode) = match self {
            Kind::Counter => (1, 0),
            Kind::CounterF64 => (2, 0),
            Kind::Gauge(mode) => (3, mode.code()),
            Kind::GaugeF64(mode) => (4, mode.code()),
            Kind::Histogram => (5, 0),
            Kind::Info => (6, 0),
            Kind::StateSet(mode) => (7, mode.code()),
        };
        kind | (mode << 8)
    }

    pub(crate) fn from_word(word: u64) -> Option<Kind> {
        let mode = GaugeMode::from_code((word >> 8) & 0xff)?;
        match word & 0xff {
            1 => Some(Kind::Counter),
            2 => Some(Kind::CounterF64),
            3 => Some(Kind::Gauge(mode)),
            4 => Some(Kind::GaugeF64(mode)),
            5 => Some(Kind::Histogram),
            6 => Some(Kind::Info),
            7 => Some(Kind::StateSet(mode)),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::CounterF64 => f.write_str("counter of floats"),
            Kind::Gauge(mode) => write!(f, "gauge ({mode})"),
            Kind::GaugeF64(mode) => write!(f, "gauge of floats ({mode})"),
            Kind::StateSet(mode) => write!(f, "state set ({mode})"),
            _ => f.write_str(self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_survives_its_word() {
        let mut kinds = vec![Kind::Counter, Kind::CounterF64, Kind::Histogram, Kind::Info];
        for mode in GaugeMode::ALL {
            kinds.extend([
                Kind::Gauge(mode),
                Kind::GaugeF64(mode),
                Kind::StateSet(mode),
            ]);
        }
        for kind in kinds {
            assert_eq!(Kind::from_word(kind.to_word()), Some(kind));
        }
        assert_eq!(Kind::from_word(0), None);
        assert_eq!(Kind::from_word(3 | (200 << 8)), None);
    }
}
