#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0, _: impl Clone) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
async fn job_1(_: Job1, _: impl FnOnce()) {}

fn main() {}

//~ impl Clone => write the type out
//~ impl FnOnce() => write the type out
