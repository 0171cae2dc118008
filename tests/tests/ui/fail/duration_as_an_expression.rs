#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", timeout = Duration::from_secs(30))]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", ttr = std::time::Duration::from_millis(1500))]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", timeout = 5 * 60)]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", ttr = TTR)]
fn job_3(_: Job3) {}

fn main() {}

//~ Duration::from_secs(30) => write "30s"
//~ std::time::Duration::from_millis(1500) => write "1500ms"
//~ 5 * 60 => expected a duration in a string such as "30s", got `5 * 60`
//~ TTR => expected a duration in a string such as "30s", got `TTR`
