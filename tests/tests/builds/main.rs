//! What only builds of real crates show.

mod duplicates;
mod image;
mod libraries;
mod lists;
mod places;
mod renamed;
mod workspace;
