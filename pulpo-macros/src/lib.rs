//! The attribute macro of pulpo. Use it through the crate `pulpo`.
//!
//! Three stages, each in a file: `attr` parses, `check` validates and gathers
//! every fault, `expand` emits. All of them work on `proc_macro2` types, so
//! that unit tests can drive them.

use proc_macro::TokenStream;

mod attr;
mod check;
mod expand;
mod faults;

/// Makes a function the handler of a job.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand::handler(arguments.into(), function.into()).into()
}
