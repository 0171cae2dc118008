//! The attribute macro of pulpo. Use it through the crate `pulpo`.

use proc_macro::TokenStream;

/// Makes a function the handler of a job.
#[proc_macro_attribute]
pub fn handler(_arguments: TokenStream, function: TokenStream) -> TokenStream {
    function
}
