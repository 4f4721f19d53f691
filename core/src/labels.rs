//! Names and label sets: what is allowed, and the canonical bytes that are a series' identity.

use crate::error::Error;
use crate::shelf::Label;
use crate::unit::Unit;

/// Longest name of a family, label or unit, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Longest label value, in bytes.
const VALUE_BYTES_MAX: usize = 4096;
/// Names that the exporter gives its own families.
const OWN_PREFIX: &str = "tachograph_";
/// Units that people put into names where the base unit belongs.
const OTHER_UNITS: [&str; 16] = [
    "_nanoseconds",
    "_microseconds",
    "_milliseconds",
    "_seconds",
    "_minutes",
    "_hours",
    "_ns",
    "_us",
    "_ms",
    "_s",
    "_bytes",
    "_kilobytes",
    "_kibibytes",
    "_megabytes",
    "_percent",
    "_ratio",
];
/// Labels that are ids, without their underscores.
const ID_NAMES: [&str; 17] = [
    "requestid",
    "sessionid",
    "userid",
    "traceid",
    "spanid",
    "correlationid",
    "conversationid",
    "transactionid",
    "messageid",
    "customerid",
    "orderid",
    "uuid",
    "guid",
    "email",
    "username",
    "apikey",
    "clientip",
];
/// A word at the end of a name that says a unit.
struct SaysUnit {
    word: &'static str,
    base: &'static str,
    constant: &'static str,
}

const fn says(word: &'static str, base: &'static str, constant: &'static str) -> SaysUnit {
    SaysUnit {
        word,
        base,
        constant,
    }
}

const SAYS: [SaysUnit; 19] = [
    says("seconds", "seconds", "SECONDS"),
    says("milliseconds", "seconds", "MILLISECONDS"),
    says("microseconds", "seconds", "MICROSECONDS"),
    says("nanoseconds", "seconds", "NANOSECONDS"),
    says("ms", "seconds", "MILLISECONDS"),
    says("us", "seconds", "MICROSECONDS"),
    says("ns", "seconds", "NANOSECONDS"),
    says("secs", "seconds", "SECONDS"),
    says("minutes", "seconds", "custom(\"seconds\", 60, 1)"),
    says("hours", "seconds", "custom(\"seconds\", 3600, 1)"),
    says("bytes", "bytes", "BYTES"),
    says("kibibytes", "bytes", "KIBIBYTES"),
    says("kilobytes", "bytes", "custom(\"bytes\", 1000, 1)"),
    says("megabytes", "bytes", "custom(\"bytes\", 1_000_000, 1)"),
    says("mebibytes", "bytes", "custom(\"bytes\", 1_048_576, 1)"),
    says("kb", "bytes", "custom(\"bytes\", 1000, 1)"),
    says("mb", "bytes", "custom(\"bytes\", 1_000_000, 1)"),
    says("ratio", "ratio", "RATIO"),
    says("percent", "ratio", "PERCENT"),
];
/// Longest help text, in bytes.
const HELP_BYTES_MAX: usize = 4096;
/// Most labels of a series.
const LABELS_MAX: usize = 64;

/// The value of every label of an overflow series.
pub(crate) const OVERFLOW_VALUE: &str = "__other__";

/// Which names families and labels may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Names {
    /// ASCII letters, digits and underscores, as every scraper reads them.
    #[default]
    Legacy,
    /// Any UTF-8, as Prometheus 3 reads it.
    Utf8,
}

/// A label set in its canonical form: sorted by name, every name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelSet {
    bytes: Vec<u8>,
}

impl LabelSet {
    /// Sorts and checks a label set. An empty value is the same as an absent label.
    pub(crate) fn new(labels: &[(&str, &str)], names: Names) -> Result<LabelSet, Error> {
        let mut sorted: Vec<(&str, &str)> = labels
            .iter()
            .copied()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        sorted.sort_unstable();
        if sorted.len() > LABELS_MAX {
            let reason = format!("{} labels; give at most {LABELS_MAX}", sorted.len());
            return Err(invalid("label set", "", reason));
        }
        for (name, value) in labels {
            check_label_name(name, names)?;
            if value.len() > VALUE_BYTES_MAX {
                let reason = format!("{} bytes; give at most {VALUE_BYTES_MAX}", value.len());
                return Err(invalid("label value", &excerpt(value), reason));
            }
        }
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(invalid(
                "label name",
                pair[0].0,
                "it is given twice; give it once".into(),
            ));
        }
        Ok(LabelSet {
            bytes: encode(&sorted),
        })
    }

    /// The label set of the overflow series for label sets shaped like this one.
    pub(crate) fn overflow(&self) -> LabelSet {
        let labels = decode(&self.bytes).unwrap_or_default();
        let mut pairs: Vec<(&str, &str)> = labels
            .iter()
            .map(|label| (label.name, OVERFLOW_VALUE))
            .collect();
        if pairs.is_empty() {
            // Without a label it would be the series that was refused.
            pairs.push(("series", OVERFLOW_VALUE));
        }
        LabelSet {
            bytes: encode(&pairs),
        }
    }

    /// Whether it is that of an overflow series.
    pub(crate) fn is_overflow(&self) -> bool {
        let labels = decode(&self.bytes).unwrap_or_default();
        is_overflow(&labels)
    }

    /// The canonical bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether a label set is that of an overflow series, which is never removed.
