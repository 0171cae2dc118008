//! `#[pulpo::jobs] mod jobs { … }`: the list of a shared crate's jobs, which a worker requires with
//! `pulpo::main! { jobs: [shared::jobs] }`.
//!
//! The list is a function with one type parameter for each handler and one bound for each job. A
//! worker names it and leaves the parameters to the compiler, which therefore looks for each
//! handler.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Ident, Item, ItemEnum, ItemMod, ItemStruct, Meta, Path, Token, UseName, UseRename, UseTree, Visibility,
};

use crate::faults::Faults;
use crate::krate;
use crate::seen::Seen;

/// The name of that function. rustc reports it as missing if a listed module has no list.
pub(crate) const CHECK: &str = "the_attribute_pulpo_jobs_stands_on_this_module";

/// Returns the key under which a module of jobs in another file is remembered.
fn in_a_file(module: &Ident) -> String {
    format!("jobs in a file {module}")
}

/// Checks whether a path leads to such a module, which has no list.
pub(crate) fn is_in_a_file(path: &Path, seen: &Seen) -> bool {
    path.segments.last().is_some_and(|last| !seen.is_first(in_a_file(&last.ident), true))
}

/// One job of the list.
struct Listed {
    /// The path, from within the module.
    path: Path,
    /// The `cfg` predicates under which the job exists.
    conditions: Vec<TokenStream>,
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream, seen: &Seen) -> TokenStream {
    let mut faults = Faults::default();
    let written = crate_argument(&arguments, &mut faults);
    let Ok(mut module) = syn::parse2::<ItemMod>(item.clone()) else {
        faults.push(not_a_module(&item));
        return with_faults(&item, &faults);
    };
    let Some((_, items)) = &mut module.content else {
        // The module is in another file, where rustc does not allow the attribute. A program that lists it need not report that again.
        seen.is_first(in_a_file(&module.ident), false);
        return with_faults(&item, &faults);
    };
    let mut jobs = Vec::new();
    collect(items, &[], &[], &mut jobs, &mut faults);
    if jobs.is_empty() && faults.is_empty() && !items.iter().any(has_a_job) {
        faults.at(
            &module.ident,
            "expected at least one job in this module: a type with `#[derive(pulpo::Job)]` and `#[job(\"its_name\")]`, \
             or `pub use` of one",
        );
    }
    let Some(pulpo) = krate::path(written.as_ref(), seen, &mut faults) else {
        return with_faults(&item, &faults);
    };
    let check = check(&pulpo, &jobs);
    items.push(Item::Verbatim(check));
    with_faults(&module.to_token_stream(), &faults)
}

fn with_faults(item: &TokenStream, faults: &Faults) -> TokenStream {
    let errors = faults.iter().map(syn::Error::to_compile_error);
    quote!(#item #(#errors)*)
}

/// Parses `crate = path`, the only argument.
fn crate_argument(tokens: &TokenStream, faults: &mut Faults) -> Option<Path> {
    let argument = |input: ParseStream<'_>| {
        input.parse::<Token![crate]>()?;
        input.parse::<Token![=]>()?;
        let path = input.call(Path::parse_mod_style)?;
        input.parse::<Option<Token![,]>>()?;
        Ok(path)
    };
    let path = (!tokens.is_empty()).then(|| argument.parse2(tokens.clone()))?;
    if path.is_err() {
        faults.at(
            tokens,
            format!("expected `crate = path` or nothing, got `{tokens}`: what is of one job stands in its `#[job(…)]`"),
        );
    }
    path.ok()
}

