#[pulpo::jobs]
pub mod jobs {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("page")]
    pub struct Page<T>(T);
}

fn main() {}

//~ <T> => expected a job without generics
