//! `pulpo::main! { … }`: its optional parts, and the function `main` that it generates for the
//! program, or for a module that calls it.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::{Expr, ExprClosure, Path, ReturnType, Stmt, Token};

use crate::asks::Ask;
use crate::faults::Faults;
use crate::jobs::{CHECK, is_in_a_file};
use crate::seen::Seen;

/// The parts as written.
#[derive(Default)]
struct Parts {
    /// Library crates to link.
    crates: Vec<Ident>,
    /// Modules with `#[pulpo::jobs]`.
    jobs: Vec<Path>,
    setup: Option<Expr>,
}

/// The names of the parts, each with an example.
const PARTS: [(&str, &str); 3] =
    [("crates", "crates: [my_jobs]"), ("setup", "setup: |app| app.state(…)"), ("jobs", "jobs: [shared::jobs]")];

/// Expands `[path of pulpo] parts`, which comes from a `macro_rules` macro: only that one knows the path.
pub(crate) fn expand(tokens: TokenStream, is_library: bool, seen: &Seen) -> TokenStream {
    let mut tokens = tokens.into_iter();
    let pulpo = match tokens.next() {
        Some(TokenTree::Group(group)) => group.stream(),
        _ => quote!(::pulpo),
    };
    let mut faults = Faults::default();
    let parts = parse(tokens.collect(), &mut faults);
    if is_library && faults.is_empty() {
        faults.push(syn::Error::new(
            Span::call_site(),
            "expected a program, got a library: write `pulpo::main!` into `src/main.rs`, or a file of `src/bin`",
        ));
    }
    if !faults.is_empty() {
        let errors = faults.iter().map(syn::Error::to_compile_error);
        // Prevents a second error about a missing `main`.
        return quote!(#(#errors)* fn main() {});
    }
    let Parts { crates, jobs, setup } = parts;
    let set_up = set_up(&pulpo, setup.as_ref());
    let jobs = jobs.iter().filter(|path| !is_in_a_file(path, seen)).map(|path| all_handled(&pulpo, path, seen));
    let crates = crates.iter().map(|name| {
        let place = Span::call_site().located_at(name.span());
        quote_spanned!(place=> use #name as _;)
    });
    let items = quote! {
        #(#crates)*
        #(#jobs)*

        fn main() -> ::std::process::ExitCode {
            #pulpo::__private::main(#pulpo::__private::Program {
                name: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                about: ::core::env!("CARGO_PKG_DESCRIPTION"),
                setup: |__app| #set_up,
            })
        }

        // Our `main` and the module's are two different functions if the macro is used within a function. Where the
        // module has none, the name means ours again, and rustc reports only that.
        const _: () = #pulpo::__private::Mains::of(&main, {
            use self::*;
            &main
        })
        .are_one();
    };
    // One item: where it does not belong, as in an `extern` block, rustc reports it once, and drops all of them.
    quote!(#[#pulpo::__private::beside(#items)] impl #pulpo::__private::NoJob {})
}

/// Emits the call of `setup`, all located at the user's expression, so that rustc reports errors
/// about its value there.
fn set_up(pulpo: &TokenStream, setup: Option<&Expr>) -> TokenStream {
    let written = setup.map_or_else(|| quote!(|_| ()), |setup| with_an_error_type(setup).to_token_stream());
    let mut spans = written.clone().into_iter().map(|token| Span::call_site().located_at(token.span()));
    let first = spans.next().unwrap_or_else(Span::call_site);
    let last = Ident::new("set_up", spans.last().unwrap_or(first));
    let private = quote_spanned!(first=> __private::);
    let crate_path = pulpo.clone().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(first));
        token
    });
    let crate_path = TokenStream::from_iter(crate_path);
    quote_spanned!(first=> #crate_path::#private #last(__app, #written))
}

