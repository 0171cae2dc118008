#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
pub struct Ping;

#[pulpo::jobs]
pub mod jobs {
    pub use super::Ping;
}

pulpo::main! { jobs: [jobs] }

//~ jobs => write a function with `#[pulpo::handler]` that takes it
