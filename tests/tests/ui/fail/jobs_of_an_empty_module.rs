#[pulpo::jobs]
mod jobs {}

fn main() {}

//~ jobs => expected at least one job in this module: a type with `#[derive(pulpo::Job)]` and `#[job("its_name")]`, or `pub use` of one
