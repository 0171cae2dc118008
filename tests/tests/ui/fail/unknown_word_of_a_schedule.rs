#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", cron = "0 3 * * *", missed = "sometimes")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", cron = "0 3 * * *", overlap = "yes")]
fn job_1(_: Job1) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2", every = "5m", missed = all)]
fn job_2(_: Job2) {}

fn main() {}

//~ "sometimes" => expected "one", "skip" or "all", got "sometimes"
//~ "yes" => expected "skip" or "allow", got "yes"
//~ all => write "all"
