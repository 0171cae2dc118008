#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", ttr = "5s", ttr = 6)]
fn job_0(_: Job0) {}

fn main() {}

//~ ttr => keep one of them
