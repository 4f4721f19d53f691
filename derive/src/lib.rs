//! The derives of `tachograph`, which re-exports and documents them: see its traits `Metrics`, `LabelSet` and
//! `LabelValue`.
#![forbid(unsafe_code)]

mod case;
mod label_set;
mod label_value;
mod metrics;
mod options;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

type Expand = fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>;

fn expand(input: &DeriveInput, expand: Expand) -> TokenStream {
    let expanded = expand(input);
    expanded
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}

/// Registers a struct of metrics in one call: see the trait `Metrics` of `tachograph`.
#[proc_macro_derive(Metrics, attributes(metrics, metric))]
pub fn metrics(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input), metrics::expand)
}

/// Makes a struct, or an enum of label values, a set of labels: see the trait `LabelSet` of `tachograph`.
#[proc_macro_derive(LabelSet, attributes(label))]
pub fn label_set(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input), label_set::expand)
}

/// Gives an enum one spelling, as a label and elsewhere: see the trait `LabelValue` of `tachograph`.
#[proc_macro_derive(LabelValue, attributes(label))]
pub fn label_value(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input), label_value::expand)
}
