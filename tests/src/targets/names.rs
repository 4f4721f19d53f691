//! Names, labels and units: accepted is exactly what the rules allow, and it comes back as it was given.

use std::cell::Cell;
use std::collections::BTreeSet;

use tachograph::{Error, Handle, Outcome, Registration, SegmentOptions, Unit, Writer};

/// Segments on the heap are never freed: so many are made, then nothing is read back any more.
const WRITERS_MAX: usize = 32;

/// The units that an input can name; the last two are not allowed.
const UNITS: [Unit; 6] = [
    Unit::NONE,
    Unit::SECONDS,
    Unit::BYTES,
    Unit::custom("joules", 1, 1),
    Unit::custom("1st", 1, 1),
    Unit::custom("per-cent", 1, 1),
];

thread_local! {
    static WRITER: Cell<Writer> = Cell::new(writer());
    static WRITERS: Cell<usize> = const { Cell::new(1) };
}

fn writer() -> Writer {
    let options = SegmentOptions::new()
        .families(256)
        .series(512)
        .string_bytes(1 << 19);
    options
        .cpu_shards(1)
        .processes(1)
        .histogram_bytes(1)
        .heap()
        .expect("a segment on the heap")
}

/// What an input declares.
#[derive(Debug)]
struct Declared<'a> {
    is_counter: bool,
    utf8_names: bool,
    unit: Unit,
    name: &'a str,
    help: &'a str,
    labels: Vec<(&'a str, &'a str)>,
}

/// The first byte is the type, the unit and the names that are accepted; texts follow, each ended by 0xff: name, help, then label names
/// and values by turns.
///
/// # Panics
/// When a promise is broken.
pub fn run(input: &[u8]) {
    let Some((&flags, rest)) = input.split_first() else {
        return;
    };
    let texts: Result<Vec<&str>, _> = rest
        .split(|&byte| byte == 0xff)
        .map(str::from_utf8)
        .collect();
    let Ok([name, help, labels @ ..]) = texts.as_deref() else {
        return;
    };
    let declared = Declared {
        is_counter: flags & 1 != 0,
        utf8_names: flags & 0x80 != 0,
        unit: UNITS[usize::from(flags >> 1 & 0x3f) % UNITS.len()].clone(),
        name,
        help,
        labels: labels
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[name, value]| (name, value))
            .collect(),
    };
    judge(&declared);
}

fn judge(declared: &Declared<'_>) {
    let writer = WRITER.get();
    match declared.register(&writer) {
        Ok(outcome) => {
            assert!(declared.is_allowed(), "accepted: {declared:?}");
            if outcome != Outcome::Series {
                renew();
            } else if WRITERS.get() < WRITERS_MAX {
                declared.check_round_trip(&writer);
            }
        }
        // An earlier input gave the name another type or unit.
        Err(Error::Conflict { .. }) => assert!(declared.is_allowed(), "{declared:?}"),
        Err(Error::Invalid { reason, .. }) => {
            assert!(!declared.is_allowed(), "refused: {reason}: {declared:?}");
        }
        Err(error) => panic!("{error}: {declared:?}"),
    }
}

/// A full segment is replaced while another may be made.
fn renew() {
    if WRITERS.get() < WRITERS_MAX {
        WRITERS.set(WRITERS.get() + 1);
        WRITER.set(writer());
    }
}

impl Declared<'_> {
    fn register(&self, writer: &Writer) -> Result<Outcome, Error> {
        match self.is_counter {
            true => self.with_labels(writer.counter(self.name, self.help)),
            false => self.with_labels(writer.gauge(self.name, self.help)),
        }
    }

    fn with_labels<H: Handle>(&self, declared: Registration<H>) -> Result<Outcome, Error> {
        let declared = declared.unit(self.unit.clone());
        let declared = match self.utf8_names {
            true => declared.utf8_names(),
            false => declared,
        };
        let labels = self.labels.iter();
        let labelled = labels.fold(declared, |declared, &(name, value)| {
            declared.label(name, value)
        });
        labelled.register_with_outcome().map(|(_, outcome)| outcome)
    }

    fn check_round_trip(&self, writer: &Writer) {
        let snapshot = writer.snapshot().expect("it is on the heap");
        let mut labels = self.labels.clone();
        labels.retain(|(_, value)| !value.is_empty());
        assert!(
            snapshot.value(self.name, &labels).is_some(),
            "lost: {self:?}"
        );
        assert!(
            snapshot.damage.is_empty(),
            "{:?}: {self:?}",
            snapshot.damage
        );
    }

    /// The rules of the text format for names, and the stricter ones of `docs/DECISIONS.md`.
    fn is_allowed(&self) -> bool {
        let labels = &self.labels;
        let given = labels.iter().filter(|(_, value)| !value.is_empty());
        let names: BTreeSet<&str> = given.clone().map(|&(name, _)| name).collect();
        let is_name = match self.utf8_names {
            true => |name: &str| (1..=255).contains(&name.len()) && !name.contains('\0'),
            false => is_name,
        };
        let is_label_name = |name: &str| {
            is_name(name) && !name.starts_with("__") && !["le", "quantile"].contains(&name)
        };
        is_name(self.name)
            && !self.name.contains(':')
            && !read_as(self.name).starts_with("tachograph_")
            && self.name.ends_with("_total") == self.is_counter
            && self.has_unit()
            && self.help.len() <= 4096
            && names.len() == given.count()
            && names.len() <= 64
            && labels
                .iter()
                .all(|(name, value)| is_label_name(name) && value.len() <= 4096)
    }

    fn has_unit(&self) -> bool {
        let base = self.unit.base();
        let stem = self.name.strip_suffix("_total").unwrap_or(self.name);
        base.is_empty() || is_name(base) && stem.ends_with(&format!("_{base}"))
    }
}

/// The name for scrapers that read letters, digits and underscores.
fn read_as(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let starts_well = bytes
        .next()
        .is_some_and(|b| b == b'_' || b.is_ascii_alphabetic());
    starts_well && name.len() <= 255 && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}
