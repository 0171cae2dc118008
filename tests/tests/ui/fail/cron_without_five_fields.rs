#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", cron = "0 3 * *")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", cron(0 0 3 * * MON))]
fn job_1(_: Job1) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2", cron = "")]
fn job_2(_: Job2) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("job_3", cron = "@reboot")]
fn job_3(_: Job3) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("job_4", cron = "@every 5m")]
fn job_4(_: Job4) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("job_5", cron(@fortnightly))]
fn job_5(_: Job5) {}

fn main() {}

//~ "0 3 * *" => expected five fields, minute hour day month weekday, got 4, such as `0 3 * * MON-FRI`
//~ (0 0 3 * * MON) => for less than a minute write `every = "10s"`
//~ "" => expected five fields, minute hour day month weekday, got 0
//~ "@reboot" => expected @hourly, @daily, @weekly, @monthly, @yearly or five fields
//~ "@every 5m" => write `every = "5m"`
//~ (@fortnightly) => expected @hourly, @daily, @weekly, @monthly, @yearly or five fields
