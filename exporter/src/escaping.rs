//! Names for scrapers that do not read all of UTF-8: the escaping schemes of Prometheus
//! (<https://prometheus.io/docs/instrumenting/escaping_schemes/>). Where they and its code differ, as its code has it.
//!
//! A name of ASCII letters, digits and underscores is the same in every scheme.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// How a name is written that has other characters than ASCII letters, digits and underscores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Escaping {
    /// As it is; in quotes where the format is a text.
    #[serde(rename = "allow-utf-8")]
    AllowUtf8,
    /// With an underscore for each other character.
    #[default]
    Underscores,
    /// With `_dot_` for each dot, and two underscores for an underscore or another character.
    Dots,
    /// As `U__`, with the number of each other character between underscores.
    Values,
}

impl Escaping {
    /// Every scheme.
    pub const ALL: [Escaping; 4] = [
        Escaping::AllowUtf8,
        Escaping::Underscores,
        Escaping::Dots,
        Escaping::Values,
    ];

    /// What the headers of requests and answers call it.
    pub const fn name(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// The scheme of a name, if there is one.
    pub fn named(name: &str) -> Option<Escaping> {
        Escaping::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The name of a family.
    pub(crate) fn family(self, name: &str) -> Cow<'_, str> {
        self.escaped(name, is_legacy, |character, first| {
            character == ':' || is_label_character(character, first)
        })
    }

    /// The name of a label, which has no colons.
    pub(crate) fn label(self, name: &str) -> Cow<'_, str> {
        self.escaped(name, is_legacy_label, is_label_character)
    }

    fn escaped(
        self,
        name: &str,
        is_legacy: fn(&str) -> bool,
        allowed: fn(char, bool) -> bool,
    ) -> Cow<'_, str> {
        if self == Escaping::AllowUtf8 || is_legacy(name) {
            return Cow::Borrowed(name);
        }
        let mut escaped = match self {
            Escaping::Values => "U__".to_owned(),
            _ => String::new(),
        };
        for (at, character) in name.char_indices() {
            match (self, character) {
                (Escaping::Dots, '.') => escaped += "_dot_",
                (Escaping::Dots | Escaping::Values, '_') => escaped += "__",
                _ if allowed(character, at == 0) => escaped.push(character),
                (Escaping::Dots, _) => escaped += "__",
                (Escaping::Values, _) => escaped += &format!("_{:x}_", u32::from(character)),
                _ => escaped.push('_'),
            }
        }
        Cow::Owned(escaped)
    }
}

/// Whether every scraper reads this as the name of a family.
pub(crate) fn is_legacy(name: &str) -> bool {
    has_only(name, |character, first| {
        character == ':' || is_label_character(character, first)
    })
}

/// Whether every scraper reads this as the name of a label.
pub(crate) fn is_legacy_label(name: &str) -> bool {
    has_only(name, is_label_character)
}

fn has_only(name: &str, allowed: impl Fn(char, bool) -> bool) -> bool {
    let mut characters = name.char_indices();
    !name.is_empty() && characters.all(|(at, character)| allowed(character, at == 0))
}

fn is_label_character(character: char, first: bool) -> bool {
    character == '_' || character.is_ascii_alphabetic() || (!first && character.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The cases of `TestEscapeName` in `model/metric_test.go` of prometheus/common, and some more.
    #[test]
    fn each_scheme() {
        for (name, underscores, dots, values) in [
            (
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping_required",
            ),
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            (
                "mysystem.prod.west.cpu.load_total",
                "mysystem_prod_west_cpu_load_total",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total",
            ),
            (
                "http.status:sum",
                "http_status:sum",
                "http_dot_status:sum",
                "U__http_2e_status:sum",
            ),
            (
                "label with 😱",
                "label_with__",
                "label__with____",
                "U__label_20_with_20__1f631_",
            ),
            ("花火", "__", "____", "U___82b1__706b_"),
            ("1st", "_st", "__st", "U___31_st"),
        ] {
            assert_eq!(Escaping::Underscores.family(name), underscores);
            assert_eq!(Escaping::Dots.family(name), dots);
            assert_eq!(Escaping::Values.family(name), values);
            assert_eq!(Escaping::AllowUtf8.family(name), name);
        }
        assert_eq!(Escaping::Underscores.label("a:b"), "a_b");
        assert_eq!(Escaping::Values.label("a:b"), "U__a_3a_b");
    }

    #[test]
    fn schemes_are_found_by_name() {
        for scheme in Escaping::ALL {
            assert_eq!(Escaping::named(scheme.name()), Some(scheme));
            let json = serde_json::to_string(&scheme).unwrap();
            assert_eq!(json, format!("{:?}", scheme.name()));
        }
        assert_eq!(Escaping::named("none"), None);
    }

    proptest! {
        #[test]
        fn escaped_names_are_read_by_all(name in "\\PC{1,12}|[a.:_-]{1,8}") {
            for scheme in [Escaping::Underscores, Escaping::Dots, Escaping::Values] {
                prop_assert!(is_legacy(&scheme.family(&name)), "{}", scheme.family(&name));
                prop_assert!(is_legacy_label(&scheme.label(&name)), "{}", scheme.label(&name));
            }
        }
    }
}
