//! What OpenMetrics 1.0 says otherwise than the text format: the names and headers of families, and the end.
//!
//! A family has no `_total` and no `_info` in its name; its samples have. So families that are neighbours
//! in the text format, as `jobs` and `jobs_total`, may want one name here. The samples are the same in
//! both formats.

use std::collections::HashSet;

use crate::escape;

/// The last line of a page.
pub(crate) const END: &[u8] = b"# EOF\n";

/// A family as it is declared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Declared<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
}

impl Declared<'_> {
    /// The family whose samples are called `name`.
    pub(crate) fn new<'a>(name: &'a str, kind: &'a str) -> Declared<'a> {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        Declared {
            name: name.strip_suffix(suffix).unwrap_or(name),
            kind,
        }
    }

    /// What the names of its samples may end in.
    pub(crate) fn suffixes(&self) -> &'static [&'static str] {
        match self.kind {
            "counter" => &["", "_total", "_created"],
            "histogram" => &["", "_bucket", "_sum", "_count", "_created"],
            "info" => &["", "_info"],
            _ => &[""],
        }
    }
}

/// The names that families have taken.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<String>);

impl Names {
    /// Takes `name` with each of `suffixes`, or none of them when one is taken, which is the error.
    pub(crate) fn claim(&mut self, name: &str, suffixes: &[&str]) -> Result<(), String> {
        let names: Vec<String> = suffixes.iter().map(|end| format!("{name}{end}")).collect();
        if let Some(taken) = names.iter().find(|name| self.0.contains(*name)) {
            return Err(taken.clone());
        }
        self.0.extend(names);
        Ok(())
    }

    /// Declares the family whose samples are called `name`; families come in the order of these names.
    ///
    /// A counter or an info whose name is taken without its suffix keeps the suffix, as a family of
    /// unknown type.
    pub(crate) fn declare<'a>(
        &mut self,
        name: &'a str,
        kind: &'a str,
    ) -> Result<Declared<'a>, String> {
        let declared = Declared::new(name, kind);
        let taken = match self.claim(declared.name, declared.suffixes()) {
            Ok(()) => return Ok(declared),
            Err(taken) => taken,
        };
        if declared.name == name {
            return Err(taken);
        }
        self.claim(name, &[""])?;
        Ok(Declared {
            name,
            kind: "unknown",
        })
    }
}

/// Appends the TYPE, UNIT and HELP lines of a family.
pub(crate) fn push_header(out: &mut Vec<u8>, declared: &Declared<'_>, unit: &str, help: &str) {
    let Declared { name, kind } = declared;
    let mut push = |keyword: &str, rest: &str| {
        out.extend_from_slice(keyword.as_bytes());
        escape::push_name(out, name, "");
        out.push(b' ');
        out.extend_from_slice(rest.as_bytes());
    };
    push("# TYPE ", &format!("{kind}\n"));
    let stem = name.strip_suffix(unit).unwrap_or_default();
    if !unit.is_empty() && stem.ends_with('_') && !matches!(*kind, "info" | "stateset") {
        push("# UNIT ", &format!("{unit}\n"));
    }
    push("# HELP ", "");
    // Here HELP is escaped as label values are.
    escape::push_label_value(out, help);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, kind: &str, unit: &str, help: &str) -> String {
        let mut out = Vec::new();
        push_header(&mut out, &Declared::new(name, kind), unit, help);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn headers() {
        assert_eq!(
            header("sent_bytes_total", "counter", "bytes", "A \"b\"\\\n"),
            "# TYPE sent_bytes counter\n# UNIT sent_bytes bytes\n# HELP sent_bytes A \\\"b\\\"\\\\\\n\n"
        );
        assert_eq!(
            header("a_info", "info", "bytes", ""),
            "# TYPE a info\n# HELP a \n"
        );
        assert_eq!(
            header("bytes", "gauge", "bytes", ""),
            "# TYPE bytes gauge\n# HELP bytes \n"
        );
    }

    #[test]
    fn neighbours_do_not_share_a_name() {
        let mut names = Names::default();
        for (name, kind, expected) in [
            ("a", "gauge", Ok(("a", "gauge"))),
            ("a_total", "counter", Ok(("a_total", "unknown"))),
            ("b_total", "counter", Ok(("b", "counter"))),
            ("c_created", "gauge", Ok(("c_created", "gauge"))),
            ("c_total", "counter", Ok(("c_total", "unknown"))),
            ("d_info", "info", Ok(("d", "info"))),
            ("d_total", "counter", Ok(("d_total", "unknown"))),
            ("h", "histogram", Ok(("h", "histogram"))),
            ("h_created", "gauge", Err("h_created")),
            ("h_sum_total", "counter", Ok(("h_sum_total", "unknown"))),
        ] {
            let declared = names.declare(name, kind);
            let declared = declared.map(|it| (it.name, it.kind));
            assert_eq!(declared, expected.map_err(str::to_owned), "{name}");
        }
    }
}
