//! The write side: a program attaches once, declares its families and keeps the handles.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::attached::{Attached, Outcome, Resolve};
use crate::buckets::Buckets;
use crate::cell::Sharding;
use crate::counter::{Counter, CounterF64};
use crate::dense::Dense;
use crate::error::Error;
use crate::family::{Constant, Family, FamilyHandle, Handle, Labelled};
use crate::family_removal;
use crate::gauge::{Gauge, GaugeF64, Info, StateSet};
use crate::histogram::Histogram;
use crate::labels::{self, Names};
use crate::layout::{Identity, Layout};
use crate::loss::Loss;
use crate::options::SegmentOptions;
use crate::process::Name;
use crate::record::FamilySpec;
use crate::schema::{GaugeMode, Kind};
use crate::segment::Segment;
use crate::sets::{BoundedSet, LabelSet};
use crate::snapshot::Snapshot;
use crate::traced::{Bucketed, Traceable, Traced};
use crate::unit::Unit;

/// Series that a family may have where it does not say otherwise.
const SERIES_LIMIT: u64 = 2_000;

/// A segment that this process writes to. Copies are the same attachment, which lasts until the process ends.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    attached: &'static Attached,
}

impl SegmentOptions {
    /// Attaches the segment for writing, creating it where there is none. A segment that this process has
    /// attached before is not attached again.
    ///
    /// # Errors
    /// Every reason why there can be no segment: see [`Error`].
    pub fn attach(self) -> Result<Writer, Error> {
        let segment = crate::create::create_or_attach(&self)?;
        let inode = segment.inode();
        let is_same = move |other: &Attached| other.segment.inode() == inode;
        // Decides now, so that no later add has to.
        crate::rseq::recording(Some(segment.self_test()));
        let make = |segment| Attached::new(segment, self.name());
        let attached = crate::fork::find_or_keep(segment, is_same, make);
        Ok(Writer { attached })
    }

    /// Creates the segment without attaching it: this process takes no slot of it.
    ///
    /// # Errors
    /// [`Error::Exists`] where there is a file already, and every reason why there can be no segment.
    pub fn create(self) -> Result<(), Error> {
        crate::create::create(&self)
    }

    /// A segment on the heap that nobody else sees: for tests, and for programs that cannot have a file.
    /// Its memory is never freed.
    ///
    /// # Errors
    /// [`Error::Options`] where an option has an impossible value.
    pub fn heap(self) -> Result<Writer, Error> {
        self.check()?;
        let (cpus, fallbacks) = self.shards();
        let layout = Layout::plan(&self.capacities, cpus, fallbacks);
        let segment = Segment::heap(layout, Identity::of_new([0, 0]));
        crate::rseq::recording(None);
        let attached = Box::leak(Box::new(Attached::new(segment, self.name())));
        Ok(Writer { attached })
    }

    fn name(&self) -> Name {
        match &self.process_name {
            Some(name) => Name::new(name),
            None => {
                let program = std::env::args_os().next().unwrap_or_default();
                let file = std::path::Path::new(&program)
                    .file_name()
                    .unwrap_or_default();
                Name::new(&file.to_string_lossy())
            }
        }
    }
}

impl Writer {
    /// Attaches the default segment, creating it where there is none.
    ///
    /// # Errors
    /// As [`SegmentOptions::attach`].
    pub fn attach() -> Result<Writer, Error> {
        SegmentOptions::new().attach()
    }

