//! The parameters of a handler after the body: `&Context` and `State<T>`.
//!
//! The trait `Parameter` determines which types are allowed. This module reports only mistakes that
//! rustc would not explain.

use syn::Type;

use super::body::{argument, is_pulpos, spelt};
use crate::faults::Faults;
use crate::source::ungrouped;

/// Reports faults in a parameter after the body, as far as its tokens show them.
pub(super) fn check(written: &Type, faults: &mut Faults) {
    match ungrouped(written) {
        Type::Reference(reference) if is_pulpos(&reference.elem, "Context") => {
            if let Some(lifetime) = &reference.lifetime
                && lifetime.ident == "static"
            {
                faults.at(lifetime, "expected `&Context` without a lifetime: it lives as long as the run of the job");
            }
        }
        Type::ImplTrait(_) => faults.at(
            written,
            format!(
                "expected `&pulpo::Context` or `pulpo::State<T>` after the body, got `{}`: write the type out",
                spelt(written)
            ),
        ),
        Type::Path(_) if is_pulpos(written, "State") => {
            let Some(state) = argument(written) else { return };
            let fault = match ungrouped(state) {
                Type::TraitObject(_) => {
                    let object = spelt(state);
                    format!("expected a state of known size, got `{object}`: write `State<Box<{object}>>`")
                }
                Type::Slice(slice) => {
                    let one = spelt(&slice.elem);
                    format!("expected a state of known size, got `[{one}]`: write `State<Vec<{one}>>`")
                }
                Type::Path(path) if path.path.is_ident("str") => {
                    "expected a state of known size, got `str`: write `State<String>`".to_owned()
                }
                _ => return,
            };
            faults.at(state, fault);
        }
        _ => {}
    }
}
