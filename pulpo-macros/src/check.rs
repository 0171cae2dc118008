//! Validate: what was written becomes a job and its function, or faults.

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, LitStr, Type};

use crate::attr::Arguments;
use crate::faults::Faults;

mod arguments;
mod attributes;
mod body;
mod function;
mod name;
mod ty;
mod value;

use arguments::Place;
pub(crate) use arguments::{Batch, Job, Policy, RequestType};
pub(crate) use function::Function;

#[cfg(test)]
mod tests;

/// What is known of a handler after the checks. With no faults, all of it is.
pub(crate) struct Checked {
    pub(crate) job: Job,
    /// `None` if the attribute is not on a function.
    pub(crate) function: Option<Function>,
}

/// A handler without a fault.
pub(crate) struct Handler<'a> {
    pub(crate) job: &'a Job,
    /// `None` if the body type is declared as a job by itself.
    pub(crate) request_type: Option<&'a LitStr>,
    pub(crate) function: &'a Function,
    pub(crate) body: &'a Type,
}

impl Checked {
    pub(crate) fn new(arguments: TokenStream, item: TokenStream, faults: &mut Faults) -> Self {
        let arguments = Arguments::parse(arguments, faults);
        let job = arguments::check(arguments, Place::Handler, faults);
        let function = function::check(item, job.takes_a_batch, faults);
        Self { job, function }
    }

    /// As much as is needed to tell the rest of the crate that the body is a
    /// job: the request type and the body type are known and sound.
    pub(crate) fn handler(&self) -> Option<Handler<'_>> {
        let function = self.function.as_ref()?;
        let request_type = match &self.job.request_type {
            RequestType::Given(literal) => Some(literal),
            RequestType::OfTheBody => None,
            RequestType::Faulty => return None,
        };
        Some(Handler { job: &self.job, request_type, function, body: function.body.as_ref()? })
    }

    /// The attributes of the function that everything we add must have too.
    pub(crate) fn attributes(&self) -> &[Attribute] {
        self.function.as_ref().map_or(&[], |function| &function.attributes)
    }
}

/// What is known of a type that is declared to be a job.
pub(crate) struct Declared {
    pub(crate) job: Job,
    /// `None` if it cannot be the body of one.
    pub(crate) body: Option<Type>,
    /// What everything that we add for this type must carry too.
    pub(crate) attributes: Vec<Attribute>,
}

impl Declared {
    pub(crate) fn new(item: TokenStream, faults: &mut Faults) -> Self {
        let ty::Declaration { arguments, body, attributes } = ty::check(item, faults);
        let job = match arguments {
            Some(arguments) => arguments::check(Arguments::parse(arguments, faults), Place::Job, faults),
            None => Job::unknown(),
        };
        Self { job, body, attributes }
    }

    /// The request type and the body, if both are known and sound.
    pub(crate) fn sound(&self) -> Option<(&LitStr, &Type)> {
        match &self.job.request_type {
            RequestType::Given(literal) => Some((literal, self.body.as_ref()?)),
            RequestType::OfTheBody | RequestType::Faulty => None,
        }
    }
}

/// A fault of the attribute itself, which has no token that is wrong.
fn of_the_attribute(message: &str) -> syn::Error {
    syn::Error::new(Span::call_site(), message)
}
