//! Spellings of names, under the names that serde gives them.

use syn::{Error, LitStr, Result};

#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
}

const CASES: [(&str, Case); 7] = [
    ("snake_case", Case::Snake),
    ("kebab-case", Case::Kebab),
    ("lowercase", Case::Lower),
    ("UPPERCASE", Case::Upper),
    ("SCREAMING_SNAKE_CASE", Case::ScreamingSnake),
    ("camelCase", Case::Camel),
    ("PascalCase", Case::Pascal),
];

impl Case {
    pub(crate) fn named(name: &LitStr) -> Result<Case> {
        let case = CASES.iter().find(|(case, _)| *case == name.value());
        case.map(|(_, case)| *case).ok_or_else(|| {
            let allowed: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "this spelling is not known; allowed: {}",
                allowed.join(", ")
            );
            Error::new(name.span(), message)
        })
    }

    /// A variant's name in this spelling.
    pub(crate) fn spell(self, variant: &str) -> String {
        match self {
            Case::Pascal => variant.to_owned(),
            Case::Lower => variant.to_lowercase(),
            Case::Upper => variant.to_uppercase(),
            Case::Camel => {
                let mut rest = variant.chars();
                let first = rest.next().map(|c| c.to_ascii_lowercase());
                first.into_iter().chain(rest).collect()
            }
            Case::Snake => words(variant, '_'),
            Case::ScreamingSnake => words(variant, '_').to_uppercase(),
            Case::Kebab => words(variant, '-'),
        }
    }
}

/// The words of a name in capitals and small letters, as serde tells them apart: at each capital.
fn words(name: &str, between: char) -> String {
    let mut words = String::new();
    for (at, c) in name.char_indices() {
        if c.is_uppercase() && at > 0 {
            words.push(between);
        }
        words.extend(c.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_every_spelling() {
        let spelled = CASES.map(|(_, case)| case.spell("TimedOut"));
        let expected = [
            "timed_out",
            "timed-out",
            "timedout",
            "TIMEDOUT",
            "TIMED_OUT",
            "timedOut",
            "TimedOut",
        ];
        assert_eq!(spelled, expected);
    }
}
