#[pulpo::jobs]
pub mod jobs {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("ping")]
    pub struct Ping;

    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("pong")]
    pub struct Pong;
}

#[pulpo::handler]
fn ping(_: jobs::Ping) {}

pulpo::main! { jobs: [jobs] }

//~ jobs => write a function with `#[pulpo::handler]` that takes it