    /// Declares a counter of integers. Its name ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Registration<Counter> {
        self.declare(name, help)
    }

    /// Declares a counter of floats. Its name ends in `_total`.
    pub fn counter_f64(&self, name: &str, help: &str) -> Registration<CounterF64> {
        self.declare(name, help)
    }

    /// Declares a gauge of integers, summed over living processes unless a mode says otherwise.
    pub fn gauge(&self, name: &str, help: &str) -> Registration<Gauge> {
        self.declare(name, help)
    }

    /// Declares a gauge of floats, summed over living processes unless a mode says otherwise.
    pub fn gauge_f64(&self, name: &str, help: &str) -> Registration<GaugeF64> {
        self.declare(name, help)
    }

    /// Declares a histogram with the default buckets: log-linear, at most 3.1 % wide.
    pub fn histogram(&self, name: &str, help: &str) -> Registration<Histogram> {
        self.declare(name, help)
    }

    /// Declares an info: facts told by labels, shown while a process that registered them lives.
    pub fn info(&self, name: &str, help: &str) -> Registration<Info> {
        self.declare(name, help)
    }

    /// Declares a state set: which of `states` the living processes are in, unless a mode says otherwise.
    pub fn state_set(&self, name: &str, help: &str, states: &[&str]) -> Registration<StateSet> {
        self.declare(name, help).states(states.iter().copied())
    }

    /// Declares a family by the type of its handles.
    pub fn declare<H: Handle>(&self, name: &str, help: &str) -> Registration<H> {
        let spec = FamilySpec {
            name: name.to_owned(),
            help: help.to_owned(),
            kind: H::KIND,
            unit: Unit::NONE,
            buckets: (H::KIND == Kind::Histogram).then(Buckets::default),
            states: Vec::new(),
            series_limit: SERIES_LIMIT,
            sharding: Sharding::Auto,
            keep_nanos: 0,
            exemplars: H::KEEPS_EXEMPLARS,
        };
        Registration {
            attached: self.attached,
            spec,
            constant: Constant::default(),
            handle: PhantomData,
        }
    }

    /// The values of this moment.
    ///
    /// # Errors
    /// As [`crate::Reader::attach`] and [`crate::Reader::snapshot`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        crate::reader::Reader::of_writer(&self.attached.segment)?.snapshot()
    }

    /// Removes the family with this name and all its series: the next scrape does not show them. Whether there was
    /// one.
    ///
    /// Handles of it record into nothing from then on, and what is registered by one counts as lost. Declared again,
    /// it is another family, of any type. Its memory is free for others once no process has a handle of it.
    ///
    /// ```
    /// let writer = tachograph::SegmentOptions::new().heap()?;
    /// let depth = writer.gauge("queue_depth", "Depth of the queue").register()?;
    /// assert!(writer.remove_family("queue_depth")?);
    /// assert!(!depth.is_live());
    /// let depth = writer.histogram("queue_depth", "Depths of the queue").register()?;
    /// depth.record(3);
    /// # Ok::<(), tachograph::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotASegment`] where the segment is damaged.
    pub fn remove_family(&self, name: &str) -> Result<bool, Error> {
        family_removal::remove(&self.attached.segment, name, self.attached.asker())
    }

    pub(crate) fn attached(&self) -> &'static Attached {
        self.attached
    }

    /// Whether what this process records still reaches readers. Costs three system calls.
    ///
    /// Recording goes on whatever happens to the file, and cannot tell. A program that wants to know asks
    /// now and then; where the file is gone it attaches again and registers anew.
    ///
    /// # Errors
    /// [`Error::Changed`] where the file was truncated, removed or replaced, or lost a page under this
    /// process; [`Error::Io`] where the program has closed the segment's descriptor.
    pub fn check(&self) -> Result<(), Error> {
        let segment = &self.attached.segment;
        segment.check()?;
        match segment.file() {
            Some(file) if !crate::create::is_same_file(file, &segment.path) => {
                Err(segment.changed("it was removed or replaced; attach again"))
            }
            _ => Ok(()),
        }
    }

    #[cfg(test)]
    pub(crate) fn segment(&self) -> &Segment {
        &self.attached.segment
    }
}

/// A family being declared, and a series of it.
#[must_use = "a declaration does nothing until it is registered"]
#[derive(Debug, Clone)]
pub struct Registration<H> {
    attached: &'static Attached,
    spec: FamilySpec,
    constant: Constant,
    handle: PhantomData<H>,
}

