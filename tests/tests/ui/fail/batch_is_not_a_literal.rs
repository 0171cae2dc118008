#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", batch = MANY)]
fn job_0(_: Vec<Job0>) {}

fn main() {}

//~ MANY => expected a number of messages from 1 to 4294967295, got `MANY`
