#[pulpo::jobs(crate = framework)]
mod jobs {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("ping", crate = ::framework)]
    pub struct Ping;
}

#[pulpo::handler]
fn ping(_: jobs::Ping) {}

fn main() {
    let _ = pulpo::publish(jobs::Ping);
}

//~ framework => leave `crate` out
//~ framework => leave `crate` out
