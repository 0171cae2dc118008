#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", batch = -5)]
fn job_0(_: Vec<Job0>) {}

fn main() {}

//~ -5 => expected a number of messages from 1 to 4294967295, got `- 5`
