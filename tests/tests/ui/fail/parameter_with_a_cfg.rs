#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0, #[cfg(unix)] _: &pulpo::Context) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
fn job_1(#[cfg(unix)] _: Job1) {}

fn main() {}

//~ #[cfg(unix)] => write one function for each case
//~ #[cfg(unix)] => write one function for each case
