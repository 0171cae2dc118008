#[pulpo::jobs]
pub mod jobs {
    #[derive(serde::Serialize, serde::Deserialize)]
    #[job("send")]
    pub struct Send;
}

fn main() {}

//~ job => you might be missing a `derive` attribute