impl<H: Handle> Registration<H> {
    /// Adds a label to the series.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.constant.labels.push((name.into(), value.into()));
        self
    }

    /// Sets the unit that values are recorded in. Its base must end the family's name.
    pub fn unit(mut self, unit: Unit) -> Self {
        self.spec.unit = unit;
        self
    }

    /// Sets how many series the family may have; the first registration decides. Default 2 000.
    pub fn series_limit(mut self, limit: u64) -> Self {
        self.spec.series_limit = limit;
        self
    }

    /// Removes series of the family that nobody has written to for this long; the first registration decides.
    /// Default: series are kept.
    ///
    /// For families of label sets that come and go. A gauge that is set to the value it has counts as idle, and so
    /// does a series whose handle is kept but not used: what such a handle records afterwards does not show.
    /// It happens at registrations and in [`Writer::sweep`].
    pub fn keep_for(mut self, idle: std::time::Duration) -> Self {
        self.spec.keep_nanos = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX).max(1);
        self
    }

    /// Accepts labels whose names say that they tell single requests or people apart, such as `user_id`.
    /// Refused otherwise: each value is a series for good, and may be somebody's data.
    pub fn allow_id_labels(mut self) -> Self {
        self.constant.allows_ids = true;
        self
    }

    /// Accepts any UTF-8 in the names of the family and its labels, such as `http.requests_total` and `http.method`.
    /// Only a NUL is refused: scrapers read none in a name.
    ///
    /// Refused otherwise: a scraper that does not ask for such names, as Prometheus does from version 3 on, gets
    /// them escaped.
    pub fn utf8_names(mut self) -> Self {
        self.constant.names = Names::Utf8;
        self
    }

    /// Registers the series and returns its handle.
    ///
    /// A full table, a full file system or a reached limit is no error: the handle then adds to the
    /// family's overflow series (`__other__`), or to a sink, and the segment counts it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name or label, [`Error::Conflict`] where the family is something else.
    pub fn register(self) -> Result<H, Error> {
        self.register_with_outcome().map(|(handle, _)| handle)
    }

    /// As [`Registration::register`], and says where the handle's updates go.
    ///
    /// # Errors
    /// As [`Registration::register`].
    pub fn register_with_outcome(self) -> Result<(H, Outcome), Error> {
        let labels = self.constant.with(&[])?;
        Ok(self.declared()?.resolve(&labels))
    }

    /// Registers the series, or says why it could not be had: a full table or file system and a reached
    /// limit are errors here.
    ///
    /// # Errors
    /// As [`Registration::register`], and [`Error::Full`], [`Error::NoSpace`], [`Error::SeriesLimit`],
    /// [`Error::Changed`].
    pub fn try_register(self) -> Result<H, Error> {
        check(&self.spec, self.constant.names)?;
        let labels = self.constant.with(&[])?;
        let known = self.attached.family(&self.spec)?;
        Family::new(self.attached, Some(known), self.constant).try_resolve(&labels)
    }

    /// Registers the family alone, to register many series of it. Labels given so far are labels of each.
    ///
    /// # Errors
    /// As [`Registration::register`].
    pub fn family(self) -> Result<FamilyHandle<H>, Error> {
        self.constant.with(&[])?;
        Ok(FamilyHandle {
            family: Arc::new(self.declared()?),
        })
    }

    /// Registers the family alone, to register its series as their label sets come.
    ///
    /// # Errors
    /// As [`Registration::register`].
    pub fn labelled<L: LabelSet>(self) -> Result<Labelled<H, L>, Error> {
        self.constant.with_names(L::NAMES)?;
        Ok(Labelled {
            handle: self.family()?,
            labels: PhantomData,
        })
    }

    /// Registers the family with a series for every combination of its labels.
    ///
    /// # Errors
    /// As [`Registration::register`], and [`Error::Invalid`] where that is more than the family's limit.
    pub fn dense<L: BoundedSet>(self) -> Result<Dense<H, L>, Error> {
        self.constant.with_names(L::NAMES)?;
        Dense::new(&self.declared()?)
    }

    /// Registers the family; its labels are checked already.
    fn declared(self) -> Result<Family<H>, Error> {
        check(&self.spec, self.constant.names)?;
        let known = match self.attached.family(&self.spec) {
            Ok(known) => Some(known),
            Err(
                error @ (Error::Full { .. }
                | Error::NoSpace { .. }
                | Error::Io { .. }
                | Error::Changed { .. }),
            ) => {
                self.attached
                    .segment
                    .count_loss(crate::attached::loss_of(&error));
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Family::new(self.attached, known, self.constant))
    }
}

