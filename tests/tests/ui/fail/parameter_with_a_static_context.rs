#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0, _: &'static pulpo::Context) {}

fn main() {}

//~ 'static => expected `&Context` without a lifetime: it lives as long as the run of the job
