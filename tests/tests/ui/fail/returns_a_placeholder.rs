#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0) -> _ {}

fn main() {}

//~ _ => help: replace with the correct return type
