//! What only builds of real crates show.

mod duplicates;
mod places;
mod workspace;
