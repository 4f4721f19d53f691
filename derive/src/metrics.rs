//! `#[derive(Metrics)]`: a struct of metrics, registered in one call.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, GenericArgument, Ident, Lit,
    LitStr, Meta, PathArguments, PathSegment, Result, Type,
};

use crate::options::{self, Options};

/// Options of every metric.
const COMMON: [&str; 8] = [
    "name",
    "help",
    "unit",
    "labels",
    "series_limit",
    "allow_id_labels",
    "utf8_names",
    "keep_for",
];
/// Options of a field that is another declared struct.
const FLATTENED: [&str; 3] = ["flatten", "prefix", "labels"];
/// Options of some types of metrics only, with the types.
const SPECIAL: [(&str, &[&str]); 4] = [
    ("mode", &["Gauge", "GaugeF64", "StateSet"]),
    ("buckets", &["Histogram"]),
    ("sharding", &["Histogram"]),
    ("states", &["StateSet"]),
];
const HANDLES: [&str; 7] = [
    "Counter",
    "CounterF64",
    "Gauge",
    "GaugeF64",
    "Histogram",
    "Info",
    "StateSet",
];
const UNITS: [&str; 8] = [
    "nanoseconds",
    "microseconds",
    "milliseconds",
    "seconds",
    "bytes",
    "kibibytes",
    "ratio",
    "percent",
];
const MODES: [(&str, &str); 9] = [
    ("sum", "Sum"),
    ("min", "Min"),
    ("max", "Max"),
    ("each", "Each"),
    ("latest", "Latest"),
    ("lasting_sum", "LastingSum"),
    ("lasting_min", "LastingMin"),
    ("lasting_max", "LastingMax"),
    ("lasting_latest", "LastingLatest"),
];

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(&fields.named),
            _ => None,
        },
        _ => None,
    };
    let Some(fields) = fields else {
        let message = "metrics are declared as a struct with named fields";
        return Err(Error::new(input.ident.span(), message));
    };
    let options = Options::read(&input.attrs, "metrics", &["prefix", "labels"])?;
    let scope = scope(&options)?;
    let name = &input.ident;
    let mut errors: Option<Error> = None;
    let mut registrations = Vec::new();
    for field in fields {
        match registration(name, field) {
            Ok(registration) => registrations.push(registration),
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    let (implementation, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #implementation ::tachograph::Metrics for #name #arguments #bounds {
            fn register_in(
                scope: &::tachograph::Scope,
            ) -> ::std::result::Result<Self, ::tachograph::Error> {
                let scope = ::std::clone::Clone::clone(scope) #scope;
                ::std::result::Result::Ok(Self { #(#registrations),* })
            }
        }
    })
}

/// The calls that narrow a scope by a prefix and labels.
fn scope(options: &Options) -> Result<TokenStream> {
    let prefix = options
        .text("prefix")?
        .map(|prefix| quote!(.prefix(#prefix)));
    let labels = labels(options)?;
    Ok(quote!(#prefix #labels))
}

fn labels(options: &Options) -> Result<TokenStream> {
    let mut calls = TokenStream::new();
    for (name, value) in options.pairs("labels")? {
        let text = name.to_string();
        options::check_label_name(&text, false, name.span())?;
        calls.extend(quote_spanned!(value.span()=> .label(#text, #value)));
    }
    Ok(calls)
}

/// A field with the expression that makes it.
fn registration(set: &Ident, field: &Field) -> Result<TokenStream> {
    let every: Vec<&str> = COMMON
        .into_iter()
        .chain(FLATTENED)
        .chain(SPECIAL.map(|of| of.0))
        .collect();
    let mut allowed: Vec<&str> = Vec::new();
    for name in every {
        if !allowed.contains(&name) {
            allowed.push(name);
        }
    }
    let options = Options::read(&field.attrs, "metric", &allowed)?;
    let ident = field.ident.as_ref().expect("the fields are named");
    let made = if options.flag("flatten")? {
        flattened(&options, field)?
    } else {
        declared(&options, field, ident)?
    };
    let (set, name) = (set.to_string(), ident.to_string());
    Ok(quote! {
        #ident: (|| -> ::std::result::Result<_, ::tachograph::Error> { #made })()
            .map_err(|error| error.in_field(#set, #name))?
    })
}

fn flattened(options: &Options, field: &Field) -> Result<TokenStream> {
    check_allowed(options, &FLATTENED, "a flattened struct")?;
    let scope = scope(options)?;
    let ty = &field.ty;
    Ok(quote_spanned! {ty.span()=>
        <#ty as ::tachograph::Metrics>::register_in(&(::std::clone::Clone::clone(&scope) #scope))
    })
}

fn declared(options: &Options, field: &Field, ident: &Ident) -> Result<TokenStream> {
    check_special(options, &field.ty)?;
    check_keep(options, &field.ty)?;
    let plain = ident.to_string();
    let plain = LitStr::new(plain.trim_start_matches("r#"), ident.span());
    let name = options.text("name")?.unwrap_or(plain);
    let help = match options.text("help")? {
        Some(help) => help.value(),
        None => doc_comment(&field.attrs),
    };
    if help.is_empty() {
        let message = "a metric needs a help text: write a doc comment, or #[metric(help = \"…\")]";
        return Err(Error::new(ident.span(), message));
    }
    let mut calls = labels(options)?;
    for (option, call) in [
        ("unit", unit as fn(&Expr) -> Result<TokenStream>),
        ("mode", mode),
        ("buckets", buckets),
        ("sharding", |value| Ok(quote!(.sharding(#value)))),
        ("states", states),
        ("series_limit", |value| Ok(quote!(.series_limit(#value)))),
        ("keep_for", |value| keep_for(value)),
    ] {
        if let Some(value) = options.expression(option)? {
            calls.extend(call(value)?);
        }
    }
    if options.flag("allow_id_labels")? {
        calls.extend(quote!(.allow_id_labels()));
    }
    if options.flag("utf8_names")? {
        calls.extend(quote!(.utf8_names()));
    }
    let ty = &field.ty;
    Ok(quote_spanned! {ty.span()=>
        let declared = scope.declare::<#ty>(#name, #help) #calls;
        <#ty as ::tachograph::Field>::register(declared)
    })
}

fn check_allowed(options: &Options, allowed: &[&str], what: &str) -> Result<()> {
    for (name, span) in options.names() {
        if !allowed.contains(&name.as_str()) {
            return Err(refusal(&name, span, what, allowed));
        }
    }
    Ok(())
}

fn refusal(name: &str, span: Span, what: &str, allowed: &[&str]) -> Error {
    let allowed = allowed.join(", ");
    Error::new(
        span,
        format!("`{name}` is no option of {what}; allowed: {allowed}"),
    )
}

/// Refuses options of other types of metrics, where the type is known by its name.
fn check_special(options: &Options, ty: &Type) -> Result<()> {
    let Some(handle) = handle(ty) else {
        let allowed: Vec<&str> = COMMON.into_iter().chain(SPECIAL.map(|of| of.0)).collect();
        return check_allowed(options, &allowed, "a metric");
    };
    let special = SPECIAL
        .iter()
        .filter(|(_, handles)| handles.contains(&handle.as_str()));
    let allowed: Vec<&str> = COMMON.into_iter().chain(special.map(|of| of.0)).collect();
    check_allowed(options, &allowed, &format!("a `{handle}`"))
}

/// Refuses an end of idle series where the program keeps the handles of all of them.
fn check_keep(options: &Options, ty: &Type) -> Result<()> {
    let Some(value) = options.expression("keep_for")? else {
        return Ok(());
    };
    let name = last_segment(ty).map(|last| last.ident.to_string());
    let name = name.unwrap_or_default();
    if name != "Dense" && !HANDLES.contains(&name.as_str()) {
        return Ok(());
    }
    let message = format!(
        "the handles of a `{name}` are kept for good; `keep_for` is for label sets that come and go: use \
         `Labelled`, or `FamilyHandle`, and leases"
    );
    Err(Error::new(value.span(), message))
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    let Type::Path(path) = ty else { return None };
    path.path.segments.last()
}

/// The handle that a type is, or is a family of, where its name tells.
fn handle(ty: &Type) -> Option<String> {
    let last = last_segment(ty)?;
    let name = last.ident.to_string();
    if HANDLES.contains(&name.as_str()) {
        return Some(name);
    }
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(inner) => handle(inner),
            _ => None,
        },
        _ => None,
    }
}

/// The text of the doc comment, its lines joined.
fn doc_comment(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(line),
                    ..
                }) => Some(line.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// A word that must be one of some, or any other expression.
fn choose<'a>(value: &'a Expr, allowed: &[&str], type_name: &str) -> Result<Option<&'a Ident>> {
    let Some(word) = options::word(value) else {
        return Ok(None);
    };
    // A constant in capitals is an expression.
    let text = word.to_string();
    if allowed.contains(&text.as_str()) || text.chars().all(|c| !c.is_lowercase()) {
        return Ok(allowed.contains(&text.as_str()).then_some(word));
    }
    let allowed = allowed.join(", ");
    let message = format!(
        "`{text}` is not known; allowed: {allowed}, or an expression of type `{type_name}`"
    );
    Err(Error::new(word.span(), message))
}

fn unit(value: &Expr) -> Result<TokenStream> {
    let Some(word) = choose(value, &UNITS, "tachograph::Unit")? else {
        return Ok(quote_spanned!(value.span()=> .unit(#value)));
    };
    let constant = Ident::new(&word.to_string().to_uppercase(), word.span());
    Ok(quote!(.unit(::tachograph::Unit::#constant)))
}

fn mode(value: &Expr) -> Result<TokenStream> {
    let names = MODES.map(|(name, _)| name);
    let Some(word) = choose(value, &names, "tachograph::GaugeMode")? else {
        return Ok(quote_spanned!(value.span()=> .mode(#value)));
    };
    let variant = MODES
        .iter()
        .find(|(name, _)| word == name)
        .expect("it was found")
        .1;
    let variant = Ident::new(variant, word.span());
    Ok(quote!(.mode(::tachograph::GaugeMode::#variant)))
}

/// A time such as `"10m"`, or any other expression.
fn keep_for(value: &Expr) -> Result<TokenStream> {
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = value
    else {
        return Ok(quote_spanned!(value.span()=> .keep_for(#value)));
    };
    let millis = millis(&text.value()).ok_or_else(|| {
        let message = "write a time as in \"90s\", \"10m\", \"12h\" or \"7d\", or an expression of type \
                       `std::time::Duration`";
        Error::new(text.span(), message)
    })?;
    Ok(quote!(.keep_for(::std::time::Duration::from_millis(#millis))))
}

/// How many milliseconds a number with a unit is; `None` for no time at all.
fn millis(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(unit).filter(|&millis| millis > 0)
}

fn buckets(value: &Expr) -> Result<TokenStream> {
    let made = match value {
        Expr::Array(bounds) => quote!(::tachograph::Buckets::explicit(#bounds)?),
        Expr::Call(call) if options::word(&call.func).is_some_and(|word| word == "log_linear") => {
            let arguments = &call.args;
            quote!(::tachograph::Buckets::log_linear(#arguments)?)
        }
        other => quote!(#other),
    };
    Ok(quote_spanned!(value.span()=> .buckets(#made)))
}

fn states(value: &Expr) -> Result<TokenStream> {
    match value {
        Expr::Array(states) => Ok(quote_spanned!(value.span()=> .states(#states))),
        Expr::Path(path) => Ok(quote_spanned! {value.span()=>
            .states((0..<#path as ::tachograph::LabelValue>::COUNT)
                .map(<#path as ::tachograph::LabelValue>::text))
        }),
        other => {
            let message =
                "give an enum that derives `LabelValue`, or a list: states = [\"a\", \"b\"]";
            Err(Error::new_spanned(other, message))
        }
    }
}
