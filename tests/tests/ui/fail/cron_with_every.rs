#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", cron = "0 3 * * *", every = "5m")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", every = "5m", tz = "Europe/Berlin")]
fn job_1(_: Job1) {}

fn main() {}

//~ every => expected `cron` or `every`, got both: keep one of them
//~ tz => expected no `tz` beside `every`, which counts from 1970 UTC: remove it, or use `cron`
