pub struct Helper;

#[pulpo::jobs]
pub mod jobs {
    pub use super::Helper;
}

pulpo::main! { jobs: [jobs] }

//~ Helper
//~ jobs
