//! Escapes of the formats. The only place that knows them.
//!
//! In a label value and a quoted name `\`, `"` and the line feed are escaped; in a HELP text `\` and the line feed are.

use crate::escaping::{is_legacy, is_legacy_label};

/// Appends the name of a label, in quotes if not every scraper reads it without.
pub fn push_label_name(out: &mut Vec<u8>, name: &str) {
    push_quoted_if(!is_legacy_label(name), out, name, "");
}

/// Appends the name of a family, or of its samples with `suffix`, in quotes if not every scraper reads it without.
pub fn push_name(out: &mut Vec<u8>, name: &str, suffix: &str) {
    push_quoted_if(!is_legacy(name), out, name, suffix);
}

/// Appends a name and `suffix`, in quotes or without.
pub fn push_quoted_if(is_quoted: bool, out: &mut Vec<u8>, name: &str, suffix: &str) {
    let quote: &[u8] = if is_quoted { b"\"" } else { b"" };
    out.extend_from_slice(quote);
    // There is nothing to escape in a name without quotes.
    push_label_value(out, name);
    out.extend_from_slice(suffix.as_bytes());
    out.extend_from_slice(quote);
}

/// Appends a label value, without its quotes.
pub fn push_label_value(out: &mut Vec<u8>, value: &str) {
    push_escaped(out, value, |byte| match byte {
        b'\\' => Some(b'\\'),
        b'"' => Some(b'"'),
        b'\n' => Some(b'n'),
        _ => None,
    });
}

/// Appends a HELP text.
pub fn push_help(out: &mut Vec<u8>, help: &str) {
    push_escaped(out, help, |byte| match byte {
        b'\\' => Some(b'\\'),
        b'\n' => Some(b'n'),
        _ => None,
    });
}

/// Appends text for a JSON string, without its quotes.
pub(crate) fn push_json(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\0'..='\x1f' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Appends `text` with a backslash and `escape(byte)` in place of each byte that has one.
///
/// Only ASCII bytes have one, so UTF-8 stays UTF-8.
fn push_escaped(out: &mut Vec<u8>, text: &str, escape: impl Fn(u8) -> Option<u8>) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if let Some(letter) = escape(byte) {
            out.extend_from_slice(&bytes[copied..at]);
            out.extend_from_slice(&[b'\\', letter]);
            copied = at + 1;
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Appends text for an HTML page.
pub fn push_html(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label_value(text: &str) -> String {
        let mut out = Vec::new();
        push_label_value(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    fn help(text: &str) -> String {
        let mut out = Vec::new();
        push_help(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    /// Reads escaped text as a scraper does; `None` where a scraper would stumble.
    fn unescape(escaped: &str, quotes: bool) -> Option<String> {
        let mut plain = String::new();
        let mut rest = escaped.chars();
        while let Some(character) = rest.next() {
            match (character, quotes) {
                ('\\', _) => match (rest.next()?, quotes) {
                    ('\\', _) => plain.push('\\'),
                    ('n', _) => plain.push('\n'),
                    ('"', true) => plain.push('"'),
                    _ => return None,
                },
                ('"', true) | ('\n', _) => return None,
                (other, _) => plain.push(other),
            }
        }
        Some(plain)
    }

    #[test]
    fn each_escape() {
        assert_eq!(label_value("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
        assert_eq!(help("a\\b\"c\nd"), "a\\\\b\"c\\nd");
        assert_eq!(label_value("\\n"), "\\\\n");
        assert_eq!(label_value("größe 花\r\t"), "größe 花\r\t");
        assert_eq!(label_value(""), "");
    }

    #[test]
    fn html_has_no_markup_left() {
        let mut out = String::new();
        push_html(&mut out, "<a href=\"x\" id='y'>&</a>");
        assert_eq!(
            out,
            "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;&lt;/a&gt;"
        );
    }

    proptest! {
        #[test]
        fn escaping_is_undone_by_a_scraper(text in "(?s)[\\\\\"\na-c花\r ]{0,24}|.{0,24}") {
            prop_assert_eq!(unescape(&label_value(&text), true), Some(text.clone()));
            prop_assert_eq!(unescape(&help(&text), false), Some(text));
        }
    }
}