pub(crate) fn is_overflow(labels: &[Label<'_>]) -> bool {
    !labels.is_empty() && labels.iter().all(|label| label.value == OVERFLOW_VALUE)
}

fn encode(sorted: &[(&str, &str)]) -> Vec<u8> {
    let texts = || sorted.iter().flat_map(|(name, value)| [name, value]);
    let mut bytes = Vec::with_capacity(texts().map(|text| 2 + text.len()).sum());
    for text in texts() {
        let length = u16::try_from(text.len()).expect("lengths were checked");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The labels of canonical bytes; `None` where they are not canonical.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<Label<'_>>> {
    let mut labels: Vec<Label<'_>> = Vec::new();
    while !bytes.is_empty() {
        let name = take_text(&mut bytes)?;
        let value = take_text(&mut bytes)?;
        check_label_name(name, Names::Utf8).ok()?;
        if value.len() > VALUE_BYTES_MAX || labels.len() == LABELS_MAX {
            return None;
        }
        if labels.last().is_some_and(|last| last.name >= name) {
            return None;
        }
        labels.push(Label { name, value });
    }
    Some(labels)
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *bytes = rest;
    str::from_utf8(text).ok()
}

/// Refuses labels that tell single requests, sessions or people apart.
pub(crate) fn refuse_ids(labels: &[(&str, &str)]) -> Result<(), Error> {
    for (name, _) in labels {
        let plain = name.chars().filter(|c| c.is_alphanumeric());
        let plain = plain.map(|c| c.to_ascii_lowercase());
        let length = plain.clone().count();
        let mut alike = ID_NAMES.iter().filter(|id| id.len() == length);
        if alike.any(|id| plain.clone().eq(id.chars())) {
            let reason = "its values never end, and each is a series for good; it may be somebody's data as well. \
                 Put ids into logs and traces, or say allow_id_labels";
            return Err(invalid("label name", name, reason.into()));
        }
    }
    Ok(())
}

/// Checks a family's name against its type and unit; every refusal names what to use.
pub(crate) fn check_family_name(
    name: &str,
    names: Names,
    is_counter: bool,
    unit: &Unit,
) -> Result<(), Error> {
    check_name("family name", name, names)?;
    if name.contains(':') {
        let reason = "colons are for the names of recording rules; use _ in its place".into();
        return Err(invalid("family name", name, reason));
    }
    if is_own(name) {
        let reason = format!("names from {OWN_PREFIX} on are the exporter's; choose another");
        return Err(invalid("family name", name, reason));
    }
    let stem = name.strip_suffix("_total");
    if is_counter && stem.is_none() {
        return Err(invalid(
            "family name",
            name,
            format!("a counter ends in _total; call it {name}_total"),
        ));
    }
    if !is_counter && let Some(stem) = stem {
        return Err(invalid(
            "family name",
            name,
            format!("only a counter ends in _total; call it {stem}"),
        ));
    }
    let stem = stem.unwrap_or(name);
    let base = unit.base();
    if base.is_empty() {
        return Ok(());
    }
    check_name("unit", base, Names::Legacy)?;
    let has_unit = stem
        .strip_suffix(base)
        .is_some_and(|rest| rest.ends_with('_'));
    if !has_unit {
        let total = if is_counter { "_total" } else { "" };
        let other = OTHER_UNITS.iter().find_map(|unit| stem.strip_suffix(unit));
        let stem = other.unwrap_or(stem);
        let reason = format!("its unit is {base}; call it {stem}_{base}{total}");
        return Err(invalid("family name", name, reason));
    }
    Ok(())
}

/// Whether some scraper reads this as the name of a family of the exporter's own.
fn is_own(name: &str) -> bool {
    let read = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let start = name.chars().map(read).take(OWN_PREFIX.len());
    start.eq(OWN_PREFIX.chars())
}

/// Checks that a name and a unit speak of base units, and of the same; every refusal says how to mend it.
pub(crate) fn check_base_unit(name: &str, is_counter: bool, unit: &Unit) -> Result<(), Error> {
    let total = if is_counter { "_total" } else { "" };
    let base = unit.base();
    let said = |what: &str| SAYS.iter().find(|says| says.word == what);
    if let Some(says) = said(base)
        && says.base != base
    {
        let reason = format!(
            "it is no base unit; record in Unit::{} and expose {}",
            says.constant, says.base
        );
        return Err(invalid("unit", base, reason));
    }
    let stem = name.strip_suffix("_total").unwrap_or(name);
    let (Some((rest, last)), "") = (stem.rsplit_once('_'), base) else {
        return Ok(());
    };
    match said(last) {
        Some(says) => {
            let SaysUnit { base, constant, .. } = says;
            let right = format!("{rest}_{base}{total}");
            let call = if right == name {
                String::new()
            } else {
                format!("call it {right} and ")
            };
            let reason = format!("it says {last}; {call}say unit(Unit::{constant})");
            Err(invalid("family name", name, reason))
        }
        None => Ok(()),
    }
}

/// Checks a help text.
pub(crate) fn check_help(help: &str) -> Result<(), Error> {
    if help.len() > HELP_BYTES_MAX {
        let reason = format!("{} bytes; give at most {HELP_BYTES_MAX}", help.len());
        return Err(invalid("help text", &excerpt(help), reason));
    }
    Ok(())
}

/// Checks the names of a state set's states.
pub(crate) fn check_states(states: &[&str]) -> Result<(), Error> {
    if states.is_empty() || states.len() > 64 {
        let reason = format!("{} states; give 1 to 64", states.len());
        return Err(invalid("state set", "", reason));
    }
    for (at, state) in states.iter().enumerate() {
        if state.is_empty() || state.len() > NAME_BYTES_MAX || state.contains('\n') {
            return Err(invalid(
                "state",
                state,
                "give 1 to 255 bytes on one line".into(),
            ));
        }
        if states[..at].contains(state) {
            return Err(invalid(
                "state",
                state,
                "it is given twice; give it once".into(),
            ));
        }
    }
    Ok(())
}

fn check_label_name(name: &str, names: Names) -> Result<(), Error> {
    check_name("label name", name, names)?;
    if name.starts_with("__") || name == "le" || name == "quantile" {
        return Err(invalid(
            "label name",
            name,
            "it is reserved; choose another".into(),
        ));
    }
    Ok(())
}

fn check_name(what: &'static str, name: &str, names: Names) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let reason = format!("{} bytes; give 1 to {NAME_BYTES_MAX}", name.len());
        return Err(invalid(what, &excerpt(name), reason));
    }
    if name.contains('\0') {
        let reason = "no scraper reads a name with a NUL; leave it out".into();
        return Err(invalid(what, name, reason));
    }
    if names == Names::Utf8 {
        return Ok(());
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(invalid(
            what,
            name,
            "it starts with a digit; start with a letter".into(),
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(refused) = name.chars().find(|&c| !allowed(c)) {
        let reason =
            format!("{refused:?} is not allowed; use letters, digits and _, or say utf8_names");
        return Err(invalid(what, name, reason));
    }
    Ok(())
}

fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

fn invalid(what: &'static str, given: &str, reason: String) -> Error {
    Error::Invalid {
        what,
        given: given.to_owned(),
        reason,
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labelset(labels: &[(&str, &str)]) -> Result<LabelSet, Error> {
        LabelSet::new(labels, Names::Legacy)
    }

    fn refusal(result: Result<(), Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn order_does_not_matter_and_empty_is_absent() {
        let one = labelset(&[("b", "2"), ("a", "1"), ("c", "")]).unwrap();
        let two = labelset(&[("a", "1"), ("b", "2")]).unwrap();
        assert_eq!(one, two);
    }

    #[test]
    fn neighbours_do_not_run_together() {
        let one = labelset(&[("a", "xb"), ("c", "y")]).unwrap();
        let two = labelset(&[("a", "x"), ("c", "by")]).unwrap();
        assert_ne!(one, two);
    }

    #[test]
    fn bad_label_sets_are_refused() {
        for labels in [
            &[("a", "1"), ("a", "2")][..],
            &[("le", "1")],
            &[("__name__", "x")],
            &[("1a", "x")],
            &[("a-b", "x")],
            &[("", "x")],
        ] {
            assert!(labelset(labels).is_err(), "{labels:?}");
        }
        assert!(labelset(&[("a", &"x".repeat(4097))]).is_err());
    }

    #[test]
    fn a_refused_name_comes_with_the_right_one() {
        let check = |name, is_counter, unit: &Unit| {
            check_family_name(name, Names::Legacy, is_counter, unit)
        };
        let (none, seconds) = (&Unit::NONE, &Unit::NANOSECONDS);
        assert!(refusal(check("requests", true, none)).contains("requests_total"));
        assert!(refusal(check("depth_total", false, none)).contains("call it depth"));
        assert!(refusal(check("wait", false, seconds)).contains("wait_seconds"));
        assert!(refusal(check("cpu_total", true, seconds)).contains("cpu_seconds_total"));
        assert!(refusal(check("wait_ms", false, seconds)).contains("it wait_seconds"));
        assert!(refusal(check("tachograph_up", false, none)).contains("exporter"));
        assert!(check("cpu_seconds_total", true, seconds).is_ok());
        assert!(check("a:b", false, none).is_err());
        assert!(check("seconds", false, seconds).is_err());
    }

    #[test]
    fn any_text_is_a_name_where_that_is_asked_for() {
        let check = |name| check_family_name(name, Names::Utf8, false, &Unit::NONE);
        for name in ["http.requests", "größe 花", "a\"b\\c\n", "1st", "-"] {
            assert!(check(name).is_ok(), "{name:?}");
            assert!(
                LabelSet::new(&[(name, "x")], Names::Utf8).is_ok(),
                "{name:?}"
            );
            assert!(
                LabelSet::new(&[(name, "x")], Names::Legacy).is_err(),
                "{name:?}"
            );
        }
        assert!(refusal(check("a:b")).contains("recording rules"));
        assert!(refusal(check("http.requests_total")).contains("it http.requests"));
        for reserved in ["le", "quantile", "__name__", "", "a\0b"] {
            assert!(LabelSet::new(&[(reserved, "x")], Names::Utf8).is_err());
        }
        assert!(refusal(check("a\0b")).contains("NUL"));
        for own in ["tachograph.segment.up", "tachograph-segment_up"] {
            assert!(refusal(check(own)).contains("exporter"), "{own}");
        }
        assert!(check("tachographs.up").is_ok());
    }

    #[test]
    fn names_speak_of_base_units() {
        let check = |name, is_counter, unit: &Unit| check_base_unit(name, is_counter, unit);
        let none = &Unit::NONE;
        for (name, is_counter, expected) in [
            (
                "wait_ms",
                false,
                "call it wait_seconds and say unit(Unit::MILLISECONDS)",
            ),
            (
                "wait_seconds",
                false,
                "it says seconds; say unit(Unit::SECONDS)",
            ),
            ("sent_kb_total", true, "call it sent_bytes_total and say"),
            (
                "load_percent",
                false,
                "call it load_ratio and say unit(Unit::PERCENT)",
            ),
        ] {
            let refused = refusal(check(name, is_counter, none));
            assert!(refused.contains(expected), "{refused}");
        }
        let refused = refusal(check(
            "a_milliseconds",
            false,
            &Unit::custom("milliseconds", 1, 1),
        ));
        assert!(refused.contains("Unit::MILLISECONDS"), "{refused}");
        assert!(check("wait_seconds", false, &Unit::MILLISECONDS).is_ok());
        assert!(check("energy_joules_total", true, none).is_ok());
        assert!(check("seconds", false, none).is_ok());
    }

    #[test]
    fn ids_are_refused_with_the_reason() {
        for name in ["request_id", "userId", "trace_id", "session_id", "user.id"] {
            let refused = refusal(refuse_ids(&[("method", "get"), (name, "x")]));
            assert!(
                refused.contains(name) && refused.contains("allow_id_labels"),
                "{refused}"
            );
        }
        assert!(refuse_ids(&[("device_id", "3"), ("method", "get")]).is_ok());
    }

    #[test]
    fn the_overflow_set_keeps_the_names() {
        let labels = labelset(&[("a", "1"), ("b", "2")]).unwrap().overflow();
        let decoded = decode(labels.bytes()).unwrap();
        assert!(decoded.iter().all(|label| label.value == OVERFLOW_VALUE));
        assert_eq!(decoded.len(), 2);
    }

    proptest! {
        #[test]
        fn a_label_set_survives_its_bytes(
            labels in proptest::collection::btree_map("[a-z][a-z0-9_]{0,8}", "\\PC{1,12}", 0..6)
        ) {
            let pairs: Vec<(&str, &str)> = labels.iter()
                .filter(|(name, _)| *name != "le" && *name != "quantile")
                .map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let set = labelset(&pairs).unwrap();
            let decoded = decode(set.bytes()).unwrap();
            let back: Vec<(&str, &str)> =
                decoded.iter().map(|label| (label.name, label.value)).collect();
            prop_assert_eq!(back, pairs);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
