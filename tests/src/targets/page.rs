//! A strict reader of the text format 0.0.4, written from its description alone
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::collections::{BTreeMap, BTreeSet};

/// Name and labels of a sample.
pub type Key = (String, BTreeMap<String, String>);

/// What a page says.
#[derive(Debug, Default)]
pub struct Page {
    /// The samples.
    pub samples: BTreeMap<Key, f64>,
    /// The HELP text of each family.
    pub help: BTreeMap<String, String>,
    /// The TYPE of each family.
    pub types: BTreeMap<String, String>,
}

/// Reads a page.
///
/// # Errors
/// Whatever the format does not allow, a sample or header that stands twice included.
pub fn parse(page: &[u8]) -> Result<Page, String> {
    let text = std::str::from_utf8(page).map_err(|error| error.to_string())?;
    let mut parsed = Page::default();
    if text.is_empty() {
        return Ok(parsed);
    }
    let lines = text
        .strip_suffix('\n')
        .ok_or("the last line does not end")?;
    let mut closed = BTreeSet::new();
    let mut family = String::new();
    for line in lines.split('\n') {
        let name = parsed
            .read_line(line, &family)
            .map_err(|error| format!("{error}: {line:?}"))?;
        if name != family {
            closed.insert(std::mem::replace(&mut family, name));
            if closed.contains(&family) {
                return Err(format!("the lines of {family} do not stand together"));
            }
        }
    }
    Ok(parsed)
}

impl Page {
    /// Reads a line and returns the family that it belongs to.
    fn read_line(&mut self, line: &str, family: &str) -> Result<String, &'static str> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            let before = self.help.insert(legal(name)?, unescape(help, false)?);
            return none(before).map(|()| name.to_owned());
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no type")?;
            if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind) {
                return Err("an unknown type");
            }
            let before = self.types.insert(legal(name)?, kind.to_owned());
            return none(before).map(|()| name.to_owned());
        }
        let (key, value) = sample(line)?;
        let owner = self.owner(&key.0, family);
        none(self.samples.insert(key, value))?;
        Ok(owner)
    }

    /// The family of a sample: that of the lines before, if it may have such a sample.
    fn owner(&self, name: &str, family: &str) -> String {
        let is_histogram = self
            .types
            .get(family)
            .is_some_and(|kind| kind == "histogram");
        let suffix = name.strip_prefix(family).filter(|_| is_histogram);
        match suffix {
            Some("_bucket" | "_sum" | "_count") => family.to_owned(),
            _ => name.to_owned(),
        }
    }
}

fn none<T>(before: Option<T>) -> Result<(), &'static str> {
    before.map_or(Ok(()), |_| Err("it stands twice"))
}

fn sample(line: &str) -> Result<(Key, f64), &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let name = legal(&line[..end])?;
    let mut labels = BTreeMap::new();
    let mut rest = &line[end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = read_labels(inner, &mut labels)?;
    }
    let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    Ok(((name, labels), number(value.trim_start_matches(' '))?))
}

fn read_labels<'a>(
    mut rest: &'a str,
    labels: &mut BTreeMap<String, String>,
) -> Result<&'a str, &'static str> {
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (name, value) = rest.split_once("=\"").ok_or("a label without a value")?;
        let end = closing_quote(value).ok_or("a quote is not closed")?;
        if name.contains(':') {
            return Err("a label name with a colon");
        }
        none(labels.insert(legal(name)?, unescape(&value[..end], true)?))?;
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return Err("no comma between labels"),
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}

fn unescape(text: &str, quotes: bool) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            '\\' => match chars.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quotes => '"',
                _ => return Err("an unknown escape"),
            },
            '"' if quotes => return Err("a bare quote"),
            other => other,
        });
    }
    Ok(out)
}

fn legal(name: &str) -> Result<String, &'static str> {
    let is_legal = |(at, byte): (usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' => true,
        b'0'..=b'9' => at > 0,
        _ => false,
    };
    let all = !name.is_empty() && name.bytes().enumerate().all(is_legal);
    all.then(|| name.to_owned()).ok_or("an illegal name")
}

fn number(text: &str) -> Result<f64, &'static str> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        // Rust reads more words than the format has.
        _ if text.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => {
            Err("not a number")
        }
        _ => text.parse().map_err(|_| "not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_what_the_format_does_not_allow_is_refused() {
        for page in [
            "a 1",
            "a{} 1\na 1\n",
            "a{b=\"c\"d=\"e\"} 1\n",
            "a{b=\"c\",b=\"d\"} 1\n",
            "a{b=\"\\q\"} 1\n",
            "a{b=\"c} 1\n",
            "a{b:c=\"d\"} 1\n",
            "1a 1\n",
            "a inf\n",
            "a 1\nb 1\na{c=\"d\"} 1\n",
            "# TYPE a gauge\n# TYPE a gauge\n",
            "# TYPE a thing\n",
            "# HELP a \\q\n",
            "a\n",
            "\n",
        ] {
            parse(page.as_bytes()).expect_err(page);
        }
        parse(b"a{b=\"\xff\"} 1\n").unwrap_err();
    }

    #[test]
    fn escapes_are_undone() {
        let page = "# HELP a x\\\\y\\nz \"\n# TYPE a gauge\na{b=\"\\\"\\\\\\n}\"}   +Inf\n";
        let page = parse(page.as_bytes()).unwrap();
        assert_eq!(page.help["a"], "x\\y\nz \"");
        let labels = BTreeMap::from([("b".to_owned(), "\"\\\n}".to_owned())]);
        assert_eq!(page.samples[&("a".to_owned(), labels)], f64::INFINITY);
    }
}