/// Gives a closure that ends with `Ok(())` the error type that `?` turns any error into. On its own, nothing would
/// decide which one it is. With a `return`, something may.
fn with_an_error_type(setup: &Expr) -> Expr {
    // As `macro_rules` hands it on.
    if let Expr::Group(group) = setup {
        return with_an_error_type(&group.expr);
    }
    let mut setup = setup.clone();
    if let Expr::Closure(ExprClosure { output: output @ ReturnType::Default, body, .. }) = &mut setup
        && let Expr::Block(block) = &**body
        && let Some(Stmt::Expr(last, None)) = block.block.stmts.last()
        && last.to_token_stream().to_string().replace(' ', "") == "Ok(())"
        && !returns(block.to_token_stream())
    {
        let place = Span::call_site().located_at(last.span());
        *output = syn::parse_quote_spanned! {place=>
            -> ::core::result::Result<
                (),
                ::std::boxed::Box<dyn ::std::error::Error + ::core::marker::Send + ::core::marker::Sync>,
            >
        };
    }
    setup
}

/// Returns the word `async` of a closure that returns a future.
fn async_word(setup: &Expr) -> Option<Token![async]> {
    match setup {
        // As `macro_rules` hands it on.
        Expr::Group(group) => async_word(&group.expr),
        Expr::Closure(ExprClosure { asyncness: Some(word), .. }) => Some(*word),
        Expr::Closure(ExprClosure { body, .. }) => async_word(body),
        Expr::Async(block) => Some(block.async_token),
        Expr::Block(block) => match block.block.stmts.last() {
            Some(Stmt::Expr(last, None)) => async_word(last),
            _ => None,
        },
        _ => None,
    }
}

/// Checks for the word `return`.
fn returns(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "return",
        TokenTree::Group(group) => returns(group.stream()),
        _ => false,
    })
}

