#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0, _: pulpo::State) {}

fn main() {}

//~ State => help: add missing generic argument
