pub mod mail {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("letter")]
    pub struct Letter;
}

#[pulpo::jobs]
pub mod jobs {
    pub use super::mail;
}

fn main() {}

//~ mail => expected type, found module `mail`
