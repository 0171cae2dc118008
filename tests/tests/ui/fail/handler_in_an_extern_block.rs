#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

unsafe extern "C" {
    #[pulpo::handler("ping")]
    fn ping(_: Ping);
}

fn main() {}

//~ fn ping(_: Ping) => expected a function with a body: a declaration cannot handle a job
