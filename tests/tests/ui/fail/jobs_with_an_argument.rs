#[pulpo::jobs("mail")]
pub mod jobs {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("ping")]
    pub struct Ping;

    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("pong")]
    pub struct Pong;
}

fn main() {}

//~ "mail" => expected `crate = path` or nothing, got `"mail"`: what is of one job stands in its `#[job(…)]`
