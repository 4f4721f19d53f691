//! What the processes of a crash sweep do, and what the segment may show of it.
//!
//! A *victim* makes the scenario's *act* and is killed or stopped in the middle of it. *Bystanders* work
//! meanwhile: each registers the series that the victim is about to register, and one of its own.

use clap::ValueEnum;
use tachograph::{
    Buckets, GaugeMode, Number, Snapshot, SpanContext, SpanId, TraceId, Unit, ValueView,
};
use tachograph::{Error, SegmentOptions, Writer};

/// The label that tells series apart.
pub const LABEL: &str = "who";
/// Its value in the series that everybody registers.
pub const SHARED: &str = "shared";
/// The family that a survivor goes on counting in.
pub const STEADY: &str = "steady_total";
/// The family that comes and goes.
pub const PASSING: &str = "passing";
/// What a histogram records each time.
const VALUE: u64 = 50;

/// What the victim does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Creates a segment in a new folder.
    Create,
    /// The same, for a group.
    CreateForGroup,
    /// Attaches, in the slot of a dead process that had set gauges.
    Attach,
    /// Replaces a segment of another boot.
    Replace,
    /// Loses the race to replace one.
    LostReplace,
    /// Removes the segment and makes another.
    Remove,
    /// Registers the first series of a segment, and records in it.
    First,
    /// A counter.
    Counter,
    /// A histogram with whole pages.
    LogLinear,
    /// A histogram with explicit bounds.
    Bounds,
    /// A gauge that lies beyond the first page of own cells.
    Gauge,
    /// A gauge that shows what was set last.
    Latest,
    /// A gauge that outlives its writers.
    LastingSum,
    /// An info.
    Info,
    /// A state set.
    States,
    /// A counter that keeps an exemplar.
    Exemplar,
    /// A series that is removed, twice, the second time in the memory of the first.
    Passing,
    /// A family that is removed, twice, the second time of another type and in the memory of the first.
    Families,
    /// A series beyond its family's limit.
    Overflow,
    /// A series for which there are no cells.
    Full,
    /// Loses the race for a family.
    LostFamily,
    /// Loses the race for a series.
    LostSeries,
    /// Forks a child that attaches itself and records.
    Fork,
}

/// What recording once adds to the value of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// One, for ever.
    Adds,
    /// One, while the process lives.
    AddsWhileAlive,
    /// It is there while a process lives that recorded.
    ShowsWhileAlive,
    /// Nothing: there is no room for it.
    Nothing,
}

impl Scenario {
    /// Whether the victim attaches before its act.
    pub fn begins_attached(self) -> bool {
        use Scenario::{Attach, Create, CreateForGroup, LostReplace, Remove, Replace};
        !matches!(
            self,
            Create | CreateForGroup | Attach | Replace | LostReplace | Remove
        )
    }

    /// Whether a survivor is attached to the same segment all along.
    pub fn has_survivor(self) -> bool {
        self.begins_attached() || self == Scenario::Attach
    }

    /// Whether the survivor counts on in a series of its own.
    pub fn is_prepared(self) -> bool {
        self.has_survivor() && self != Scenario::First
    }

    /// Whether the segment is one of another boot at first.
    pub fn is_aged(self) -> bool {
        matches!(self, Scenario::Replace | Scenario::LostReplace)
    }

    /// Whether the victim works like the others after its act. Not after a fork: steps are counted a process,
    /// and the parent would meet there what was meant for its child.
    pub fn victim_works(self) -> bool {
        self != Scenario::Fork
    }

