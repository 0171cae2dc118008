//! Tests that need builds of real crates.

mod duplicates;
mod image;
mod libraries;
mod lists;
mod places;
mod renamed;
mod shapes;
mod workspace;
