#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", every = "10ms")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", every = 5)]
fn job_1(_: Job1) {}

fn main() {}

//~ "10ms" => expected a period of at least "1s"
//~ 5 => write "5s" for seconds