/// Collects the jobs among these items and their modules.
fn collect(items: &[Item], within: &[Ident], conditions: &[TokenStream], jobs: &mut Vec<Listed>, faults: &mut Faults) {
    let here = |name: &Ident| {
        let segments = within.iter().chain([name]);
        syn::parse_quote!(#(#segments)::*)
    };
    let with = |attributes: &[Attribute], more: Vec<TokenStream>| {
        [conditions, &attributes.iter().filter_map(predicate).collect::<Vec<_>>(), &more].concat()
    };
    for item in items {
        match item {
            // The derive reports them.
            Item::Struct(ItemStruct { generics, .. }) | Item::Enum(ItemEnum { generics, .. })
                if !generics.params.is_empty() => {}
            Item::Struct(item) => declared(&item.attrs)
                .into_iter()
                .for_each(|more| jobs.push(Listed { path: here(&item.ident), conditions: with(&item.attrs, more) })),
            Item::Enum(item) => declared(&item.attrs)
                .into_iter()
                .for_each(|more| jobs.push(Listed { path: here(&item.ident), conditions: with(&item.attrs, more) })),
            Item::Mod(item) => {
                if let Some((_, items)) = &item.content {
                    let within: Vec<_> = within.iter().chain([&item.ident]).cloned().collect();
                    collect(items, &within, &with(&item.attrs, Vec::new()), jobs, faults);
                }
            }
            Item::Use(item) if !matches!(item.vis, Visibility::Inherited) => {
                let mut names = Vec::new();
                leaves(&item.tree, None, &mut names, faults);
                let conditions = with(&item.attrs, Vec::new());
                jobs.extend(names.iter().map(|name| Listed { path: here(name), conditions: conditions.clone() }));
            }
            _ => {}
        }
    }
}

/// Checks for a type with `#[job(…)]`, at which a fault is reported if it is not in the list.
fn has_a_job(item: &Item) -> bool {
    let (Item::Struct(ItemStruct { attrs, .. }) | Item::Enum(ItemEnum { attrs, .. })) = item else {
        let Item::Mod(ItemMod { content: Some((_, items)), .. }) = item else { return false };
        return items.iter().any(has_a_job);
    };
    attrs.iter().any(|attribute| attribute.path().is_ident("job"))
}

/// Collects the names that a `pub use` imports; `within` is the last segment of the path so far.
fn leaves(tree: &UseTree, within: Option<&Ident>, names: &mut Vec<Ident>, faults: &mut Faults) {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, Some(&path.ident), names, faults),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, within, names, faults)),
        UseTree::Name(UseName { ident }) | UseTree::Rename(UseRename { ident, .. })
            if ident == "self" && within.is_some_and(is_a_module) =>
        {
            let module = within.map(Ident::to_string).unwrap_or_default();
            faults.at(
                ident,
                format!(
                    "expected each job of the list by its name, got the module `{module}`: the attribute cannot look there"
                ),
            );
        }
        UseTree::Name(name) if name.ident == "self" => names.extend(within.cloned()),
        UseTree::Name(name) => names.push(name.ident.clone()),
        UseTree::Rename(rename) if rename.rename == "_" => {}
        UseTree::Rename(rename) => names.push(rename.rename.clone()),
        UseTree::Glob(star) => {
            faults.at(star, "expected each job of the list by its name, got `*`: the attribute cannot look there");
        }
    }
}

/// Checks by its first letter whether a name belongs to a module and not to a type.
fn is_a_module(name: &Ident) -> bool {
    !name.unraw().to_string().starts_with(char::is_uppercase)
}

/// Checks for `#[job(…)]`. Returns the predicate if it is in a `cfg_attr`.
///
/// Without a derive of its own, rustc does not know the attribute and reports that.
fn declared(attributes: &[Attribute]) -> Option<Vec<TokenStream>> {
    if attributes.iter().all(is_of_others) {
        return None;
    }
    attributes.iter().find_map(|attribute| {
        if attribute.path().is_ident("job") {
            return Some(Vec::new());
        }
        let (predicate, rest) = cfg_attr(attribute)?;
        rest.iter().any(|meta| meta.path().is_ident("job")).then(|| vec![predicate])
    })
}

/// Checks whether an attribute certainly does not derive a job: either it is not a derive, or it derives only what std and
/// serde have.
fn is_of_others(attribute: &Attribute) -> bool {
    const OTHERS: [&str; 11] = [
        "Clone",
        "Copy",
        "Debug",
        "Default",
        "Deserialize",
        "Eq",
        "Hash",
        "Ord",
        "PartialEq",
        "PartialOrd",
        "Serialize",
    ];
    if attribute.path().is_ident("cfg_attr") {
        return false;
    }
    if !attribute.path().is_ident("derive") {
        return true;
    }
    let derived = attribute.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated);
    let is_other =
        |path: &Path| path.segments.last().is_some_and(|last| OTHERS.iter().any(|other| last.ident == other));
    derived.is_ok_and(|derived| derived.iter().all(is_other))
}

