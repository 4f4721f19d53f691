//! Names of series as people write them: `http_*`, `http_requests_total{code=~"5.."}`; in quotes within the braces, as in
//! PromQL, where they are no words: `{"http.requests_total","http.method"="GET"}`.

use std::str::FromStr;

use crate::glob::Glob;
use regex::Regex;

/// Families by a glob on the name, and series by matchers of their labels.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    /// Any name where there is none.
    name: Option<Glob>,
    matchers: Vec<Matcher>,
}

/// What of a family is meant: all of it, or one of the samples that a histogram is exposed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Count,
    Sum,
    Bucket,
}

impl Part {
    const OF_HISTOGRAM: [(Part, &'static str); 3] = [
        (Part::Count, "_count"),
        (Part::Sum, "_sum"),
        (Part::Bucket, "_bucket"),
    ];
}

impl Selector {
    /// The pattern of the name, as it was given.
    pub(crate) fn name(&self) -> &str {
        self.name.as_ref().map_or("*", Glob::text)
    }

    pub(crate) fn has_matchers(&self) -> bool {
        !self.matchers.is_empty()
    }

    /// What of a family is meant, if anything.
    pub(crate) fn part_of(&self, family: &str, is_histogram: bool) -> Option<Part> {
        let Some(name) = &self.name else {
            return Some(Part::Whole);
        };
        if name.matches(family) {
            return Some(Part::Whole);
        }
        if !is_histogram {
            return None;
        }
        Part::OF_HISTOGRAM
            .into_iter()
            .find(|(_, suffix)| name.matches(&format!("{family}{suffix}")))
            .map(|(part, _)| part)
    }

    /// Whether the labels that `value_of` knows are meant; a missing label is empty.
    pub(crate) fn admits<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.matchers
            .iter()
            .all(|matcher| matcher.admits(&value_of))
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Selector, String> {
        let (name, mut inner) = match text.split_once('{') {
            None => (text.trim(), ""),
            Some((name, rest)) => {
                let inner = rest.trim_end().strip_suffix('}');
                let inner = inner.ok_or("the brace is not closed: give name{label=\"value\"}")?;
                (name.trim(), inner)
            }
        };
        let mut name = (!name.is_empty()).then(|| Glob::new(name));
        if name.is_none()
            && let Some((quoted, rest)) = quoted_name(inner)?
        {
            inner = rest;
            name = (!quoted.is_empty()).then(|| Glob::exactly(&quoted));
        }
        let matchers = matchers(inner)?;
        if name.is_none() && matchers.is_empty() {
            return Err("give a name, as in http_* or x_total{code=~\"5..\"}".into());
        }
        Ok(Selector { name, matchers })
    }
}

const QUOTES: [char; 2] = ['"', '\''];

/// A condition on one label.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    label: String,
    negated: bool,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    Glob(Glob),
    Regex(Regex),
}

impl Matcher {
    /// Splits `label=`, `label!=`, `label=~` or `label!~` off; the rest begins with the value.
    fn head(text: &str) -> Result<(&str, bool, bool, &str), String> {
        let at = text
            .find(['=', '!'])
            .ok_or("after the label give =, !=, =~ or !~ and a value")?;
        let (label, rest) = text.split_at(at);
        let operators = [
            ("=~", false, true),
            ("!~", true, true),
            ("!=", true, false),
            ("=", false, false),
        ];
        let (length, negated, is_regex) = operators
            .into_iter()
            .find(|(operator, ..)| rest.starts_with(operator))
            .map(|(operator, negated, is_regex)| (operator.len(), negated, is_regex))
            .ok_or("after the label give =, !=, =~ or !~ and a value")?;
        Ok((label.trim(), negated, is_regex, &rest[length..]))
    }

    pub(crate) fn admits<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        let value = value_of(&self.label).unwrap_or("");
        let fits = match &self.test {
            Test::Equal(wanted) => wanted == value,
            Test::Glob(glob) => glob.matches(value),
            Test::Regex(regex) => regex.is_match(value),
        };
        fits != self.negated
    }
}

/// A regular expression that must fit the whole value, as in PromQL.
fn whole(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?s:{pattern})$"))
        .map_err(|_| format!("`{pattern}` is no regular expression"))
}

/// `label=glob`, `label!=glob`, `label=~regex` or `label!~regex`: an argument of its own, without quotes.
impl FromStr for Matcher {
    type Err = String;

    fn from_str(text: &str) -> Result<Matcher, String> {
        let (label, negated, is_regex, value) = Matcher::head(text)?;
        if label.is_empty() {
            return Err("the label name is missing: give name=value".into());
        }
        let test = if is_regex {
            Test::Regex(whole(value)?)
        } else {
            Test::Glob(Glob::new(value))
        };
        Ok(Matcher {
            label: label.to_owned(),
            negated,
            test,
        })
    }
}

/// A name in quotes that stands first between the braces, and what stands behind its comma.
fn quoted_name(inner: &str) -> Result<Option<(String, &str)>, String> {
    let inner = inner.trim_start();
    if !inner.starts_with(QUOTES) {
        return Ok(None);
    }
    let (name, rest) = value(inner)?;
    let rest = rest.trim_start();
    if rest.starts_with(['=', '!']) {
        // It is the name of a label.
        return Ok(None);
    }
    match rest.strip_prefix(',') {
        Some(rest) => Ok(Some((name, rest))),
        None if rest.is_empty() => Ok(Some((name, rest))),
        None => Err("give a comma behind the name".into()),
    }
}

