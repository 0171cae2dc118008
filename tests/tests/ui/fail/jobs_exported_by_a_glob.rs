#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
pub struct Ping;

#[pulpo::jobs]
pub mod jobs {
    pub use super::*;
}

fn main() {}

//~ * => expected each job of the list by its name, got `*`: the attribute cannot look there
