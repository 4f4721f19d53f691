//! What two definitions of a family must agree in, and how people are told what each says.

use crate::buckets::Buckets;
use crate::schema::Kind;
use crate::snapshot::Family;
use crate::unit::Unit;

/// What a family is, without its name and its series.
pub(crate) struct Definition<'a> {
    pub(crate) kind: Kind,
    pub(crate) unit: &'a Unit,
    pub(crate) buckets: Option<&'a Buckets>,
    pub(crate) states: &'a [String],
}

const PROPERTIES: [&str; 4] = ["type", "unit", "buckets", "states"];

impl Definition<'_> {
    /// The first property in which two definitions differ.
    pub(crate) fn difference(&self, other: &Definition<'_>) -> Option<&'static str> {
        let differs = [
            self.kind != other.kind,
            self.unit != other.unit,
            self.buckets != other.buckets,
            self.states != other.states,
        ];
        let at = differs.iter().position(|&differs| differs)?;
        Some(PROPERTIES[at])
    }

    /// A property in words; `None` where there is none of that name.
    pub(crate) fn show(&self, property: &str) -> Option<String> {
        match property {
            "type" => Some(self.kind.to_string()),
            "unit" => Some(match self.unit.base() {
                "" => "none".to_owned(),
                base => format!("{base} (recorded in {})", self.unit.scale()),
            }),
            "buckets" => Some(
                self.buckets
                    .map_or_else(|| "none".to_owned(), Buckets::to_string),
            ),
            "states" => Some(self.states.join(" ")),
            _ => None,
        }
    }
}

impl Family {
    /// What a family's `type`, `unit`, `buckets` or `states` are, in the words of [`crate::Error::Conflict`].
    pub fn property(&self, name: &str) -> Option<String> {
        let definition = Definition {
            kind: self.kind,
            unit: &self.unit,
            buckets: self.buckets.as_ref(),
            states: &self.states,
        };
        definition.show(name)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{GaugeMode, Scale};

    #[test]
    fn the_first_difference_is_told_in_words() {
        let (none, nanos) = (
            Unit::NONE,
            Unit::owned("seconds".into(), Scale::new(1, 1000)),
        );
        let explicit = Buckets::explicit([1, 5, 10]).unwrap();
        let (default, few) = (Buckets::default(), ["on".to_owned(), "off".to_owned()]);
        let plain = Definition {
            kind: Kind::Histogram,
            unit: &none,
            buckets: Some(&default),
            states: &[],
        };
        let told = |other: Definition<'_>| {
            let property = plain.difference(&other)?;
            Some([property.to_owned(), other.show(property)?])
        };
        assert_eq!(told(Definition { ..plain }), None);
        let words = |property: &str, shown: &str| Some([property.to_owned(), shown.to_owned()]);
        let found = told(Definition {
            kind: Kind::GaugeF64(GaugeMode::Max),
            ..plain
        });
        assert_eq!(found, words("type", "gauge of floats (max)"));
        let found = told(Definition {
            unit: &nanos,
            ..plain
        });
        let milli = "seconds (recorded in 1/1000 of a base unit)";
        assert_eq!(found, words("unit", milli));
        let found = told(Definition {
            buckets: Some(&explicit),
            ..plain
        });
        assert_eq!(found, words("buckets", "3 bounds: 1 5 10"));
        let found = told(Definition {
            states: &few,
            ..plain
        });
        assert_eq!(found, words("states", "on off"));
        let shown = plain.show("buckets").unwrap();
        assert!(shown.starts_with("log-linear, precision "), "{shown}");
        assert_eq!(plain.show("nosuch"), None);
    }
}
