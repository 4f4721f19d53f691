//! Patterns for names and values.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A pattern: `*` is any text, `?` any one character, `\` takes the next character as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
pub struct Glob(String);

impl From<String> for Glob {
    fn from(text: String) -> Glob {
        Glob(text)
    }
}

impl FromStr for Glob {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Glob, Infallible> {
        Ok(Glob(text.to_owned()))
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> String {
        glob.0
    }
}

impl Default for Glob {
    /// Fits anything.
    fn default() -> Glob {
        Glob("*".into())
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Glob {
    /// Whether the whole of `candidate` fits. Linear but for the last `*`, which is tried again: no recursion.
    pub fn fits(&self, candidate: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), candidate.chars());
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let (before, here) = (pattern.clone(), rest.clone());
            let fits = match pattern.next() {
                None if here.as_str().is_empty() => return true,
                None => false,
                Some('*') => {
                    retry = Some((before, here));
                    continue;
                }
                Some('?') => rest.next().is_some(),
                Some('\\') => rest.next() == Some(pattern.next().unwrap_or('\\')),
                Some(character) => rest.next() == Some(character),
            };
            if fits {
                continue;
            }
            let Some((star, mut from)) = retry else {
                return false;
            };
            // The `*` takes one character more.
            if from.next().is_none() {
                return false;
            }
            retry = Some((star.clone(), from.clone()));
            (pattern, rest) = (star, from);
            pattern.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, candidate: &str) -> bool {
        Glob(pattern.into()).fits(candidate)
    }

    #[test]
    fn patterns() {
        for (pattern, candidate, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a*b*c", "aXbXbXc", true),
            ("?", "ü", true),
            ("?", "", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a\\", "a\\", true),
            ("*aab", "aaab", true),
        ] {
            assert_eq!(fits(pattern, candidate), expected, "{pattern} {candidate}");
        }
        assert!(!fits(&"*a".repeat(40), &"b".repeat(4000)));
    }

    /// The definition, by recursion.
    fn naive(pattern: &[char], candidate: &[char]) -> bool {
        match (pattern, candidate) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                (0..=candidate.len()).any(|skip| naive(rest, &candidate[skip..]))
            }
            (['?', rest @ ..], [_, more @ ..]) => naive(rest, more),
            ([one, rest @ ..], [other, more @ ..]) => one == other && naive(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn they_mean_what_they_are_defined_to_mean(pattern in "[ab*?]{0,8}", candidate in "[ab]{0,10}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&characters(&pattern), &characters(&candidate));
            prop_assert_eq!(fits(&pattern, &candidate), expected);
        }
    }
}