    /// The step at which the victim waits while the others overtake it.
    pub fn overtaken_at(self) -> Option<&'static str> {
        match self {
            Scenario::LostReplace => Some("successor-linked:1:stop"),
            Scenario::LostFamily => Some("family-filled:1:stop"),
            Scenario::LostSeries => Some("series-filled:1:stop"),
            _ => None,
        }
    }

    /// What recording does here.
    pub fn effect(self) -> Effect {
        match self {
            Scenario::Attach | Scenario::Gauge => Effect::AddsWhileAlive,
            Scenario::Latest | Scenario::Info | Scenario::States => Effect::ShowsWhileAlive,
            Scenario::Full => Effect::Nothing,
            _ => Effect::Adds,
        }
    }

    /// The label value under which a series is found.
    pub fn shown_as(self, who: &str) -> &str {
        if self == Scenario::Overflow {
            "__other__"
        } else {
            who
        }
    }

    /// The family of the scenario.
    pub fn family(self) -> &'static str {
        match self {
            Scenario::LogLinear | Scenario::Full => "touch_seconds",
            Scenario::Bounds => "touch_bytes",
            Scenario::Attach | Scenario::Gauge => "touches",
            Scenario::Latest => "touched_latest",
            Scenario::LastingSum => "touched_lasting",
            Scenario::Info => "touched_info",
            Scenario::States => "touched_states",
            _ => "touched_total",
        }
    }

    /// How everybody attaches.
    pub fn options(self) -> SegmentOptions {
        let options = SegmentOptions::new().process_name("actor");
        match self {
            Scenario::CreateForGroup => options.group(group()).mode(0o660),
            Scenario::Replace | Scenario::LostReplace => options.replace_other_boot(true),
            Scenario::Full => options.histogram_bytes(1),
            _ => options,
        }
    }

    /// Registers the series of `who` and records once in it.
    ///
    /// # Errors
    /// What registration says.
    pub fn touch(self, writer: &Writer, who: &str) -> Result<(), Error> {
        let (name, help) = (self.family(), "Touched");
        match self {
            Scenario::LogLinear | Scenario::Full => writer
                .histogram(name, help)
                .unit(Unit::NANOSECONDS)
                .label(LABEL, who)
                .register()?
                .record(VALUE),
            Scenario::Bounds => writer
                .histogram(name, help)
                .unit(Unit::BYTES)
                .buckets(Buckets::explicit([10, 100, 1_000])?)
                .label(LABEL, who)
                .register()?
                .record(VALUE),
            Scenario::Attach | Scenario::Gauge => {
                let gauge = writer.gauge(name, help).label(LABEL, who);
                gauge.register()?.inc();
            }
            Scenario::Latest | Scenario::LastingSum => {
                let mode = match self {
                    Scenario::Latest => GaugeMode::Latest,
                    _ => GaugeMode::LastingSum,
                };
                let gauge = writer.gauge(name, help).mode(mode).label(LABEL, who);
                let gauge = gauge.register()?;
                match mode {
                    GaugeMode::Latest => gauge.set(1),
                    _ => gauge.inc(),
                }
            }
            Scenario::Exemplar => {
                let counter = writer.counter(name, help).exemplars();
                let counter = counter.label(LABEL, who).register()?;
                counter.add_with_exemplar(1, &own_span()?);
            }
            Scenario::Info => {
                let info = writer.info(name, help).label(LABEL, who);
                info.register()?;
            }
            Scenario::States => {
                let states = writer.state_set(name, help, &["idle", "busy"]);
                states.label(LABEL, who).register()?.set(1);
            }
            _ => {
                let counter = writer.counter(name, help).series_limit(self.limit());
                counter.label(LABEL, who).register()?.inc();
            }
        }
        Ok(())
    }

    /// Registers a series and removes it, twice.
    ///
    /// # Errors
    /// What registration and removal say.
    pub fn pass(self, writer: &Writer) -> Result<(), Error> {
        let family = writer.counter(self.family(), "Touched").family()?;
        for _ in 0..2 {
            family.lease(&[(LABEL, "first")])?.inc();
            family.remove(&[(LABEL, "first")])?;
        }
        Ok(())
    }

    /// Registers a family with a series and removes it, twice, each time of another type.
    ///
    /// # Errors
    /// What registration and removal say.
    pub fn pass_families(self, writer: &Writer) -> Result<(), Error> {
        // It may be there of somebody who was killed.
        writer.remove_family(PASSING)?;
        let gauges = writer.gauge(PASSING, "Passing").family()?;
        gauges.lease(&[(LABEL, "first")])?.set(1);
        drop(gauges);
        writer.remove_family(PASSING)?;
        let histograms = writer.histogram(PASSING, "Passing, too");
        let histograms = histograms.buckets(Buckets::explicit([1, 2])?).family()?;
        histograms.lease(&[(LABEL, "first")])?.record(1);
        drop(histograms);
        writer.remove_family(PASSING)?;
        writer.sweep()?;
        Ok(())
    }

    fn limit(self) -> u64 {
        if self == Scenario::Overflow { 1 } else { 100 }
    }

    /// How often `who` was recorded, as the segment shows it; `None` where there is no such series.
    ///
    /// # Errors
    /// Where the value contradicts itself.
    pub fn shown(self, snapshot: &Snapshot, who: &str) -> Result<Option<u64>, String> {
        let value = snapshot.value(self.family(), &[(LABEL, self.shown_as(who))]);
        check_exemplars(snapshot)?;
        let number = |value: i64| u64::try_from(value).map_err(|_| format!("{who} shows {value}"));
        Ok(Some(match value {
            None => return Ok(None),
            Some(ValueView::Number(Number::Unsigned(value))) => value,
            Some(ValueView::Number(Number::Signed(value))) => number(value)?,
            Some(ValueView::Absent | ValueView::States([false, false])) => 0,
            Some(ValueView::Info | ValueView::States([false, true])) => 1,
            Some(ValueView::Histogram(view)) => {
                let count: u64 = view.counts.iter().sum();
                let sums = count.saturating_sub(1)..=count;
                if view.counts.iter().filter(|&&count| count > 0).count() > 1
                    || !sums
                        .map(|n| u128::from(n * VALUE))
                        .any(|sum| sum == view.sum)
                {
                    return Err(format!("{who} has {:?}, sum {}", view.counts, view.sum));
                }
                count
            }
            Some(other) => return Err(format!("{who} shows {other:?}")),
        }))
    }
}

/// A span whose ids are the number of this process, again and again.
fn own_span() -> Result<SpanContext, Error> {
    let trace = TraceId::try_from(own_bytes::<16>())?;
    Ok(SpanContext::new(trace, SpanId::try_from(own_bytes::<8>())?))
}

fn own_bytes<const N: usize>() -> [u8; N] {
    let pid = std::process::id().to_be_bytes();
    std::array::from_fn(|at| pid[at % pid.len()])
}

/// Sees that each exemplar is one process's.
fn check_exemplars(snapshot: &Snapshot) -> Result<(), String> {
    let series = snapshot.families().flat_map(|family| family.series());
    for exemplar in series.flat_map(|series| series.exemplars()) {
        let (trace, span) = (exemplar.trace_id.to_bytes(), exemplar.span_id.to_bytes());
        let is_of_one = trace[..8] == trace[8..] && trace[..8] == span && span[..4] == span[4..];
        if !is_of_one || exemplar.value != Number::Unsigned(1) {
            return Err(format!("nobody left {exemplar:?}"));
        }
    }
    Ok(())
}

/// A group to give things to: a foreign one where that is allowed.
pub fn group() -> u32 {
    if nix::unistd::geteuid().is_root() {
        54_321
    } else {
        nix::unistd::getegid().as_raw()
    }
}
