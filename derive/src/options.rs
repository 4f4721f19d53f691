//! Options in attributes: `#[metric(flatten, name = "x", labels(a = "b"))]`.

use proc_macro2::{Span, TokenStream};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, ExprLit, Ident, Lit, LitStr, Result, Token, token};

/// The options of all attributes of one name.
pub(crate) struct Options {
    attribute: &'static str,
    entries: Vec<Entry>,
}

struct Entry {
    name: Ident,
    value: Value,
}

enum Value {
    Flag,
    Is(Expr),
    List(TokenStream),
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> Result<Entry> {
        let name = input.parse()?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Is(input.parse()?)
        } else if input.peek(token::Paren) {
            let list;
            syn::parenthesized!(list in input);
            Value::List(list.parse()?)
        } else {
            Value::Flag
        };
        Ok(Entry { name, value })
    }
}

impl Options {
    /// The options in `#[attribute(…)]`, all of which must be among `allowed`, each given once.
    pub(crate) fn read(
        attributes: &[Attribute],
        attribute: &'static str,
        allowed: &[&str],
    ) -> Result<Options> {
        let mut entries: Vec<Entry> = Vec::new();
        for found in attributes
            .iter()
            .filter(|found| found.path().is_ident(attribute))
        {
            let list = Punctuated::<Entry, Token![,]>::parse_terminated;
            for entry in found.parse_args_with(list)? {
                let name = entry.name.to_string();
                if !allowed.contains(&name.as_str()) {
                    let allowed = allowed.join(", ");
                    let message = format!("`{name}` is no option here; allowed: {allowed}");
                    return Err(Error::new(entry.name.span(), message));
                }
                if entries.iter().any(|other| other.name == name) {
                    let message = format!("`{name}` is given twice; give it once");
                    return Err(Error::new(entry.name.span(), message));
                }
                entries.push(entry);
            }
        }
        Ok(Options { attribute, entries })
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The names of the options given, with where they stand.
    pub(crate) fn names(&self) -> impl Iterator<Item = (String, Span)> {
        let names = self.entries.iter();
        names.map(|entry| (entry.name.to_string(), entry.name.span()))
    }

    /// Whether an option without a value is given.
    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        match self.find(name) {
            None => Ok(false),
            Some(Entry {
                value: Value::Flag, ..
            }) => Ok(true),
            Some(entry) => Err(self.malformed(entry, "")),
        }
    }

    /// The value of an option.
    pub(crate) fn expression(&self, name: &str) -> Result<Option<&Expr>> {
        match self.find(name) {
            None => Ok(None),
            Some(Entry {
                value: Value::Is(value),
                ..
            }) => Ok(Some(value)),
            Some(entry) => Err(self.malformed(entry, " = …")),
        }
    }

    /// The text of an option that takes nothing else.
    pub(crate) fn text(&self, name: &str) -> Result<Option<LitStr>> {
        match self.expression(name)? {
            None => Ok(None),
            Some(Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            })) => Ok(Some(text.clone())),
            Some(other) => {
                let message = format!("give a text: {name} = \"…\"");
                Err(Error::new_spanned(other, message))
            }
        }
    }

    /// The pairs of an option such as `labels(a = "b", c = expression)`.
    pub(crate) fn pairs(&self, name: &str) -> Result<Vec<(Ident, Expr)>> {
        let Some(entry) = self.find(name) else {
            return Ok(Vec::new());
        };
        let Value::List(list) = &entry.value else {
            return Err(self.malformed(entry, "(name = \"value\")"));
        };
        let pair = |input: ParseStream<'_>| {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            Ok((name, input.parse()?))
        };
        let pairs =
            |input: ParseStream<'_>| Punctuated::<_, Token![,]>::parse_terminated_with(input, pair);
        Ok(pairs.parse2(list.clone())?.into_iter().collect())
    }

    fn malformed(&self, entry: &Entry, form: &str) -> Error {
        let (attribute, name) = (self.attribute, &entry.name);
        let message = format!("write it as #[{attribute}({name}{form})]");
        Error::new(name.span(), message)
    }
}

/// The one identifier that an expression is.
pub(crate) fn word(expression: &Expr) -> Option<&Ident> {
    match expression {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    }
}

/// Refuses what no label may be called, where any UTF-8 is accepted or is not.
pub(crate) fn check_label_name(name: &str, utf8: bool, span: Span) -> Result<()> {
    let is_word = |c: char| utf8 || c.is_ascii_alphanumeric() || c == '_';
    let reason = if name.is_empty() {
        "give it a name"
    } else if !name.chars().all(is_word) {
        "use letters, digits and _, or say `utf8_names`"
    } else if !utf8 && name.starts_with(|c: char| c.is_ascii_digit()) {
        "start with a letter"
    } else if name.starts_with("__") || ["le", "quantile"].contains(&name) {
        "`le`, `quantile` and names from `__` on are reserved; choose another"
    } else {
        return Ok(());
    };
    Err(Error::new(
        span,
        format!("`{name}` cannot be a label: {reason}"),
    ))
}
