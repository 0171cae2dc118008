#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", cron = "0 3 * * *", cron(0 3 * * *))]
fn job_0(_: Job0) {}

fn main() {}

//~ cron => expected each `cron` once, got `0 3 * * *` again: remove it
