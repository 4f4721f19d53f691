//! `#[derive(LabelValue)]`: one spelling of an enum's values.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Ident, LitStr, Result, Variant};

use crate::case::Case;
use crate::options::Options;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        let message = "only an enum can be a label value; a struct of them is a `LabelSet`";
        return Err(Error::new(input.ident.span(), message));
    };
    if let Some(parameter) = input.generics.params.first() {
        let message = "a label value has no type parameters or lifetimes";
        return Err(Error::new_spanned(parameter, message));
    }
    if data.variants.is_empty() {
        let message = "a label value needs at least one variant";
        return Err(Error::new(input.ident.span(), message));
    }
    let options = Options::read(&input.attrs, "label", &["rename_all", "name", "utf8_names"])?;
    let case = options.text("rename_all")?.map(|name| Case::named(&name));
    let case = case.transpose()?.unwrap_or(Case::Snake);
    let texts = texts(data.variants.iter(), case)?;
    let variants: Vec<&Ident> = data.variants.iter().map(|variant| &variant.ident).collect();
    Ok(implementation(input, &variants, &texts))
}

fn texts<'a>(variants: impl Iterator<Item = &'a Variant>, case: Case) -> Result<Vec<LitStr>> {
    let mut texts: Vec<LitStr> = Vec::new();
    for variant in variants {
        if !variant.fields.is_empty() {
            let message = "a label value has no fields; its domain would have no bound";
            return Err(Error::new_spanned(&variant.fields, message));
        }
        let options = Options::read(&variant.attrs, "label", &["rename"])?;
        let spelled = case.spell(&variant.ident.to_string());
        let text = options.text("rename")?;
        let text = text.unwrap_or_else(|| LitStr::new(&spelled, variant.ident.span()));
        if text.value().is_empty() {
            let message = "an empty value is the same as no label; give it a text";
            return Err(Error::new(text.span(), message));
        }
        if texts.iter().any(|other| other.value() == text.value()) {
            let message = format!("another variant is {:?} already; rename one", text.value());
            return Err(Error::new(text.span(), message));
        }
        texts.push(text);
    }
    Ok(texts)
}

fn implementation(input: &DeriveInput, variants: &[&Ident], texts: &[LitStr]) -> TokenStream {
    let (name, vis) = (&input.ident, &input.vis);
    let count = variants.len();
    let places = 0..count;
    quote! {
        #[allow(dead_code, reason = "whoever derives it may need only some of these")]
        impl #name {
            /// Every value, in the order of declaration.
            #vis const ALL: [#name; #count] = [#(#name::#variants),*];

            /// The value as it stands in the label.
            #vis const fn as_str(self) -> &'static str {
                match self { #(#name::#variants => #texts),* }
            }
        }

        impl ::tachograph::LabelValue for #name {
            const COUNT: usize = #count;

            #[inline(always)]
            fn index(self) -> usize {
                match self { #(#name::#variants => #places),* }
            }

            fn text(index: usize) -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(#name::ALL[index].as_str())
            }
        }

        impl ::std::fmt::Display for #name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for #name {
            type Err = ::tachograph::UnknownLabel;

            fn from_str(text: &str) -> ::std::result::Result<#name, Self::Err> {
                match text {
                    #(#texts => ::std::result::Result::Ok(#name::#variants),)*
                    _ => ::std::result::Result::Err(::tachograph::UnknownLabel {
                        given: ::std::borrow::ToOwned::to_owned(text),
                        known: &[#(#texts),*],
                    }),
                }
            }
        }

        impl ::std::convert::TryFrom<::std::string::String> for #name {
            type Error = ::tachograph::UnknownLabel;

            fn try_from(text: ::std::string::String) -> ::std::result::Result<#name, Self::Error> {
                text.parse()
            }
        }

        impl ::std::convert::From<#name> for &'static str {
            fn from(value: #name) -> &'static str {
                value.as_str()
            }
        }
    }
}
