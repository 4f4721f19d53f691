//! Which families a scrape asks for.

use crate::openmetrics::Declared;

/// The parameter of the query that names one; official clients have it, too.
const PARAMETER: &str = "name[]";

/// The families that are asked for by name; all, when none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Wanted(Vec<String>);

impl Wanted {
    /// What the query of an address asks for; the order of the names does not matter.
    pub fn in_query(query: &str) -> Wanted {
        let parameters = form_urlencoded::parse(query.as_bytes());
        let named = parameters.filter(|(parameter, _)| parameter == PARAMETER);
        let mut names: Vec<String> = named.map(|(_, name)| name.into_owned()).collect();
        names.sort_unstable();
        names.dedup();
        Wanted(names)
    }

    /// Whether the family of type `kind` whose samples are called `name` is asked for: by that name, by the one it
    /// has in OpenMetrics, or by that of one of its samples.
    pub(crate) fn includes(&self, name: &str, kind: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let declared = Declared::new(name, kind);
        let is_sample = |wanted: &str| {
            let stem = wanted.strip_prefix(declared.name);
            stem.is_some_and(|suffix| declared.suffixes().contains(&suffix))
        };
        let mut names = self.0.iter();
        names.any(|wanted| wanted == name || is_sample(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_by_any_of_their_names() {
        let wanted =
            Wanted::in_query("x=y&name[]=jobs&name%5B%5D=wait_bucket&name=other&name[]=jobs");
        assert_eq!(wanted, Wanted::in_query("name[]=wait_bucket&name[]=jobs"));
        for (name, kind, expected) in [
            ("jobs", "gauge", true),
            ("jobs_total", "counter", true),
            ("jobs_info", "info", true),
            ("jobs_done", "gauge", false),
            ("wait", "histogram", true),
            ("wait", "gauge", false),
            ("wait_bucket", "gauge", true),
            ("other", "gauge", false),
        ] {
            assert_eq!(wanted.includes(name, kind), expected, "{name} {kind}");
        }
        for all in ["", "name=x", "&&=&"] {
            assert!(Wanted::in_query(all).includes("any", "gauge"));
        }
        // A name that there is not asks for nothing.
        assert!(!Wanted::in_query("name[]=").includes("any", "gauge"));
    }
}
