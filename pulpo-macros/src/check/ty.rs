//! The type that carries `derive(Job)`: its `#[job(…)]`, and no generics.

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::{Attribute, Data, DeriveInput, Fields, Generics, Meta, Type, Variant, parse_quote};

use super::attributes::inherited;
use crate::faults::{Faults, of_the_attribute};

pub(super) struct Declaration {
    /// The content of `#[job(…)]`; `None` if there is no such attribute, or if it has another form,
    /// which is a fault.
    pub(super) arguments: Option<TokenStream>,
    /// `None` if there is no type.
    pub(super) body: Option<Type>,
    /// Any generics are a fault.
    pub(super) generics: Generics,
    pub(super) attributes: Vec<Attribute>,
}

pub(super) fn check(item: TokenStream, faults: &mut Faults) -> Declaration {
    let Some(DeriveInput { attrs, ident, generics, data, .. }) = faults.keep(syn::parse2(item)) else {
        return Declaration { arguments: None, body: None, generics: Generics::default(), attributes: Vec::new() };
    };
    let misplaced = misplaced(&data, faults);
    let arguments = arguments(&attrs, misplaced, faults);
    let generic = !generics.params.is_empty();
    if generic {
        faults.at(
            &generics,
            "expected a job without generics: one request type has one body type, which owns its content",
        );
    } else if let Some(clause) = &generics.where_clause {
        let place =
            if clause.predicates.is_empty() { clause.where_token.to_token_stream() } else { clause.to_token_stream() };
        faults.at(place, "expected a job without a `where` clause: there is nothing that it could bound");
    }
    if let Data::Union(union) = &data {
        faults.at(union.union_token, "expected a struct or an enum as the body of a job, got a union");
    }
    let body = (!matches!(data, Data::Union(_))).then(|| parse_quote!(#ident));
    Declaration { arguments, body, generics, attributes: attrs.iter().filter_map(inherited).collect() }
}

/// Checks for a `#[job(…)]` on a field or a variant, and reports it.
fn misplaced(data: &Data, faults: &mut Faults) -> bool {
    let of_fields = |fields: &Fields| fields.iter().flat_map(|field| field.attrs.clone()).collect::<Vec<_>>();
    let (attributes, place) = match data {
        Data::Struct(data) => (of_fields(&data.fields), "a field"),
        Data::Union(data) => (data.fields.named.iter().flat_map(|field| field.attrs.clone()).collect(), "a field"),
        Data::Enum(data) => {
            let of_variant = |variant: &Variant| [variant.attrs.clone(), of_fields(&variant.fields)].concat();
            (data.variants.iter().flat_map(of_variant).collect(), "a variant or its field")
        }
    };
    let mut misplaced = attributes.iter().filter(|attribute| attribute.path().is_ident("job")).peekable();
    let any = misplaced.peek().is_some();
    for attribute in misplaced {
        faults
            .at(attribute, format!("expected `#[job(…)]` on the type, got it on {place}: write it beside the derive"));
    }
    any
}

fn arguments(attributes: &[Attribute], misplaced: bool, faults: &mut Faults) -> Option<TokenStream> {
    let mut all = attributes.iter().filter(|attribute| attribute.path().is_ident("job"));
    let Some(first) = all.next() else {
        if misplaced {
            return None;
        }
        faults.push(of_the_attribute(
            "expected the name of the job beside `#[derive(pulpo::Job)]`: #[job(\"its_name\")]",
        ));
        return None;
    };
    for other in all {
        faults.at(other, "expected one `#[job(…)]`, got another: write all arguments into the first");
    }
    match &first.meta {
        Meta::List(list) => Some(list.tokens.clone()),
        other => {
            let got = other.to_token_stream();
            faults.at(first, format!("expected the name of the job in parentheses, #[job(\"its_name\")], got `{got}`"));
            None
        }
    }
}
