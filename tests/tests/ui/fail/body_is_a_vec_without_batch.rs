#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Vec<Job0>) {}

fn main() {}

//~ Vec<Job0> => wrap it in one, `struct Name(Vec<Job0>);`, or add `batch = 100` if the handler takes several jobs at once