/// What stands between the braces of a selector.
fn matchers(mut text: &str) -> Result<Vec<Matcher>, String> {
    let mut all = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Ok(all);
        }
        let (quoted, from) = match text.starts_with(QUOTES) {
            true => value(text).map(|(label, rest)| (Some(label), rest))?,
            false => (None, text),
        };
        let (label, negated, is_regex, rest) = Matcher::head(from)?;
        let label = quoted.as_deref().unwrap_or(label);
        if label.is_empty() {
            return Err("the label name is missing: give name=value".into());
        }
        let (value, rest) = value(rest.trim_start())?;
        let test = if is_regex {
            Test::Regex(whole(&value)?)
        } else {
            Test::Equal(value)
        };
        all.push(Matcher {
            label: label.to_owned(),
            negated,
            test,
        });
        text = rest.trim_start();
        if let Some(rest) = text.strip_prefix(',') {
            text = rest;
        } else if !text.is_empty() {
            return Err("give a comma between two labels".into());
        }
    }
}

/// A quoted value with escapes, or what stands before the next comma; and the rest.
fn value(text: &str) -> Result<(String, &str), String> {
    let Some(quote) = text.chars().next().filter(|first| QUOTES.contains(first)) else {
        let end = text.find(',').unwrap_or(text.len());
        return Ok((text[..end].trim_end().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next().map(|next| next.1) {
                Some('n') => value.push('\n'),
                Some(next) if next == '\\' || next == quote => value.push(next),
                // As in a regular expression: the backslash is meant.
                Some(next) => value.extend(['\\', next]),
                None => break,
            },
            end if end == quote => return Ok((value, &text[at + 1..])),
            other => value.push(other),
        }
    }
    Err("the quote is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [(&str, &str); 3] = [("method", "get"), ("code", "503"), ("path", "a\"b\n")];

    fn value_of(name: &str) -> Option<&'static str> {
        LABELS
            .iter()
            .find(|label| label.0 == name)
            .map(|label| label.1)
    }

    fn admits(text: &str) -> bool {
        text.parse::<Selector>().unwrap().admits(value_of)
    }

    fn matches(text: &str) -> bool {
        text.parse::<Matcher>().unwrap().admits(value_of)
    }

    #[test]
    fn matchers_are_those_of_promql() {
        for fits in [
            "x",
            "x{}",
            "x{method=\"get\"}",
            "{method='get', code=~\"5..\",}",
            "x{code=~\"4..|5..\"}",
            "x{code!~\"50\",method!=\"post\"}",
            r#"x{path="a\"b\n"}"#,
            r#"x{code=~"\d+"}"#,
            "x{zone=\"\"}",
            "x{zone!=\"eu\"}",
            "x{method=get,code=503}",
        ] {
            assert!(admits(fits), "{fits}");
        }
        for other in [
            "x{method=\"g*\"}",
            "x{code=~\"5\"}",
            "x{zone=~\".+\"}",
            "x{method=\"get\",code!~\"5..\"}",
        ] {
            assert!(!admits(other), "{other}");
        }
    }

    #[test]
    fn an_argument_takes_globs_and_expressions() {
        assert!(matches("code=5*") && matches("code=~5.*") && matches("zone="));
        assert!(matches("method!=post") && matches("code!~4.."));
        assert!(!matches("code=~5") && !matches("zone=?*") && !matches("code!=5??"));
        assert!(matches("path!=a=b"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in [
            "",
            "{}",
            "x{code}",
            "x{=\"5\"}",
            "x{code=\"5}",
            "x{code=\"5\"",
            "x{code=\"5\" method=\"get\"}",
            "x{code=~\"(\"}",
            "x{code!\"5\"}",
        ] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong}");
        }
        for wrong in ["method", "=get", "!=get", "code=~("] {
            assert!(wrong.parse::<Matcher>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn quoted_names_are_those_of_promql() {
        let part = |text: &str, family| text.parse::<Selector>().unwrap().part_of(family, false);
        let (name, odd) = ("http.requests_total", "a\"{b},c");
        for text in [
            "{\"http.requests_total\"}",
            "{ 'http.requests_total' , \"a.b\"=\"c\"}",
            "http.requests_total{\"a.b\"=\"c\"}",
            "http.*",
        ] {
            assert_eq!(part(text, name), Some(Part::Whole), "{text}");
            assert_eq!(part(text, odd), None, "{text}");
        }
        assert_eq!(part(r#"{"a\"{b},c"}"#, odd), Some(Part::Whole));
        assert_eq!(part("{\"http.*\"}", name), None);
        let admits = |text: &str| {
            let selector: Selector = text.parse().unwrap();
            selector.admits(|label| (label == "a.b=").then_some("c"))
        };
        assert!(admits("{\"a.b=\"=\"c\"}") && admits("{\"x.y\",\"a.b=\"=~\"c|d\",}"));
        assert!(!admits("{\"a.b=\"!=\"c\"}") && !admits("{\"a.b\"=\"c\"}"));
        for wrong in [
            "{\"a\" \"b\"}",
            "{\"a\",\"b\"}",
            "{\"a}",
            "{\"\"=\"b\"}",
            "{\"\"}",
        ] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_samples_of_a_histogram_are_found() {
        let (histogram, counter) = ("x_seconds", "x_total");
        let part = |text: &str, family| {
            let selector = text.parse::<Selector>().unwrap();
            selector.part_of(family, family == histogram)
        };
        assert_eq!(part("x_seconds", histogram), Some(Part::Whole));
        assert_eq!(part("x_*", histogram), Some(Part::Whole));
        assert_eq!(part("x_seconds_count", histogram), Some(Part::Count));
        assert_eq!(part("*_sum", histogram), Some(Part::Sum));
        assert_eq!(
            part("x_seconds_bucket{a='b'}", histogram),
            Some(Part::Bucket)
        );
        assert_eq!(part("x_total_count", counter), None);
        assert_eq!(part("{a='b'}", counter), Some(Part::Whole));
    }
}
