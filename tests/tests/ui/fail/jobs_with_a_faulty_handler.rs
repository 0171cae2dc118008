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

#[pulpo::handler]
fn pong<T>(_: jobs::Pong) {}

pulpo::main! { jobs: [jobs] }

//~ <T> => write a handler for each
