//! Comma-separated values, as RFC 4180 has them but for the line ends, which are those of Unix.

use std::io::{self, Write};

/// Writes a row; what holds a comma, a quote or a line end is quoted.
pub(crate) fn row<T: AsRef<str>>(
    out: &mut dyn Write,
    fields: impl IntoIterator<Item = T>,
) -> io::Result<()> {
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        let field = field.as_ref();
        if field.contains([',', '"', '\n', '\r']) {
            write!(out, "\"{}\"", field.replace('"', "\"\""))?;
        } else {
            out.write_all(field.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_quotes_has_them() {
        let mut out = Vec::new();
        row(&mut out, ["a b", "", "x{k=\"v\"}", "1,2", "l\nm"]).unwrap();
        assert_eq!(out, b"a b,,\"x{k=\"\"v\"\"}\",\"1,2\",\"l\nm\"\n");
    }
}
