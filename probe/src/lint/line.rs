//! One line of a page, taken apart.

use super::Dialect;

/// What a line says.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    Help { name: String },
    Type { name: String, kind: String },
    Unit { name: String, unit: String },
    End,
    Comment,
    Blank,
    Sample(Sample),
}

/// A name and a value.
pub(crate) type Label = (String, String);

#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<Label>,
    pub(crate) value: f64,
    /// In seconds.
    pub(crate) timestamp: Option<f64>,
    pub(crate) exemplar: Option<Exemplar>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) labels: Vec<Label>,
    pub(crate) value: f64,
}

/// The rule that a line breaks, and how.
pub(crate) type Fault = (&'static str, String);

fn fault<T>(rule: &'static str, message: impl Into<String>) -> Result<T, Fault> {
    Err((rule, message.into()))
}

/// Reads a line without its line end.
pub(crate) fn parse(line: &str, dialect: Dialect) -> Result<Line, Fault> {
    let mut cursor = Cursor {
        rest: line,
        dialect,
    };
    if line.trim_matches([' ', '\t']).is_empty() {
        return Ok(Line::Blank);
    }
    if dialect == Dialect::Text {
        cursor.blanks();
    }
    match cursor.rest.strip_prefix('#') {
        Some(rest) => {
            cursor.rest = rest;
            cursor.header()
        }
        None => cursor.sample().map(Line::Sample),
    }
}

struct Cursor<'a> {
    rest: &'a str,
    dialect: Dialect,
}

impl<'a> Cursor<'a> {
    fn blanks(&mut self) -> usize {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        let count = self.rest.len() - rest.len();
        self.rest = rest;
        count
    }

    /// Goes over what stands between two words.
    fn separator(&mut self) -> Result<(), Fault> {
        let before = self.rest;
        let count = self.blanks();
        if count == 0 {
            return fault("syntax", format!("a blank belongs before {before:?}"));
        }
        if self.dialect == Dialect::OpenMetrics && (count > 1 || before.starts_with('\t')) {
            return fault("blank", "words are separated by a single blank");
        }
        Ok(())
    }

