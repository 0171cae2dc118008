pub mod mail {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("letter")]
    pub struct Letter;
}

#[pulpo::jobs]
pub mod jobs {
    pub use super::mail::{self, Letter};
}

#[pulpo::jobs]
pub mod renamed {
    pub use super::mail::{self as post};
}

fn main() {}

//~ self => expected each job of the list by its name, got the module `mail`
//~ self => expected each job of the list by its name, got the module `mail`
