//! What only builds of real crates show.

mod duplicates;
mod image;
mod places;
mod workspace;