    fn eat(&mut self, token: char) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: char) -> Result<(), Fault> {
        if self.eat(token) {
            return Ok(());
        }
        fault(
            "syntax",
            format!("{token:?} belongs before {:?}", self.rest),
        )
    }

    /// Everything up to the next blank.
    fn word(&mut self) -> &'a str {
        let end = self.rest.find([' ', '\t']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn header(&mut self) -> Result<Line, Fault> {
        if self.rest == " EOF" && self.dialect == Dialect::OpenMetrics {
            return Ok(Line::End);
        }
        let strict = Cursor { ..*self };
        self.blanks();
        let keyword = self.word();
        let is_known = match self.dialect {
            Dialect::Text => matches!(keyword, "HELP" | "TYPE"),
            Dialect::OpenMetrics => matches!(keyword, "HELP" | "TYPE" | "UNIT"),
        };
        if !is_known {
            return Ok(Line::Comment);
        }
        *self = strict;
        self.separator()?;
        self.word();
        self.separator()?;
        let name = self.family_name()?;
        match keyword {
            "HELP" => {
                if !self.rest.is_empty() {
                    self.separator_of_help()?;
                }
                self.help()?;
                Ok(Line::Help { name })
            }
            keyword => {
                self.separator()?;
                let word = self.word().to_owned();
                self.end()?;
                Ok(match keyword {
                    "TYPE" => Line::Type { name, kind: word },
                    _ => Line::Unit { name, unit: word },
                })
            }
        }
    }

    /// One blank: those behind it are the text's.
    fn separator_of_help(&mut self) -> Result<(), Fault> {
        if self.eat(' ') || self.dialect == Dialect::Text && self.eat('\t') {
            return Ok(());
        }
        fault("syntax", format!("a blank belongs before {:?}", self.rest))
    }

    fn help(&mut self) -> Result<(), Fault> {
        let mut characters = self.rest.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => match (characters.next(), self.dialect) {
                    (Some('\\' | 'n'), _) | (Some('"'), Dialect::OpenMetrics) => {}
                    (other, _) => return unknown_escape(other),
                },
                '"' if self.dialect == Dialect::OpenMetrics => {
                    return fault("escape", "a quote in HELP is written \\\"");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.dialect == Dialect::Text {
            self.blanks();
        }
        if self.rest.is_empty() {
            return Ok(());
        }
        fault("syntax", format!("{:?} is too much", self.rest))
    }

    fn family_name(&mut self) -> Result<String, Fault> {
        if self.eat('"') {
            return self.quoted();
        }
        self.name(true)
    }

    fn name(&mut self, with_colons: bool) -> Result<String, Fault> {
        let is_part = |character: char| {
            character.is_ascii_alphanumeric() || character == '_' || with_colons && character == ':'
        };
        let end = self.rest.find(|it| !is_part(it)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return fault("name", format!("no name begins as {:?} does", self.rest));
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    /// Text up to its closing quote; the opening one was read.
    fn quoted(&mut self) -> Result<String, Fault> {
        let mut text = String::new();
        let mut characters = self.rest.chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => {
                    self.rest = characters.as_str();
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some(escaped @ ('\\' | '"')) => text.push(escaped),
                    Some('n') => text.push('\n'),
                    other => return unknown_escape(other),
                },
                other => text.push(other),
            }
        }
        fault("syntax", "a quote is not closed")
    }

    fn sample(&mut self) -> Result<Sample, Fault> {
        let mut name = None;
        if !self.rest.starts_with('{') {
            name = Some(self.name(true)?);
        }
        if self.dialect == Dialect::Text {
            self.blanks();
        }
        let mut labels = Vec::new();
        if self.eat('{') {
            labels = self.labels(&mut name)?;
        }
        let Some(name) = name else {
            return fault("syntax", "a sample has no name");
        };
        if self.dialect == Dialect::OpenMetrics {
            self.separator()?;
        } else {
            self.blanks();
        }
        let value = number(self.word())?;
        let timestamp = self.timestamp()?;
        let exemplar = self.exemplar()?;
        self.end()?;
        Ok(Sample {
            name,
            labels,
            value,
            timestamp,
            exemplar,
        })
    }

    /// Labels up to the closing brace. A quoted name of the sample may stand first.
    fn labels(&mut self, name: &mut Option<String>) -> Result<Vec<Label>, Fault> {
        let mut labels = Vec::new();
        let is_text = self.dialect == Dialect::Text;
        let mut first = true;
        loop {
            if is_text {
                self.blanks();
            }
            if self.eat('}') {
                if !first && !is_text {
                    return fault("syntax", "no comma belongs behind the last label");
                }
                return Ok(labels);
            }
            first = false;
            let is_quoted = self.rest.starts_with('"');
            let label = match self.eat('"') {
                true => self.quoted()?,
                false => self.name(false)?,
            };
            if is_text {
                self.blanks();
            }
            if is_quoted && name.is_none() && !self.rest.starts_with('=') {
                *name = Some(label);
            } else {
                self.expect('=')?;
                if is_text {
                    self.blanks();
                }
                self.expect('"')?;
                labels.push((label, self.quoted()?));
            }
            if is_text {
                self.blanks();
            }
            if !self.eat(',') {
                self.expect('}')?;
                return Ok(labels);
            }
        }
    }

    fn timestamp(&mut self) -> Result<Option<f64>, Fault> {
        let Cursor { rest, dialect } = *self;
        if rest.trim_matches([' ', '\t']).is_empty() && dialect == Dialect::Text {
            return Ok(None);
        }
        if rest.is_empty() || rest.starts_with(" # ") {
            return Ok(None);
        }
        self.separator()?;
        let word = self.word();
        let seconds = match dialect {
            #[expect(clippy::cast_precision_loss, reason = "only their order counts")]
            Dialect::Text => word.parse::<i64>().ok().map(|millis| millis as f64 / 1e3),
            Dialect::OpenMetrics => word.parse::<f64>().ok().filter(|it| it.is_finite()),
        };
        if seconds.is_some() {
            return Ok(seconds);
        }
        let form = match dialect {
            Dialect::Text => "whole milliseconds",
            Dialect::OpenMetrics => "seconds",
        };
        fault("timestamp", format!("{word:?} is no time in {form}"))
    }

    fn exemplar(&mut self) -> Result<Option<Exemplar>, Fault> {
        let Some(rest) = self.rest.strip_prefix(" # ") else {
            return Ok(None);
        };
        if self.dialect == Dialect::Text {
            return fault("exemplar", "the text format has no exemplars");
        }
        self.rest = rest;
        self.expect('{')?;
        let labels = self.labels(&mut Some(String::new()))?;
        self.separator()?;
        let value = number(self.word())?;
        if !self.rest.is_empty() {
            self.separator()?;
            let word = self.word();
            if word.parse::<f64>().is_err() {
                return fault("timestamp", format!("{word:?} is no time in seconds"));
            }
        }
        Ok(Some(Exemplar { labels, value }))
    }
}

fn unknown_escape<T>(escaped: Option<char>) -> Result<T, Fault> {
    let escape = escaped.map_or_else(|| "\\ at the end".to_owned(), |it| format!("\\{it}"));
    fault("escape", format!("{escape} is no escape"))
}

/// Reads a value: Rust's floats are Go's, but for hexadecimal ones.
pub(crate) fn number(word: &str) -> Result<f64, Fault> {
    word.parse()
        .map_err(|_| ("value", format!("{word:?} is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(line: &str, dialect: Dialect) -> &'static str {
        match parse(line, dialect) {
            Ok(_) => "",
            Err((rule, _)) => rule,
        }
    }

    #[test]
    fn samples() {
        let Ok(Line::Sample(sample)) = parse(
            r#"a:b{x="1\\\"\n}",y="ü"} 1e3 1.5 # {t="1"} 0.5 2"#,
            Dialect::OpenMetrics,
        ) else {
            panic!("it is a sample");
        };
        assert_eq!(sample.name, "a:b");
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(sample.labels, [label("x", "1\\\"\n}"), label("y", "ü")]);
        assert_eq!((sample.value, sample.timestamp), (1000.0, Some(1.5)));
        assert_eq!(sample.exemplar.unwrap().labels, [label("t", "1")]);
        let quoted = parse(r#"{"my.name","a b"="c"} NaN"#, Dialect::Text).unwrap();
        assert!(matches!(quoted, Line::Sample(it) if it.name == "my.name" && it.labels.len() == 1));
    }

    #[test]
    fn both_dialects() {
        for (line, text, openmetrics) in [
            ("a 1", "", ""),
            ("a{} +Inf", "", ""),
            ("\ta { x = \"1\" , } 1 ", "", "name"),
            ("a{x=\"1\",} 1", "", "syntax"),
            ("a  1", "", "blank"),
            ("a 1 1000", "", ""),
            ("a 1 1.5", "timestamp", ""),
            ("a 1 # {} 1", "exemplar", ""),
            ("a 1 soon", "timestamp", "timestamp"),
            ("a", "value", "syntax"),
            ("a one", "value", "value"),
            ("1a 1", "name", "name"),
            ("a{1=\"\"} 1", "name", "name"),
            ("a{x=\"\\t\"} 1", "escape", "escape"),
            ("a{x=\"1} 1", "syntax", "syntax"),
            ("# HELP a say \"x\"", "", "escape"),
            ("# HELP a say \\\"", "escape", ""),
            ("# TYPE a gauge more", "syntax", "syntax"),
            ("#  TYPE  a  gauge", "", "blank"),
            ("# HELP a", "", ""),
            ("# anything \\ at all", "", ""),
        ] {
            assert_eq!(rule(line, Dialect::Text), text, "{line}");
            assert_eq!(rule(line, Dialect::OpenMetrics), openmetrics, "{line}");
        }
        assert_eq!(parse("# EOF", Dialect::OpenMetrics), Ok(Line::End));
        assert_eq!(parse("# EOF", Dialect::Text), Ok(Line::Comment));
    }
}
