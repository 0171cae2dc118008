#[pulpo::jobs]
pub mod mail {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("send")]
    pub struct Send;
}

#[pulpo::jobs]
pub mod post {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("send")]
    pub struct Send;
}

fn main() {}

//~ "send" => rename_one_of_the_two
