#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: pulpo::Message<Job0>) {}

fn main() {}

//~ pulpo::Message<Job0> => write `Job0`, and take what else the message says from `&pulpo::Context`
