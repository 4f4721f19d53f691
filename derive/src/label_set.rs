//! `#[derive(LabelSet)]`: a struct of labels, or an enum that is the only one.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, Ident, LitStr, Result, Type};

use crate::case::Case;
use crate::options::{self, Options};

/// One label of a set.
struct Label<'a> {
    field: &'a Ident,
    ty: &'a Type,
    name: LitStr,
    domain: Domain,
}

#[derive(PartialEq)]
enum Domain {
    Bounded,
    Text,
    Number,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    for parameter in &input.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            let message = "a label set has lifetimes only, and no type or const parameters";
            return Err(Error::new_spanned(parameter, message));
        }
    }
    match &input.data {
        Data::Struct(data) => {
            let options = Options::read(&input.attrs, "label", &["utf8_names"])?;
            expand_struct(input, &data.fields, options.flag("utf8_names")?)
        }
        Data::Enum(_) => expand_enum(input),
        Data::Union(_) => Err(Error::new(input.ident.span(), "a union is no label set")),
    }
}

fn expand_struct(input: &DeriveInput, fields: &Fields, utf8: bool) -> Result<TokenStream> {
    let Fields::Named(fields) = fields else {
        let message = "a label set needs named fields: their names are the labels";
        return Err(Error::new(input.ident.span(), message));
    };
    let labels = fields
        .named
        .iter()
        .map(|field| label(field, utf8))
        .collect::<Result<Vec<Label<'_>>>>()?;
    for (at, label) in labels.iter().enumerate() {
        let name = label.name.value();
        if labels[..at].iter().any(|other| other.name.value() == name) {
            let message = format!("another label is called {name:?} already; rename one");
            return Err(Error::new(label.name.span(), message));
        }
    }
    let name = &input.ident;
    let (implementation, with_lifetimes, _) = input.generics.split_for_impl();
    let statics = input.generics.lifetimes().map(|_| quote!('static));
    let names = labels.iter().map(|label| &label.name);
    let visits = labels.iter().map(visit);
    let bounded = bounded(name, &labels);
    Ok(quote! {
        impl #implementation ::tachograph::LabelSet for #name #with_lifetimes {
            type Static = #name<#(#statics),*>;

            const NAMES: &'static [&'static str] = &[#(#names),*];

            #[inline(always)]
            fn visit(&self, visitor: &mut impl ::tachograph::LabelVisitor) {
                #(#visits)*
            }
        }

        #bounded
    })
}

fn label(field: &Field, utf8: bool) -> Result<Label<'_>> {
    let options = Options::read(&field.attrs, "label", &["rename", "text"])?;
    let ident = field.ident.as_ref().expect("the fields are named");
    let plain = ident.to_string();
    let plain = LitStr::new(plain.trim_start_matches("r#"), ident.span());
    let name = options.text("rename")?.unwrap_or(plain);
    options::check_label_name(&name.value(), utf8, name.span())?;
    let domain = if options.flag("text")? {
        Domain::Text
    } else {
        domain(&field.ty)
    };
    Ok(Label {
        field: ident,
        ty: &field.ty,
        name,
        domain,
    })
}

/// The domain of a type that is known by its name; others are bounded, or say that they are not.
fn domain(ty: &Type) -> Domain {
    const TEXTS: [&str; 3] = ["String", "Cow", "str"];
    const BOXES: [&str; 3] = ["Box", "Arc", "Rc"];
    const NUMBERS: [&str; 10] = [
        "u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize",
    ];
    match ty {
        Type::Reference(reference) => domain(&reference.elem),
        Type::Path(path) => {
            let last = path
                .path
                .segments
                .last()
                .map(|segment| segment.ident.to_string());
            match last.unwrap_or_default().as_str() {
                name if TEXTS.contains(&name) || BOXES.contains(&name) => Domain::Text,
                name if NUMBERS.contains(&name) => Domain::Number,
                _ => Domain::Bounded,
            }
        }
        _ => Domain::Bounded,
    }
}

fn visit(label: &Label<'_>) -> TokenStream {
    let (field, ty) = (label.field, label.ty);
    match label.domain {
        Domain::Bounded => {
            quote_spanned!(ty.span()=> ::tachograph::LabelVisitor::bounded::<#ty>(visitor, self.#field);)
        }
        Domain::Text => quote_spanned! {ty.span()=>
            ::tachograph::LabelVisitor::text(visitor, ::std::convert::AsRef::<str>::as_ref(&self.#field));
        },
        Domain::Number => quote_spanned! {ty.span()=>
            ::tachograph::LabelVisitor::number(visitor, self.#field as i128);
        },
    }
}

/// The block of a set without texts and numbers.
fn bounded(name: &Ident, labels: &[Label<'_>]) -> Option<TokenStream> {
    if labels.iter().any(|label| label.domain != Domain::Bounded) {
        return None;
    }
    let count = |label: &Label<'_>| {
        let ty = label.ty;
        quote_spanned!(ty.span()=> <#ty as ::tachograph::LabelValue>::COUNT)
    };
    let counts: Vec<TokenStream> = labels.iter().map(count).collect();
    let fields: Vec<&Ident> = labels.iter().map(|label| label.field).collect();
    let types: Vec<&Type> = labels.iter().map(|label| label.ty).collect();
    let parts: Vec<Ident> = (0..labels.len())
        .map(|at| format_ident!("part_{at}"))
        .collect();
    let backwards = (0..labels.len()).rev().map(|at| {
        let (part, count) = (&parts[at], &counts[at]);
        quote! {
            let #part = rest % #count;
            let rest = rest / #count;
        }
    });
    Some(quote! {
        impl ::tachograph::BoundedSet for #name {
            const COUNT: usize = 1 #(* #counts)*;

            #[inline(always)]
            fn index(self) -> usize {
                let index = 0;
                #(let index = index * #counts + ::tachograph::LabelValue::index(self.#fields);)*
                index
            }

            fn texts(index: usize) -> ::std::vec::Vec<::std::borrow::Cow<'static, str>> {
                let rest = index;
                #(#backwards)*
                let _ = rest;
                ::std::vec![#(<#types as ::tachograph::LabelValue>::text(#parts)),*]
            }
        }
    })
}

/// An enum that is the only label of its set, called like the enum.
fn expand_enum(input: &DeriveInput) -> Result<TokenStream> {
    let options = Options::read(&input.attrs, "label", &["rename_all", "name", "utf8_names"])?;
    let name = &input.ident;
    let plain = LitStr::new(&Case::Snake.spell(&name.to_string()), name.span());
    let label = options.text("name")?.unwrap_or(plain);
    options::check_label_name(&label.value(), options.flag("utf8_names")?, label.span())?;
    Ok(quote! {
        impl ::tachograph::LabelSet for #name {
            type Static = #name;

            const NAMES: &'static [&'static str] = &[#label];

            #[inline(always)]
            fn visit(&self, visitor: &mut impl ::tachograph::LabelVisitor) {
                ::tachograph::LabelVisitor::bounded::<#name>(visitor, *self);
            }
        }

        impl ::tachograph::BoundedSet for #name {
            const COUNT: usize = <#name as ::tachograph::LabelValue>::COUNT;

            #[inline(always)]
            fn index(self) -> usize {
                ::tachograph::LabelValue::index(self)
            }

            fn texts(index: usize) -> ::std::vec::Vec<::std::borrow::Cow<'static, str>> {
                ::std::vec![<#name as ::tachograph::LabelValue>::text(index)]
            }
        }
    })
}
