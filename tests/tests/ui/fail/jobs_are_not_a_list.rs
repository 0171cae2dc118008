#[pulpo::jobs]
pub mod jobs {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("ping")]
    pub struct Ping;

    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("pong")]
    pub struct Pong;
}

pulpo::main! { jobs: jobs }

//~ jobs => expected a list, `jobs: [shared::jobs]`, got `jobs`
