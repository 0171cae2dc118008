#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", cron = "0 3 * * *", tz = "Europe/Berln")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", cron = "0 3 * * *", tz = "New York")]
fn job_1(_: Job1) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2", cron = "0 3 * * *", tz = "+02:00")]
fn job_2(_: Job2) {}

fn main() {}

//~ "Europe/Berln" => did you mean "Europe/Berlin"?
//~ "New York" => did you mean "America/New_York"?
//~ "+02:00" => expected a time zone such as "Europe/Berlin"
