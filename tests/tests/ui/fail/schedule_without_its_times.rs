#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", tz = "Europe/Berlin")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", missed = "all", overlap = "allow")]
fn job_1(_: Job1) {}

fn main() {}

//~ tz => expected `cron` beside `tz`, which says more of a schedule: write `cron = "0 3 * * MON-FRI"`
//~ missed => write `cron = "0 3 * * MON-FRI"`, or `every = "5m"`
//~ overlap => write `cron = "0 3 * * MON-FRI"`, or `every = "5m"`
