pub struct Helper;

#[pulpo::jobs]
pub mod jobs {
    pub use super::Helper;
}

fn main() {}

//~ Helper => put `#[pulpo::handler("its_name")]` on the function that processes it, or `#[derive(pulpo::Job)]` and `#[job("its_name")]` on the type