/// Returns the predicate of a `cfg`, on its own or within a `cfg_attr`.
fn predicate(attribute: &Attribute) -> Option<TokenStream> {
    if attribute.path().is_ident("cfg") {
        return Some(attribute.meta.require_list().ok()?.tokens.clone());
    }
    let (given, rest) = cfg_attr(attribute)?;
    let inner = rest.iter().find(|meta| meta.path().is_ident("cfg"))?.require_list().ok()?.tokens.clone();
    Some(quote!(any(not(#given), #inner)))
}

/// Returns the predicate of a `cfg_attr`, and the attributes that it adds.
fn cfg_attr(attribute: &Attribute) -> Option<(TokenStream, Vec<Meta>)> {
    if !attribute.path().is_ident("cfg_attr") {
        return None;
    }
    let parts = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let mut parts = parts.into_iter();
    Some((parts.next()?.to_token_stream(), parts.collect()))
}

/// Emits the function that requires the handlers.
///
/// It carries no `allow`, which would be an error where the user forbids that lint: rustc's lints ignore the output of
/// a macro, and hidden items need no documentation.
fn check(pulpo: &TokenStream, jobs: &[Listed]) -> TokenStream {
    let check = format_ident!("{CHECK}");
    let handlers: Vec<_> = (0..jobs.len()).map(|index| format_ident!("__PulpoHandler{index}")).collect();
    let (mut aliases, mut checks) = (TokenStream::new(), TokenStream::new());
    let bounds: Vec<_> = jobs
        .iter()
        .zip(&handlers)
        .enumerate()
        .map(|(index, (Listed { path, conditions }, handler))| {
            let place = proc_macro2::Span::call_site().located_at(path.span());
            if conditions.is_empty() {
                checks.extend(quote_spanned!(place=> const _: fn() = #pulpo::__private::is_a_job::<#path>;));
                return quote_spanned!(place=> #path: #pulpo::__private::HasOneHandler<#handler>);
            }
            let alias = format_ident!("__PulpoJob{index}", span = place);
            aliases.extend(quote! {
                #[cfg(all(#(#conditions),*))]
                #[doc(hidden)]
                pub type #alias = #path;
                #[cfg(not(all(#(#conditions),*)))]
                #[doc(hidden)]
                pub type #alias = #pulpo::__private::NoJob;
            });
            quote_spanned!(place=> #alias: #pulpo::__private::HasOneHandler<#handler>)
        })
        .collect();
    quote! {
        #aliases
        #checks
        #[doc(hidden)]
        pub const fn #check<#(#handlers),*>() where #(#bounds),* {}
    }
}

fn not_a_module(item: &TokenStream) -> syn::Error {
    let words = |token: &TokenTree| matches!(token, TokenTree::Ident(_));
    let head: TokenStream = item.clone().into_iter().skip_while(|token| !words(token)).take(2).filter(words).collect();
    let fault = format!("expected a module: #[pulpo::jobs] goes on `mod jobs {{ … }}`, got `{head}`");
    syn::Error::new_spanned(&head, fault)
}

#[cfg(test)]
mod tests {
    use super::{CHECK, expand};
    use crate::seen::Seen;

    fn list(module: &str) -> String {
        let output = expand(Default::default(), module.parse().expect("tokens"), &Seen::new());
        let file: syn::File = syn::parse2(output).expect("items");
        let text = prettyplease::unparse(&file);
        text.split_once(CHECK).map_or(text.clone(), |(_, check)| check.split_whitespace().collect())
    }

    #[test]
    fn every_declared_job_of_the_module_is_in_the_list() {
        let list = list(
            r#"pub mod jobs {
                use serde::Deserialize;
                pub use crate::mail::{SendEmail, SendLetter as Letter};
                pub use crate::mail::SendParcel::{self};
                #[derive(Job)] #[job("a")] pub struct A;
                pub struct Helper;
                #[derive(Clone, serde::Deserialize)] #[job("c")] pub struct WithoutTheDerive;
                #[derive(Job)] #[job("d")] pub struct Generic<T>(T);
                pub mod inner { #[derive(Debug, pulpo::Job)] #[job("b")] pub enum B {} }
            }"#,
        );
        for job in ["SendEmail:", "Letter:", "SendParcel:", "A:", "inner::B:"] {
            assert!(list.contains(job), "{job} in {list}");
        }
        for other in ["Helper:", "Deserialize:", "WithoutTheDerive:", "Generic:"] {
            assert!(!list.contains(other), "{other} in {list}");
        }
    }

    #[test]
    fn a_job_of_a_disabled_queue_is_not_requested() {
        let text = {
            let module = r#"mod jobs { #[cfg(feature = "x")] #[derive(Job)] #[job("a")] struct A; }"#;
            expand(Default::default(), module.parse().expect("tokens"), &Seen::new()).to_string()
        };
        assert!(text.contains("cfg (not (all (feature = \"x\")))"), "{text}");
        assert!(text.contains("NoJob"), "{text}");
    }
}
