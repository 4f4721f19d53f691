//! Which families and series a command shows: a glob on the name, filters on the labels.

use std::convert::Infallible;
use std::str::FromStr;

/// A pattern: `*` is any text, `?` any one character, `\` takes the next character as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    AnyCharacter,
    Character(char),
}

impl Glob {
    pub(crate) fn new(text: &str) -> Glob {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '*' => Part::Text,
                '?' => Part::AnyCharacter,
                '\\' => Part::Character(characters.next().unwrap_or('\\')),
                other => Part::Character(other),
            });
        }
        Glob {
            text: text.to_owned(),
            parts,
        }
    }

    /// The pattern as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `candidate` fits. Linear but for the last `*` tried again: no recursion.
    pub(crate) fn matches(&self, candidate: &str) -> bool {
        let candidate: Vec<char> = candidate.chars().collect();
        let (mut part, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < candidate.len() || part < self.parts.len() {
            let fits = match self.parts.get(part) {
                Some(Part::Text) => {
                    retry = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(Part::AnyCharacter) => at < candidate.len(),
                Some(Part::Character(wanted)) => candidate.get(at) == Some(wanted),
                None => false,
            };
            if fits {
                (part, at) = (part + 1, at + 1);
                continue;
            }
            match retry {
                Some((star, start)) if start < candidate.len() => {
                    retry = Some((star, start + 1));
                    (part, at) = (star + 1, start + 1);
                }
                _ => return false,
            }
        }
        true
    }
}

impl FromStr for Glob {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Glob, Infallible> {
        Ok(Glob::new(text))
    }
}

/// `name=glob` or `name!=glob`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelFilter {
    name: String,
    negated: bool,
    glob: Glob,
}

impl FromStr for LabelFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<LabelFilter, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("give name=value, name!=value or name=glob")?;
        let (name, negated) = match name.strip_suffix('!') {
            Some(name) => (name, true),
            None => (name, false),
        };
        if name.is_empty() {
            return Err("the label name is missing: give name=value".into());
        }
        Ok(LabelFilter {
            name: name.to_owned(),
            negated,
            glob: Glob::new(value),
        })
    }
}

/// What a command was asked to show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    glob: Option<Glob>,
    labels: Vec<LabelFilter>,
}

impl Filter {
    pub(crate) fn new(glob: Option<Glob>, labels: Vec<LabelFilter>) -> Filter {
        Filter { glob, labels }
    }

    /// Whether everything is shown.
    pub(crate) fn is_open(&self) -> bool {
        self.glob.is_none() && self.labels.is_empty()
    }

    pub(crate) fn has_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    pub(crate) fn admits_family(&self, name: &str) -> bool {
        self.glob.as_ref().is_none_or(|glob| glob.matches(name))
    }

    /// Whether a series with the labels that `value_of` knows is shown; a missing label is empty.
    pub(crate) fn admits_labels<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.labels.iter().all(|filter| {
            let value = value_of(&filter.name).unwrap_or("");
            filter.glob.matches(value) != filter.negated
        })
    }

    /// Why nothing was shown, with a pattern that would have found something among `names`.
    pub(crate) fn nothing_found<'a>(&self, names: impl Iterator<Item = &'a str>) -> String {
        let Some(glob) = &self.glob else {
            return "no series has these labels".into();
        };
        let mut names = names.peekable();
        if names.peek().is_none() {
            return "the segment has no series yet".into();
        }
        let core = glob.text().trim_matches(['*', '?']);
        let mut near = names.filter(|name| !core.is_empty() && name.contains(core));
        match near.next() {
            Some(name) if self.admits_family(name) => {
                format!("no series of '{}' has these labels", glob.text())
            }
            Some(name) => format!("no family is called '{}'; there is {name}", glob.text()),
            None => format!("no family is called '{}'; see `ls`", glob.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, by recursion over all choices.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some((wanted, rest)) => text.split_first().is_some_and(|(found, text)| {
                (*wanted == '?' || wanted == found) && naive(rest, text)
            }),
        }
    }

    fn words(alphabet: &[char], longest: usize) -> Vec<Vec<char>> {
        let mut all = vec![vec![]];
        let mut last = all.clone();
        for _ in 0..longest {
            last = last
                .iter()
                .flat_map(|word| {
                    alphabet.iter().map(move |&next| {
                        let mut word = word.clone();
                        word.push(next);
                        word
                    })
                })
                .collect();
            all.extend(last.clone());
        }
        all
    }

    #[test]
    fn a_glob_agrees_with_its_definition() {
        let texts = words(&['a', 'b'], 5);
        for pattern in words(&['a', 'b', '*', '?'], 5) {
            let glob = Glob::new(&pattern.iter().collect::<String>());
            for text in &texts {
                let found = glob.matches(&text.iter().collect::<String>());
                assert_eq!(found, naive(&pattern, text), "{pattern:?} on {text:?}");
            }
        }
    }

    #[test]
    fn a_backslash_takes_the_next_character_as_it_is() {
        assert!(Glob::new(r"a\*").matches("a*"));
        assert!(!Glob::new(r"a\*").matches("ab"));
        assert!(Glob::new(r"\\").matches(r"\"));
        assert!(Glob::new(r"a\").matches(r"a\"));
        assert!(Glob::new("µ?").matches("µs"));
    }

    fn admits(filters: &[&str], labels: &[(&str, &str)]) -> bool {
        let filters = filters.iter().map(|text| text.parse().unwrap()).collect();
        let filter = Filter::new(None, filters);
        filter.admits_labels(|name| {
            labels
                .iter()
                .find(|label| label.0 == name)
                .map(|label| label.1)
        })
    }

    #[test]
    fn all_label_filters_must_hold() {
        let labels = [("method", "get"), ("code", "503")];
        assert!(admits(&[], &labels));
        assert!(admits(&["method=get", "code=5*"], &labels));
        assert!(!admits(&["method=get", "code=4*"], &labels));
        assert!(admits(&["method!=post"], &labels));
        assert!(!admits(&["code!=5??"], &labels));
    }

    #[test]
    fn a_missing_label_is_empty() {
        assert!(admits(&["zone="], &[("method", "get")]));
        assert!(admits(&["zone!=eu"], &[("method", "get")]));
        assert!(!admits(&["zone=?*"], &[("method", "get")]));
    }

    #[test]
    fn label_filters_say_what_is_wrong() {
        assert!("method".parse::<LabelFilter>().is_err());
        assert!("=get".parse::<LabelFilter>().is_err());
        assert!("!=get".parse::<LabelFilter>().is_err());
        let filter: LabelFilter = "query=a=b".parse().unwrap();
        assert_eq!(filter.glob.text(), "a=b");
    }

    #[test]
    fn an_empty_result_names_what_is_near() {
        let names = ["http_requests_total", "queue_depth"];
        let say =
            |glob| Filter::new(Some(Glob::new(glob)), vec![]).nothing_found(names.into_iter());
        assert_eq!(
            say("requests"),
            "no family is called 'requests'; there is http_requests_total"
        );
        assert_eq!(say("nosuch*"), "no family is called 'nosuch*'; see `ls`");
    }
}
