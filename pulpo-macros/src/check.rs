//! Validate: turns the parsed attribute and item into a job and its function, or into faults.

use proc_macro2::TokenStream;
use syn::{Attribute, Generics, Type};

use crate::attr::Arguments;
use crate::faults::Faults;
use crate::table::TABLE;

mod arguments;
mod attributes;
mod body;
mod function;
mod keys;
mod name;
mod parameter;
mod schedule;
mod ty;
mod value;

use arguments::Place;
pub(crate) use arguments::{Batch, Job, Policy, RequestType};
pub(crate) use function::Function;
pub(crate) use keys::{Fields, OnDuplicate, Rate, Unique, UniqueFor};
pub(crate) use schedule::{Cron, Entry, Schedule};

#[cfg(test)]
mod tests;

/// The result of checking a handler. It is complete if there are no faults.
pub(crate) struct Checked {
    pub(crate) job: Job,
    /// `None` if the attribute is not on a function.
    pub(crate) function: Option<Function>,
}

impl Checked {
    pub(crate) fn new(arguments: TokenStream, item: TokenStream, faults: &mut Faults) -> Self {
        let arguments = Arguments::parse(arguments, TABLE, faults);
        let job = arguments::check(arguments, Place::Handler, faults);
        let function = function::check(item, job.takes_a_batch, faults);
        Self { job, function }
    }

    /// Returns the attributes of the function that all generated items must repeat.
    pub(crate) fn attributes(&self) -> &[Attribute] {
        self.function.as_ref().map_or(&[], |function| &function.attributes)
    }
}

/// The result of checking a type that is declared as a job.
pub(crate) struct Declared {
    pub(crate) job: Job,
    /// `None` if there is no type.
    pub(crate) body: Option<Type>,
    /// Any generics are a fault.
    pub(crate) generics: Generics,
    /// The attributes that everything we add for this type must carry too.
    pub(crate) attributes: Vec<Attribute>,
}

impl Declared {
    pub(crate) fn new(item: TokenStream, faults: &mut Faults) -> Self {
        let ty::Declaration { arguments, body, generics, attributes } = ty::check(item, faults);
        let job = match arguments {
            Some(arguments) => arguments::check(Arguments::parse(arguments, TABLE, faults), Place::Job, faults),
            None => Job::unknown(),
        };
        Self { job, body, generics, attributes }
    }
}
