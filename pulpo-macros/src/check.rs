//! Validate: what was written becomes a job and its function, or faults.

use proc_macro2::{Ident, TokenStream};
use syn::{Attribute, LitStr, Path, Type};

use crate::attr::Arguments;
use crate::faults::Faults;

mod arguments;
mod body;
mod function;
mod name;
mod value;

pub(crate) use arguments::Policy;

#[cfg(test)]
mod tests;

/// What is known of a handler after the checks. With no faults, all of it is.
pub(crate) struct Checked {
    pub(crate) job: arguments::Job,
    /// `None` if the attribute is not on a function.
    pub(crate) function: Option<function::Function>,
}

/// A handler without a fault.
pub(crate) struct Handler<'a> {
    pub(crate) pulpo: &'a Path,
    pub(crate) request_type: &'a LitStr,
    pub(crate) aliases: &'a [LitStr],
    pub(crate) policy: &'a Policy,
    pub(crate) function: &'a Ident,
    pub(crate) body: &'a Type,
    /// The types of the parameters after it.
    pub(crate) others: &'a [Type],
    pub(crate) returned: &'a syn::ReturnType,
}

impl Checked {
    pub(crate) fn new(arguments: TokenStream, item: TokenStream, faults: &mut Faults) -> Self {
        let arguments = Arguments::parse(arguments, faults);
        Self { job: arguments::check(arguments, faults), function: function::check(item, faults) }
    }

    /// As much as is needed to tell the rest of the crate that the body is a
    /// job: the request type and the body type are known and sound.
    pub(crate) fn handler(&self) -> Option<Handler<'_>> {
        let function = self.function.as_ref()?;
        Some(Handler {
            pulpo: &self.job.pulpo,
            request_type: self.job.request_type.as_ref()?,
            aliases: &self.job.aliases,
            policy: &self.job.policy,
            function: &function.name,
            body: function.body.as_ref()?,
            others: &function.others,
            returned: &function.returned,
        })
    }

    /// The attributes of the function that everything we add must have too.
    pub(crate) fn attributes(&self) -> &[Attribute] {
        self.function.as_ref().map_or(&[], |function| &function.attributes)
    }
}
