//! Patterns of names: `*` and `?`.

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

    /// A pattern that only `text` fits.
    pub(crate) fn exactly(text: &str) -> Glob {
        Glob {
            text: text.to_owned(),
            parts: text.chars().map(Part::Character).collect(),
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
}