impl Registration<Gauge> {
    /// Sets how the values of several processes become one.
    pub fn mode(mut self, mode: GaugeMode) -> Self {
        self.spec.kind = Kind::Gauge(mode);
        self
    }
}

impl Registration<GaugeF64> {
    /// Sets how the values of several processes become one.
    pub fn mode(mut self, mode: GaugeMode) -> Self {
        self.spec.kind = Kind::GaugeF64(mode);
        self
    }
}

impl Registration<StateSet> {
    /// Sets the names of the states, in the order of their numbers.
    pub fn states(mut self, states: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.spec.states = states.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how the states of several processes become one: [`GaugeMode::Max`] shows every state that a
    /// living process is in, [`GaugeMode::Each`] every process, [`GaugeMode::LastingLatest`] the one state
    /// that was set last. Other modes are refused at registration.
    pub fn mode(mut self, mode: GaugeMode) -> Self {
        self.spec.kind = Kind::StateSet(mode);
        self
    }
}

impl<H: Traceable> Registration<H> {
    /// Keeps exemplars: see [`Traced`]. The first registration of the family decides.
    pub fn exemplars(self) -> Registration<Traced<H>> {
        let spec = FamilySpec {
            exemplars: true,
            ..self.spec
        };
        Registration {
            attached: self.attached,
            spec,
            constant: self.constant,
            handle: PhantomData,
        }
    }
}

impl<H: Bucketed> Registration<H> {
    /// Sets the buckets.
    pub fn buckets(mut self, buckets: Buckets) -> Self {
        self.spec.buckets = Some(buckets);
        self
    }

    /// Sets how the buckets are spread over shards; the first registration decides.
    pub fn sharding(mut self, sharding: Sharding) -> Self {
        self.spec.sharding = sharding;
        self
    }
}

/// Checks what a program can get wrong in a declaration.
fn check(spec: &FamilySpec, names: Names) -> Result<(), Error> {
    let is_counter = matches!(spec.kind, Kind::Counter | Kind::CounterF64);
    labels::check_family_name(&spec.name, names, is_counter, &spec.unit)?;
    labels::check_base_unit(&spec.name, is_counter, &spec.unit)?;
    labels::check_help(&spec.help)?;
    if spec.keep_nanos > 0 && spec.kind == Kind::Info {
        return Err(Error::Invalid {
            what: "info",
            given: spec.name.clone(),
            reason: "an info goes with its processes; leave out keep_for".into(),
        });
    }
    let Kind::StateSet(mode) = spec.kind else {
        return Ok(());
    };
    if !matches!(
        mode,
        GaugeMode::Max | GaugeMode::Each | GaugeMode::LastingLatest
    ) {
        return Err(Error::Invalid {
            what: "state set",
            given: spec.name.clone(),
            reason: format!(
                "mode {mode} means nothing for states; use max, each or lasting-latest"
            ),
        });
    }
    let states: Vec<&str> = spec.states.iter().map(String::as_str).collect();
    labels::check_states(&states)
}

/// The segment on the heap behind handles that were never registered.
fn detached() -> &'static Attached {
    static DETACHED: once_cell::race::OnceBox<Writer> = once_cell::race::OnceBox::new();
    let small = || {
        SegmentOptions::new()
            .processes(1)
            .families(1)
            .series(1)
            .string_bytes(8)
            .shared_cells(1)
            .process_cells(1)
            .counter_cells(1)
            .histogram_bytes(1)
            .heap()
    };
    DETACHED
        .get_or_init(|| Box::new(small().expect("these options are possible")))
        .attached
}

macro_rules! detached_by_default {
    ($($handle:ident),+) => {$(
        impl Default for $handle {
            /// A handle that works and records nowhere.
            fn default() -> Self {
                Self::sink(detached())
            }
        }
    )+};
}

detached_by_default!(
    Counter, CounterF64, Gauge, GaugeF64, Histogram, Info, StateSet
);

const _: () = {
    assert!(size_of::<Counter>() <= 32);
    assert!(size_of::<CounterF64>() <= 32);
    assert!(size_of::<Gauge>() <= 32);
    assert!(size_of::<Histogram>() <= 32);
    assert!(Loss::ALL.len() <= 64);
};