/// Asserts that each job of the list has one handler; rustc reports a missing one at the path.
fn all_handled(pulpo: &TokenStream, path: &Path, seen: &Seen) -> TokenStream {
    let tokens = path.to_token_stream();
    let place = |span: Span| Span::call_site().located_at(span);
    let last = tokens.clone().into_iter().last().map_or_else(Span::call_site, |token| token.span());
    let check = Ident::new(CHECK, place(last));
    let colons = quote_spanned!(place(last)=> ::);
    let asked = Ask::of_list(seen).constant(pulpo, &quote!(__pulpo_List), &quote!(#path #colons #check));
    quote! {
        const _: () = {
            pub enum __pulpo_List {}
            #asked
        };
    }
}

fn parse(tokens: TokenStream, faults: &mut Faults) -> Parts {
    let mut parts = Parts::default();
    let mut given: Vec<&str> = Vec::new();
    let each = |input: ParseStream<'_>| {
        while !input.is_empty() {
            part(input, &mut parts, &mut given, faults)?;
            if input.is_empty() {
                break;
            }
            if input.parse::<Token![,]>().is_err() {
                let rest: TokenStream = input.parse()?;
                return Err(syn::Error::new_spanned(first(&rest), "expected a comma between two parts"));
            }
        }
        Ok(())
    };
    let parsed = each.parse2(tokens);
    faults.keep(parsed);
    parts
}

/// Parses one part. Returns an error if the beginning of the next part cannot be found.
fn part(input: ParseStream<'_>, parts: &mut Parts, given: &mut Vec<&str>, faults: &mut Faults) -> syn::Result<()> {
    let rest = input.fork().parse::<TokenStream>()?;
    let unknown = |what: String| {
        let examples = PARTS.map(|(_, example)| example).join(", ");
        syn::Error::new_spanned(first(&rest), format!("{what}: `pulpo::main! {{ {examples} }}`, each of them optional"))
    };
    let Ok(name) = input.call(Ident::parse_any) else {
        return Err(unknown(format!("expected the parts of the program, got `{}`", first(&rest))));
    };
    let text = name.unraw().to_string();
    let Some((known, example)) = PARTS.iter().find(|(known, _)| text == *known) else {
        let nearest = PARTS
            .iter()
            .map(|(known, _)| (strsim::jaro_winkler(&text, known), *known))
            .filter(|(similarity, _)| *similarity > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        return Err(match nearest {
            Some((_, known)) => {
                syn::Error::new_spanned(&name, format!("unknown part `{text}`: did you mean `{known}`?"))
            }
            None => unknown(format!("unknown part `{text}`, expected the parts of the program")),
        });
    };
    if given.contains(known) {
        faults.at(&name, format!("expected `{known}` once, got it again: write all into the first"));
    }
    given.push(known);
    if input.parse::<Token![:]>().is_err() {
        return Err(syn::Error::new_spanned(&name, format!("expected `{example}`, got `{known}` without a colon")));
    }
    match *known {
        "setup" => {
            let setup = parts.setup.insert(input.parse()?);
            if let Some(word) = async_word(setup) {
                let fault = "expected a `setup` that is not async: wait for a future in it with `app.block_on(…)`";
                faults.at(word, fault);
            }
        }
        "jobs" => parts.jobs.extend(list(input, example, faults)?.into_iter().filter_map(|item| {
            let path = Path::parse_mod_style.parse2(item.clone()).map_err(|_| {
                let fault = format!("expected the path of a module with `#[pulpo::jobs]`, got `{item}`: `{example}`");
                syn::Error::new_spanned(&item, fault)
            });
            faults.keep(path)
        })),
        _ => parts.crates.extend(list(input, example, faults)?.into_iter().filter_map(|item| {
            let name = syn::parse2(item.clone()).map_err(|_| {
                let spelt: String = item.to_string().split(['"', ' ']).collect();
                let meant = spelt.replace('-', "_");
                let advice = match syn::parse_str::<Ident>(&meant) {
                    Ok(_) => format!(": write `{meant}`"),
                    Err(_) => String::new(),
                };
                syn::Error::new_spanned(&item, format!("expected the name of a crate, got `{spelt}`{advice}"))
            });
            faults.keep(name)
        })),
    }
    Ok(())
}

/// Parses `[a, b]`, split at the commas.
fn list(input: ParseStream<'_>, example: &str, faults: &mut Faults) -> syn::Result<Vec<TokenStream>> {
    let rest = input.fork().parse::<TokenStream>()?;
    let group = match input.parse::<Group>() {
        Ok(group) if group.delimiter() == Delimiter::Bracket => group,
        _ => {
            let first = first(&rest);
            return Err(syn::Error::new_spanned(&first, format!("expected a list, `{example}`, got `{first}`")));
        }
    };
    let mut items = vec![TokenStream::new()];
    for token in group.stream() {
        match (&token, items.last_mut()) {
            (TokenTree::Punct(comma), Some(last)) if comma.as_char() == ',' => {
                if last.is_empty() {
                    faults.at(comma, "expected a name before this comma");
                } else {
                    items.push(TokenStream::new());
                }
            }
            (_, Some(last)) => last.extend([token]),
            (_, None) => {}
        }
    }
    items.retain(|item| !item.is_empty());
    Ok(items)
}

fn first(tokens: &TokenStream) -> TokenStream {
    tokens.clone().into_iter().take(1).collect()
}

/// Checks whether the compiler builds a library, by its arguments. An editor's macro server has no
/// such arguments, and builds nothing.
pub(crate) fn is_library(arguments: impl Iterator<Item = String>) -> bool {
    let mut kinds = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--crate-type") {
            Some("") => kinds.extend(arguments.next()),
            Some(kind) => kinds.extend(kind.strip_prefix('=').map(str::to_owned)),
            // A library's test harness is a program.
            None if argument == "--test" => return false,
            None => {}
        }
    }
    !kinds.is_empty() && kinds.iter().all(|kind| kind != "bin")
}

#[cfg(test)]
mod tests {
    use super::{expand, is_library};
    use crate::seen::Seen;

    #[test]
    fn a_library_is_distinguished_from_a_program() {
        let of = |arguments: &str| is_library(arguments.split_whitespace().map(str::to_owned));
        assert!(of("rustc --crate-name a src/lib.rs --crate-type lib"));
        assert!(of("rustc --crate-type cdylib --crate-type=rlib"));
        assert!(!of("rustc --crate-name a src/main.rs --crate-type bin"));
        assert!(!of("rustc src/lib.rs --crate-type lib --test"));
        assert!(!of("rustc src/main.rs"));
        assert!(!of("rust-analyzer-proc-macro-srv"));
    }

    #[test]
    fn the_parts_stand_in_any_order() {
        for parts in [
            "",
            "crates: [a, b,]",
            "setup: |app| app.state(f::<u8, u16>()), crates: [],",
            "jobs: [shared::jobs, jobs], crates: [a], setup: setup",
        ] {
            let output = expand(format!("[::pulpo] {parts}").parse().expect("tokens"), false, &Seen::new()).to_string();
            assert!(!output.contains("compile_error"), "{parts}: {output}");
        }
    }
}
